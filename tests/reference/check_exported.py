#!/usr/bin/env python3
"""Checks that peft loads an adapter that `sdlora export` wrote and agrees with `sdlora score` on it.

    venv/bin/python tests/reference/check_exported.py --model base --adapter my-adapter --exported for-peft --program build/release/bin/sdlora

--adapter is this library's own adapter, --exported what `sdlora export` made of it; `sdlora score` runs on both, peft on the second.
Without --program it only loads. Exit status 0 if peft finds every tensor that it expects and no other, and everything agrees. Needs what
generate.py needs, peft among it.
"""

import argparse
import pathlib
import random
import sys

import peft
import torch

from check_merged import differences, load, log_probabilities, run_score


def load_adapted(base, folder):
    """The model that peft makes of them; ends the program unless the file's tensors are exactly those that it wants."""
    config = peft.PeftConfig.from_pretrained(folder)
    model = peft.get_peft_model(load(base), config)
    tensors = peft.utils.load_peft_weights(str(folder), device="cpu")
    wanted = peft.get_peft_model_state_dict(model)
    if set(tensors) != set(wanted):
        sys.exit(f"{folder}: lacks {sorted(set(wanted) - set(tensors))}, has besides {sorted(set(tensors) - set(wanted))}")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            sys.exit(f"{folder}: {name} has shape {list(tensor.shape)}, peft wants {list(wanted[name].shape)}")
    return peft.PeftModel.from_pretrained(load(base), folder).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="checkpoint directory of the base")
    parser.add_argument("--exported", type=pathlib.Path, required=True, help="adapter directory in peft's format")
    parser.add_argument("--adapter", type=pathlib.Path, help="this library's own adapter, of which it was made")
    parser.add_argument("--program", help="the program sdlora")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    adapted = load_adapted(options.model, options.exported)
    if not options.program:
        return 0
    plain = load(options.model)
    generator = random.Random(options.seed)
    failed = False
    for length in (2, 7, 64, 201):
        ids = [generator.randrange(plain.config.vocab_size) for _ in range(length)]
        expected = log_probabilities(adapted, ids)
        moved = max(abs(a - b) for a, b in zip(expected, log_probabilities(plain, ids)))
        for name, folder in (("own", options.adapter), ("exported", options.exported)):
            if folder is None:
                continue
            score = run_score(options.program, ids, "--model", options.model, "--adapter", folder)
            each, perplexity = differences(score, expected)
            good = each <= options.tolerance and perplexity <= options.tolerance
            failed = failed or not good
            print(f"{name}, {length} ids: log-probabilities differ from peft's by {each:.2e}, perplexity by {perplexity:.2e} "
                  f"(the adapter moves them by {moved:.2e}): {'agrees' if good else 'DIFFERS'}")
    return 1 if failed else 0


if __name__ == "__main__":
    with torch.no_grad():
        sys.exit(main())
