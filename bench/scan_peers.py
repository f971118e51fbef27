"""mambapy and sdlora in turn, on the same shapes: the parallel scan of given a and b (pscan against
SimdChannels), and the whole selective scan of a Mamba block (softplus, discretisation, scan, C, D and gate,
as mambapy computes it, against the fused one).

usage: scan_peers.py SCAN_VARIANTS [ROUNDS]

SCAN_VARIANTS is the benchmark program; it is run with --serve. Both sides get the same shapes, float,
the same number of threads; the fastest of ROUNDS alternating runs of each counts. Beside the selective
scan's ratio stands the machine's limit: mambapy's time by that of the forward recurrence alone, bound by
arithmetic. The backward pass recomputes the recurrence, so the limit holds for it too, and is far from it.
"""

import subprocess
import sys
import time
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from mambapy.mamba import MambaBlock
from mambapy.pscan import pscan

THREADS = 2
SHAPES = [  # B, L, D, N
    (1, 128, 1536, 16),
    (1, 512, 1536, 16),
    (4, 512, 768, 16),
    (1, 2048, 768, 16),
]


def scan_problem(B, L, D, N):
    """Leaves and a function of them: h from a and b."""
    a = (torch.rand(B, L, D, N) * 0.1 + 0.9).requires_grad_()
    b = torch.rand(B, L, D, N).requires_grad_()
    return (a, b), lambda: pscan(a, b)


def selective_problem(B, L, D, N):
    """Leaves and a function of them: the output of a block's selective scan."""
    u, z = (torch.rand(B, L, D) * 2 - 1 for _ in range(2))
    dt = torch.rand(B, L, D) * 4 - 4
    b, c = (torch.rand(B, L, N) * 2 - 1 for _ in range(2))
    a = -torch.rand(D, N) * 15 - 1
    d, bias = (torch.rand(D) * 2 - 1 for _ in range(2))
    leaves = tuple(x.requires_grad_() for x in (u, dt, z, b, c, a, d, bias))
    block = SimpleNamespace(config=SimpleNamespace(use_cuda=False))

    def run():
        delta = F.softplus(dt + bias)
        return MambaBlock.selective_scan(block, u, delta, a, b, c, d) * F.silu(z)

    return leaves, run


def compare(title, make, prefix, ask, rounds):
    print(f"\n{title}\n")
    limited = prefix == "selective-"
    print("| B | L | D | N | direction | mambapy ms | sdlora ms | ratio |" + (" limit |" if limited else ""))
    print("|---|---|---|---|---|---|---|---|" + ("---|" if limited else ""), flush=True)
    for shape in SHAPES:
        leaves, run = make(*shape)
        best = {key: float("inf") for key in ("peer forward", "peer backward", "forward", "backward")}
        grad = torch.rand_like(run())
        for _ in range(rounds):
            if limited:  # the program keeps the best; a busy moment would make the limit too low
                ceiling = ask(prefix + "ceiling", shape)
            begin = time.perf_counter()
            out = run()
            best["peer forward"] = min(best["peer forward"], time.perf_counter() - begin)
            best["forward"] = min(best["forward"], *(ask(prefix + "forward", shape) for _ in range(3)))
            begin = time.perf_counter()
            torch.autograd.grad(out, leaves, grad)
            best["peer backward"] = min(best["peer backward"], time.perf_counter() - begin)
            best["backward"] = min(best["backward"], *(ask(prefix + "backward", shape) for _ in range(3)))
        for direction in ("forward", "backward"):
            peer, own = best["peer " + direction], best[direction]
            columns = " | ".join(map(str, shape))
            print(f"| {columns} | {direction} | {peer * 1e3:.2f} | {own * 1e3:.3f} | {peer / own:.0f}× |"
                  + (f" {peer / ceiling:.0f}× |" if limited else ""), flush=True)


def main():
    program = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    torch.set_num_threads(THREADS)
    ours = subprocess.Popen([program, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(direction, shape):
        ours.stdin.write(" ".join(map(str, (direction, *shape, THREADS))) + "\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    print(f"Peer: mambapy on torch {torch.__version__}, {THREADS} threads each, float; "
          f"the fastest of {rounds} runs in turn.")
    compare("The selective scan of a block:", selective_problem, "selective-", ask, rounds)
    compare("The scan of given a and b:", scan_problem, "", ask, rounds)
    ours.stdin.close()
    ours.wait()


main()
