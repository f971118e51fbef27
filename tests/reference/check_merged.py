#!/usr/bin/env python3
"""Checks that transformers loads a checkpoint directory and agrees with `sdlora score` on it.

    venv/bin/python tests/reference/check_merged.py --model merged --score score.json [more.json ...]
    venv/bin/python tests/reference/check_merged.py --model merged --program build/release/bin/sdlora

A score file is the output of `sdlora score --model DIR [--adapter DIR] --ids … --json`: {"ids", "logprobs", "perplexity"}. One of
the unmerged model (base and adapter) shows that merging kept the model. With --program the script runs it on random ids
itself, and with --base and --adapter on the unmerged model too. --peft-adapter compares with what peft computes from
an adapter in its own format on --base, without merging. Exit status 0 if everything agrees. Needs what generate.py needs.
"""

import argparse
import json
import math
import pathlib
import random
import subprocess
import sys

import torch
import transformers


def load(folder):
    """The model in `folder`; ends the program unless the file's tensors are exactly the model's."""
    model, report = transformers.MambaForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32,
                                                                  local_files_only=True)
    wrong = {key: value for key, value in report.items() if value}
    if wrong:
        sys.exit(f"{folder}: transformers reports {wrong}")
    return model.eval()


@torch.no_grad()
def log_probabilities(model, ids):
    """Of ids[1:], each given the ids before it."""
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    return logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def differences(score, expected):
    """Largest difference of a log-probability, and of the logarithm of the perplexity, relative to max(1, |expected|)."""
    if len(score["logprobs"]) != len(expected):
        sys.exit(f"expected {len(expected)} log-probabilities, one fewer than ids; found {len(score['logprobs'])}")
    if not all(map(math.isfinite, [*score["logprobs"], score["perplexity"]])):
        return math.inf, math.inf
    each = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(score["logprobs"], expected))
    mean = -sum(expected) / len(expected)
    return each, abs(math.log(score["perplexity"]) - mean) / max(1.0, abs(mean))


def run_score(program, ids, *arguments):
    command = [program, "score", *arguments, "--ids", ",".join(map(str, ids)), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="checkpoint directory to load")
    parser.add_argument("--score", type=pathlib.Path, nargs="*", default=[], help="JSON files of sdlora score")
    parser.add_argument("--program", help="the program sdlora, run on random ids")
    parser.add_argument("--base", help="base checkpoint of --adapter and --peft-adapter")
    parser.add_argument("--adapter", help="adapter directory that was merged, for --program")
    parser.add_argument("--peft-adapter", help="adapter directory in peft's format that was merged")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not options.score and not options.program and not options.peft_adapter:
        parser.error("nothing to compare with: give --score, --program or --peft-adapter")
    if (options.adapter or options.peft_adapter) and not options.base:
        parser.error("--adapter and --peft-adapter need --base")

    model = load(options.model)
    generator = random.Random(options.seed)
    sequences = [[generator.randrange(model.config.vocab_size) for _ in range(length)] for length in (2, 7, 64, 201)]
    scores = [(str(path), json.loads(path.read_text())) for path in options.score]
    if options.program:
        for ids in sequences:
            scores.append((f"merged, {len(ids)} ids", run_score(options.program, ids, "--model", options.model)))
            if options.adapter:
                scores.append((f"unmerged, {len(ids)} ids",
                               run_score(options.program, ids, "--model", options.base, "--adapter", options.adapter)))
    if options.peft_adapter:
        import peft
        adapted = peft.PeftModel.from_pretrained(load(options.base), options.peft_adapter).eval()
        for ids in sequences:
            values = log_probabilities(adapted, ids)
            scores.append((f"peft, {len(ids)} ids", {"ids": ids, "logprobs": values,
                                                     "perplexity": math.exp(-sum(values) / len(values))}))
    failed = False
    for name, score in scores:
        each, perplexity = differences(score, log_probabilities(model, score["ids"]))
        good = each <= options.tolerance and perplexity <= options.tolerance
        failed = failed or not good
        print(f"{name}: log-probabilities differ by {each:.2e}, perplexity by {perplexity:.2e}: "
              f"{'agrees' if good else 'DIFFERS'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
