"""mambapy's parallel scan and sdlora's SimdChannels, in turn, on the same shapes.

usage: scan_peers.py SCAN_VARIANTS [ROUNDS]

SCAN_VARIANTS is the benchmark program; it is run with --serve. Both sides get the same shapes, float,
the same number of threads; the fastest of ROUNDS alternating runs of each counts.
"""

import subprocess
import sys
import time

import torch
from mambapy.pscan import pscan

SHAPES = [  # B, L, D, N
    (1, 128, 1536, 16),
    (1, 512, 1536, 16),
    (4, 512, 768, 16),
    (1, 2048, 768, 16),
]


def main():
    program = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    threads = 2
    torch.set_num_threads(threads)
    ours = subprocess.Popen([program, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(direction, shape):
        ours.stdin.write(" ".join(map(str, (direction, *shape, threads))) + "\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    print(f"Peer: mambapy's pscan on torch {torch.__version__}, {threads} threads each, float; "
          f"the fastest of {rounds} runs in turn.\n")
    print("| B | L | D | N | direction | mambapy ms | sdlora ms | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for shape in SHAPES:
        a = (torch.rand(*shape) * 0.1 + 0.9).requires_grad_()
        b = torch.rand(*shape).requires_grad_()
        best = {key: float("inf") for key in ("peer forward", "peer backward", "forward", "backward")}
        h = pscan(a, b)
        grad = torch.rand_like(h)
        for _ in range(rounds):
            begin = time.perf_counter()
            h = pscan(a, b)
            best["peer forward"] = min(best["peer forward"], time.perf_counter() - begin)
            best["forward"] = min(best["forward"], *(ask("forward", shape) for _ in range(3)))
            begin = time.perf_counter()
            torch.autograd.grad(h, (a, b), grad)
            best["peer backward"] = min(best["peer backward"], time.perf_counter() - begin)
            best["backward"] = min(best["backward"], *(ask("backward", shape) for _ in range(3)))
        for direction in ("forward", "backward"):
            peer, own = best["peer " + direction], best[direction]
            columns = " | ".join(map(str, shape))
            print(f"| {columns} | {direction} | {peer * 1e3:.2f} | {own * 1e3:.3f} | {peer / own:.0f}× |", flush=True)
    ours.stdin.close()
    ours.wait()


main()
