#!/usr/bin/env python3
"""Makes a tiny Mamba as Python's users have it, for tests/checks/python_round_trip.sh.

    venv/bin/python tests/reference/make_tiny.py build/tiny [--tokenizer tokenizer.json]

In that folder: `base`, what `save_pretrained` of transformers writes of a random model and of a byte-level BPE trained on the data
(or --tokenizer); `from-peft`, an adapter that peft wrote, with a random B; `train.tsv` and `dev.tsv`, columns "sentence" and
"label" (1 positive, 0 negative), which a word of the sentence decides. Needs what generate.py needs.
"""

import argparse
import csv
import pathlib
import random

import peft
import tokenizers
import torch
import transformers

SUBJECTS = ["the film", "this plot", "its café scene", "the director's cut", "a long 3-hour story", "the “hero”"]
VERBS = ["is", "seems", "was  always", "remains"]
WORDS = {"positive": ["charming", "moving", "funny", "clever"], "negative": ["dull", "clumsy", "tired", "shallow"]}
ENDS = ["", " .", " , they said", " — again"]


def rows(generator, count):
    for _ in range(count):
        label = generator.choice(sorted(WORDS))
        yield (f"{generator.choice(SUBJECTS)} {generator.choice(VERBS)} {generator.choice(WORDS[label])}"
               f"{generator.choice(ENDS)}", int(label == "positive"))


def write_table(path, lines):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([("sentence", "label"), *lines])


def train_tokenizer(lines):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.normalizer = tokenizers.normalizers.NFC()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.train_from_iterator([sentence for sentence, _ in lines], tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="a tokenizer.json with <|endoftext|>")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(1)
    lines = list(rows(generator, 400))
    write_table(options.folder / "train.tsv", lines)
    write_table(options.folder / "dev.tsv", rows(generator, 100))

    plain = tokenizers.Tokenizer.from_file(str(options.tokenizer)) if options.tokenizer else train_tokenizer(lines)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|endoftext|>")
    torch.manual_seed(1)
    vocabulary = (len(tokenizer) + 7) // 8 * 8
    model = transformers.MambaForCausalLM(transformers.MambaConfig(
        vocab_size=vocabulary, hidden_size=64, num_hidden_layers=2, eos_token_id=tokenizer.eos_token_id))
    model.save_pretrained(options.folder / "base")
    tokenizer.save_pretrained(options.folder / "base")

    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6,
                                                         target_modules=["in_proj", "x_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(options.folder / "from-peft")


if __name__ == "__main__":
    main()
