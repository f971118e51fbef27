#!/usr/bin/env python3
"""Checks that transformers and peft compute from models what `sdlora score` does.

    venv/bin/python tests/reference/check_python.py build/release/bin/sdlora base+my-adapter=merged=base+for-peft base+from-peft

A model is a checkpoint's folder, or that, a plus and an adapter's: this library's or peft's. Those that an = joins must be the same:
an adapter, and what `sdlora merge` and `sdlora export` made of it, say. `sdlora score` runs on each; transformers, and peft for
adapters in its format, compute each that they can load. Their readers must find every tensor that they expect and no other.
Tokenizers of the checkpoints must be the same, in Python and in sdlora. --unlike names a model from which all must differ. Exit
status 0 if everything agrees. Needs what generate.py needs.
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

TEXT = "It's  a naïve “test”:\n\n\tall of it, 12345 times.<|endoftext|> 日本語 😀 "


def load(folder):
    """The model in `folder`; ends the program unless the file's tensors are exactly the model's."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32, local_files_only=True)
    wrong = {key: value for key, value in report.items() if value}
    if wrong:
        sys.exit(f"{folder}: transformers reports {wrong}")
    return model.eval()


def load_adapted(base, folder):
    """The model that peft makes of them; ends the program unless the file's tensors are exactly those that it wants."""
    import peft
    model = peft.get_peft_model(load(base), peft.PeftConfig.from_pretrained(folder))
    tensors = peft.utils.load_peft_weights(str(folder), device="cpu")
    wanted = peft.get_peft_model_state_dict(model)
    if set(tensors) != set(wanted):
        sys.exit(f"{folder}: lacks {sorted(set(wanted) - set(tensors))}, has besides {sorted(set(tensors) - set(wanted))}")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            sys.exit(f"{folder}: {name} has shape {list(tensor.shape)}, peft wants {list(wanted[name].shape)}")
    return peft.PeftModel.from_pretrained(load(base), folder).eval()


def run(program, command, *arguments):
    whole = [program, command, *map(str, arguments)]
    done = subprocess.run(whole, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(whole)}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Model:
    def __init__(self, text):
        self.text = text
        base, _, adapter = text.partition("+")
        self.base, self.adapter = pathlib.Path(base), pathlib.Path(adapter) if adapter else None
        self.python = None
        if self.adapter is None:
            self.python = load(self.base)
        elif (self.adapter / "adapter_config.json").exists():
            self.python = load_adapted(self.base, self.adapter)

    def of_python(self, ids):
        """Log-probabilities of ids[1:], each given the ids before it."""
        logits = self.python(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
        return logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()

    def of_sdlora(self, program, ids):
        adapter = ["--adapter", self.adapter] if self.adapter else []
        score = json.loads(run(program, "score", "--model", self.base, *adapter, "--ids", ",".join(map(str, ids)), "--json"))
        mean = -sum(score["logprobs"]) / max(1, len(score["logprobs"]))
        if not math.isclose(math.log(score["perplexity"]), mean, rel_tol=1e-6, abs_tol=1e-6):
            sys.exit(f"{self.text}: the perplexity {score['perplexity']} is not that of the log-probabilities")
        return score["logprobs"]


def tokenizers_agree(program, folders):
    """Whether all of the checkpoints read TEXT alike, in Python and in sdlora, and have the same end of text; or have no tokenizer."""
    having = [folder for folder in folders if (folder / "tokenizer.json").exists()]
    lacking = [str(folder) for folder in folders if folder not in having]
    if having and lacking:
        print(f"no tokenizer.json in {', '.join(lacking)}, one in {having[0]}: DIFFERS")
    good = not (having and lacking)
    first = None
    for folder in having:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        ids = tokenizer(TEXT, add_special_tokens=False).input_ids
        own = json.loads(run(program, "score", "--model", folder, "--text", TEXT, "--json"))["ids"]
        first = first or (ids, tokenizer.eos_token)
        same = ids == own and first == (ids, tokenizer.eos_token)
        good = good and same
        print(f"{folder}: {len(ids)} tokens of a text, {len(own)} in sdlora, end of text {tokenizer.eos_token}: "
              f"{'agrees' if same else 'DIFFERS'}")
    return good


def difference(found, expected):
    """The largest, relative to max(1, |expected|)."""
    if len(found) != len(expected):
        sys.exit(f"expected {len(expected)} log-probabilities, one fewer than ids; found {len(found)}")
    if not all(map(math.isfinite, found)):
        return math.inf
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(found, expected))


def models_agree(program, models, unlike, tolerance, generator):
    """Whether they all give random ids the same log-probabilities, and `unlike`, unless None, others to some."""
    known = [model for model in models if model.python is not None]
    if not known:
        sys.exit(f"Python can load none of {', '.join(model.text for model in models)}; name a checkpoint, or an adapter "
                 "in peft's format")
    good, moved = True, 0.0
    for length in (2, 7, 64, 201):
        ids = [generator.randrange(known[0].python.config.vocab_size) for _ in range(length)]
        expected = known[0].of_python(ids)
        found = [(f"{model.text} in Python", model.of_python(ids)) for model in known[1:]]
        found += [(f"{model.text} in sdlora", model.of_sdlora(program, ids)) for model in models]
        for name, values in found:
            apart = difference(values, expected)
            same = apart <= tolerance
            good = good and same
            print(f"{length} ids: {name} differs from {known[0].text} in Python by {apart:.2e}: "
                  f"{'agrees' if same else 'DIFFERS'}")
        if unlike:
            moved = max(moved, difference(unlike.of_python(ids), expected))
    if unlike:
        good = good and moved > 10 * tolerance
        print(f"{unlike.text} in Python differs from {known[0].text} by up to {moved:.2e}: "
              f"{'as it must' if moved > 10 * tolerance else 'IS THE SAME'}")
    return good


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program sdlora")
    parser.add_argument("groups", nargs="+", type=lambda text: [Model(each) for each in text.split("=")],
                        metavar="MODEL[+ADAPTER][=…]")
    parser.add_argument("--unlike", type=Model, metavar="MODEL")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    good = [models_agree(options.program, group, options.unlike, options.tolerance, generator) for group in options.groups]
    folders = [model.base for group in options.groups for model in group]
    good.append(tokenizers_agree(options.program, list(dict.fromkeys(folders))))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
