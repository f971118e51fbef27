"""mambapy and sdlora in turn, on the same shapes: the parallel scan of given a and b (pscan against
SimdChannels), and the whole selective scan of a Mamba block (softplus, discretisation, scan, C, D and gate,
as mambapy computes it, against the fused one).

usage: scan_peers.py SCAN_VARIANTS [ROUNDS [B,L,D,N …]]

SCAN_VARIANTS is the benchmark program; it is run with --serve. Both sides get the same shapes, float,
the same number of threads; the fastest of ROUNDS alternating runs of each counts. Before a shape is timed
both sides compute it from the same values, and their outputs and gradients must agree. Beside the selective
scan's ratio stands the machine's limit: mambapy's time by that of the forward recurrence alone, bound by
arithmetic. The backward pass recomputes the recurrence, so the limit holds for it too, and is far from it.
"""

import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
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
# Of the largest value: both sides round in float, each in its own order.
TOLERANCE = 1e-5


class Problem:
    """Leaves by name, a function of them, and the name of its output; names are those of the library."""

    def __init__(self, output, leaves, run):
        self.output, self.run = output, run
        self.leaves = {name: x.requires_grad_() for name, x in leaves.items()}


def scan_problem(B, L, D, N):
    """h from a and b."""
    a = torch.rand(B, L, D, N) * 0.1 + 0.9
    b = torch.rand(B, L, D, N)
    return Problem("h", {"a": a, "b": b}, lambda: pscan(a, b))


def selective_problem(B, L, D, N):
    """The output of a block's selective scan."""
    u, z = (torch.rand(B, L, D) * 2 - 1 for _ in range(2))
    dt = torch.rand(B, L, D) * 4 - 4
    b, c = (torch.rand(B, L, N) * 2 - 1 for _ in range(2))
    a = -torch.rand(D, N) * 15 - 1
    d, bias = (torch.rand(D) * 2 - 1 for _ in range(2))
    block = SimpleNamespace(config=SimpleNamespace(use_cuda=False))

    def run():
        delta = F.softplus(dt + bias)
        return MambaBlock.selective_scan(block, u, delta, a, b, c, d) * F.silu(z)

    leaves = {"u": u, "dt": dt, "z": z, "B": b, "C": c, "A": a, "D": d, "dt_bias": bias}
    return Problem("out", leaves, run)


class Ours:
    """The benchmark program, which answers requests with seconds and exchanges values through a folder."""

    def __init__(self, program, folder):
        self.folder = folder
        self.process = subprocess.Popen([program, "--serve", folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, request, shape):
        print(request, *shape, THREADS, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"scan_peers.py: the program ended at '{request}', shape {shape}")
        return float(answer)

    def values(self, prefix, shape, given, wanted):
        """Hands it the tensors `given` by name; its results of the names and shapes in `wanted`."""
        for name, x in given.items():
            x.detach().contiguous().numpy().tofile(self.path(name))
        self.ask(prefix + "values", shape)
        found = {name: torch.from_file(self.path(name), size=like.numel()).clone().view(like.shape)
                 for name, like in wanted.items()}
        for name in (*given, *wanted):
            os.remove(self.path(name))
        return found

    def path(self, name):
        return os.path.join(self.folder, name + ".f32")


def check(ours, prefix, shape, problem):
    """Ends the program where outputs or gradients differ; gives the largest difference, of the largest value."""
    problem.run()  # torch's first one of a process is off by 4e-5 now and then
    out = problem.run()
    grad = torch.rand_like(out) * 2 - 1
    gradients = torch.autograd.grad(out, tuple(problem.leaves.values()), grad)
    peer = {problem.output: out.detach()}
    peer.update({"d_" + name: x for name, x in zip(problem.leaves, gradients)})
    found = ours.values(prefix, shape, {**problem.leaves, "d_" + problem.output: grad}, peer)
    worst = 0.0
    for name, expected in peer.items():
        largest = expected.abs().max().item()
        difference = (found[name] - expected).abs().max().item()
        if not torch.allclose(found[name], expected, rtol=TOLERANCE, atol=TOLERANCE * largest):
            sys.exit(f"scan_peers.py: {prefix}values, shape {shape}: {name} differs from mambapy's by up to "
                     f"{difference:.3g}, where the largest value is {largest:.3g}")
        worst = max(worst, difference / largest)
    return worst


def compare(title, make, prefix, ours, rounds, shapes):
    print(f"\n{title}\n")
    limited = prefix == "selective-"
    print("| B | L | D | N | direction | mambapy ms | sdlora ms | ratio |" + (" limit |" if limited else ""))
    print("|---|---|---|---|---|---|---|---|" + ("---|" if limited else ""), flush=True)
    worst = 0.0
    for shape in shapes:
        problem = make(*shape)
        worst = max(worst, check(ours, prefix, shape, problem))
        leaves, run = tuple(problem.leaves.values()), problem.run
        best = {key: float("inf") for key in ("peer forward", "peer backward", "forward", "backward")}
        grad = torch.rand_like(run())
        for _ in range(rounds):
            if limited:  # the program keeps the best; a busy moment would make the limit too low
                ceiling = ours.ask(prefix + "ceiling", shape)
            begin = time.perf_counter()
            out = run()
            best["peer forward"] = min(best["peer forward"], time.perf_counter() - begin)
            best["forward"] = min(best["forward"], *(ours.ask(prefix + "forward", shape) for _ in range(3)))
            begin = time.perf_counter()
            torch.autograd.grad(out, leaves, grad)
            best["peer backward"] = min(best["peer backward"], time.perf_counter() - begin)
            best["backward"] = min(best["backward"], *(ours.ask(prefix + "backward", shape) for _ in range(3)))
        for direction in ("forward", "backward"):
            peer, own = best["peer " + direction], best[direction]
            columns = " | ".join(map(str, shape))
            print(f"| {columns} | {direction} | {peer * 1e3:.2f} | {own * 1e3:.3f} | {peer / own:.0f}× |"
                  + (f" {peer / ceiling:.0f}× |" if limited else ""), flush=True)
    print(f"\nOutputs and gradients of both sides differ by at most {worst:.1e} of the largest value.")


def main():
    program = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    shapes = [tuple(map(int, text.split(","))) for text in sys.argv[3:]] or SHAPES
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(program, folder)
        print(f"Peer: mambapy {version('mambapy')} on torch {torch.__version__}, {THREADS} threads each, float; "
              f"the fastest of {rounds} runs in turn.")
        compare("The selective scan of a block:", selective_problem, "selective-", ours, rounds, shapes)
        compare("The scan of given a and b:", scan_problem, "", ours, rounds, shapes)
        ours.process.stdin.close()
        ours.process.wait()


main()
