#!/usr/bin/env python3
"""The `tokenizers` library and sdlora on the same texts: every id is compared, and both are timed on one thread.

usage: tokenizer_peers.py PROGRAM TOKENIZER_JSON [TEXT_FILE …]

PROGRAM is build/release/bench/tokenizer. Texts, made from a fixed seed: every TEXT_FILE by lines and as a whole
(UTF-8; none: the sources of this repository), and random Unicode of several kinds: over all of it, within scripts,
within what normalisation moves, white space and punctuation, apostrophes, runs of digits, and shuffled pieces of the
real text. Speed is measured on the real text by lines: the fastest of three rounds of each side, loading apart.
Needs the package tokenizers (0.23 is what was compared with). Status 1 where an id differs.
"""

import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402

ROUNDS = 3
SCRIPTS = [(0x20, 0x7F), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF),
           (0xE00, 0xEFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2100, 0x2BFF), (0x3000, 0x30FF),
           (0x4E00, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7A3), (0xF900, 0xFFFF), (0x10000, 0x107FF),
           (0x10800, 0x10FFF), (0x11000, 0x11FFF), (0x1D000, 0x1D7FF), (0x1E000, 0x1EFFF), (0x1F300, 0x1FAFF),
           (0x2F800, 0x2FA1F)]
MARKS = [chr(c) for first, last in [(0x300, 0x36F), (0x591, 0x5C7), (0x64B, 0x65F), (0x93C, 0x94D), (0x1DC0, 0x1DFF)]
         for c in range(first, last + 1)]
BASES = list("aeinouyAEINOUYcCdDsSzZ") + [chr(c) for c in range(0xC0, 0x180)] + list("αεηιουωАЕИОУЯが가각한각")
SPACES = list("      \t\n\r\v\f\x1c\x85\xa0\u1680\u180e\u2002\u2009\u200b\u2028\u2029\u202f\u205f\u3000\ufeff")
WORDS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "’s", "it's", "don't", "12", "1234567", "٣٤", "Ⅷ", "½", "²",
         "<|endoftext|>", "<|padding|>", "<|", "|>", "a", "The", "token", "_", "__init__", "->", "!!", "?!", "…", "—", "😀",
         "👩‍👩‍👧", "é", "e\u0301", "Å", "ﬁ"]


def any_character(generator, first=0, last=0x10FFFF):
    while True:
        code = generator.randint(first, last)
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def random_texts(generator, real, count):
    for _ in range(count):
        length = generator.randint(1, 400)
        yield "".join(any_character(generator) for _ in range(length))
        script = generator.choice(SCRIPTS)
        yield "".join(generator.choice(" '.,1") if generator.random() < 0.15 else any_character(generator, *script)
                      for _ in range(length))
        yield "".join(any_character(generator, *generator.choice(SCRIPTS)) for _ in range(length))
        yield "".join(generator.choice(BASES) + "".join(generator.choices(MARKS, k=generator.randint(0, 4)))
                      for _ in range(length))
        yield "".join(generator.choice(SPACES) if generator.random() < 0.6 else generator.choice(WORDS)
                      for _ in range(length))
        yield "".join(generator.choice(WORDS) for _ in range(length))
        start = generator.randrange(max(1, len(real) - 500))
        piece = list(real[start:start + 500])
        for _ in range(20):
            at = generator.randrange(len(piece)) if piece else 0
            piece[at:at + 1] = [any_character(generator, *generator.choice(SCRIPTS)), " " * generator.randint(0, 30)]
        yield "".join(piece)


def encode_by_program(program, tokenizer, texts, rounds):
    with tempfile.TemporaryDirectory() as folder:
        given, made = pathlib.Path(folder, "texts"), pathlib.Path(folder, "ids")
        with given.open("wb") as file:
            for text in texts:
                data = text.encode()
                file.write(struct.pack("<I", len(data)) + data)
        output = subprocess.run([program, tokenizer, given, made, str(rounds)], check=True, capture_output=True, text=True)
        data, at, ids = made.read_bytes(), 0, []
        while at < len(data):
            (count,) = struct.unpack_from("<I", data, at)
            ids.append(struct.unpack_from(f"<{count}i", data, at + 4))
            at += 4 + 4 * count
    seconds = dict(line.split() for line in output.stdout.splitlines())
    return ids, float(seconds["load"]), float(seconds["encode"])


def compare(name, program, path, reference, texts):
    ids, _, _ = encode_by_program(program, path, texts, 1)
    assert len(ids) == len(texts)
    wrong, tokens = 0, 0
    for text, ours in zip(texts, ids):
        theirs = reference.encode(text, add_special_tokens=False).ids
        tokens += len(theirs)
        if list(ours) != theirs:
            wrong += 1
            if wrong <= 3:
                at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                print(f"  {name}: from token {at} on {ours[at:at + 8]}, expected {theirs[at:at + 8]}, in {text[:200]!r}")
    print(f"{name}: {len(texts)} texts, {tokens} tokens, {wrong} texts differ", flush=True)
    return tokens, wrong


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program, path = sys.argv[1:3]
    root = pathlib.Path(__file__).resolve().parent.parent
    files = [pathlib.Path(name) for name in sys.argv[3:]] or sorted(
        file for folder in ("include", "docs", "tests", "examples") for file in root.joinpath(folder).rglob("*")
        if file.suffix in (".hpp", ".cpp", ".cuh", ".cu", ".md", ".jsonl", ".py", ".sh"))
    contents = [file.read_text(encoding="utf-8") for file in files]
    real = "".join(contents)
    lines = real.splitlines(keepends=True)
    begin = time.perf_counter()
    reference = tokenizers.Tokenizer.from_file(path)
    load = time.perf_counter() - begin
    print(f"tokenizers {tokenizers.__version__}, {len(real.encode())} bytes of real text in {len(files)} files")

    totals = [compare("real text, files", program, path, reference, contents),
              compare("real text, lines", program, path, reference, lines)]
    generator = random.Random(20261130)
    texts = list(random_texts(generator, real, 1000))
    totals.append(compare("random Unicode", program, path, reference, texts))
    tokens, wrong = (sum(column) for column in zip(*totals))
    print(f"all: {tokens} tokens compared, {wrong} texts differ")

    # The `tokenizers` library remembers words it has seen: both sides take the same rounds.
    theirs = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for line in lines:
            reference.encode(line, add_special_tokens=False)
        theirs.append(time.perf_counter() - begin)
    _, our_load, ours = encode_by_program(program, path, lines, ROUNDS)
    size = len(real.encode()) / 1e6
    print(f"speed, one thread, lines: tokenizers {size / min(theirs):.2f} MB/s, sdlora {size / ours:.2f} MB/s, "
          f"ratio {min(theirs) / ours:.2f}; loading {load:.3f} s and {our_load:.3f} s")
    begin = time.perf_counter()
    batch = reference.encode_batch_fast(lines, add_special_tokens=False)
    fast = time.perf_counter() - begin
    del batch
    print(f"the same by encode_batch_fast: {size / fast:.2f} MB/s, ratio {fast / ours:.2f}")
    for name, text in (("letters", "".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=1_000_000))),
                       ("one letter", "a" * 1_000_000), ("punctuation", "".join(generator.choices("!?.,;:-", k=1_000_000)))):
        ids, _, took = encode_by_program(program, path, [text], 1)
        begin = time.perf_counter()
        expected = reference.encode(text, add_special_tokens=False).ids
        theirs_took = time.perf_counter() - begin
        equal = list(ids[0]) == expected
        wrong += not equal
        print(f"1 MB without a space, {name}: {took:.3f} s (tokenizers {theirs_took:.3f} s), "
              f"{len(expected)} tokens, {'equal' if equal else 'DIFFERENT'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
