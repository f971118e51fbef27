#!/usr/bin/env python3
"""Makes data/tokenizer/: small tokenizers of the `tokenizers` library, and the ids that it gives.

Made with tokenizers 0.23.3, Python 3.11:

    python3 -m venv venv
    venv/bin/pip install tokenizers==0.23.3
    venv/bin/python tests/reference/tokenizer.py            # rewrites tests/reference/data/tokenizer/

- <name>.json: a tokenizer.json of the kind of GPT-NeoX, GPT-2, Falcon or Llama 3, trained on the WordNet glosses of
  examples/data and a few lines below; `added` has tokens with every flag.
- cases.json: "texts", and for each tokenizer "ids", those of each text with add_special_tokens=False, and "decoded", the
  texts of ids drawn at random with skip_special_tokens=True: {"ids": …, "text": …}.
- classes.json: the code points, as ranges, that its patterns and pre-tokenizers take for letters, numbers, white space,
  digits and punctuation; and pairs and triples of code points that NFC changes, with what they become.
"""

import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, __version__, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DATA = pathlib.Path(__file__).resolve().parent / "data" / "tokenizer"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
LINES = ["for (int i = 0; i < 100; ++i) {\n        sum += values[i];  // it's the sum\n    }\n",
         "Ünïcödé: naïve café, Ελληνικά, Русский язык, 日本語のテキスト, 한국어, العربية, हिन्दी. 😀👍\n",
         "In 1995 they'd 12345 of 678,901; we've 3.14159 and don't know. I'm sure you'll see: he's 42!\n"]
WORDS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "it's", "don't", "12", "1234567", "٣٤", "Ⅷ", "½", "²ò",
         "<|endoftext|>", "<|padding|>", "<|", "|>", "a", "The", "token", "_", "__init__", "->", "!!", "?!", "…", "—", "😀",
         "👩‍👩‍👧", "é", "e\u0301", "A\u030a", "ﬁ", "[one]", "one", "[left]", "[right]", "[both]", "[Å]", "[A\u030a]", "word"]
SPACES = list("     \t\n\r\v\f\x1c\x85\xa0\u1680\u180e\u2002\u2009\u200b\u2028\u202f\u3000\ufeff")


def corpus():
    with open(ROOT / "examples/data/wordnet/train.jsonl", encoding="utf-8") as file:
        for line in list(file)[:2000]:
            yield json.loads(line)["prompt"] + "\n"
    for _ in range(40):
        yield from LINES


def train(normalizer, pre_tokenizer, special, size):
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def make_tokenizers():
    byte_level = pre_tokenizers.ByteLevel
    neox = train(normalizers.NFC(), byte_level(add_prefix_space=False), ["<|endoftext|>", "<|padding|>"], 900)
    neox.add_tokens([AddedToken(" " * n, normalized=True, special=False) for n in range(24, 1, -1)])
    gpt2 = train(None, byte_level(add_prefix_space=True), ["<|endoftext|>"], 700)
    falcon = train(None, pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), byte_level(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]),
        ["<|endoftext|>"], 700)
    llama3 = train(None, pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), byte_level(add_prefix_space=False, use_regex=False)]),
        ["<|begin_of_text|>", "<|end_of_text|>"], 700)
    document = json.loads(llama3.to_str())
    document["model"]["ignore_merges"] = True
    # A word that no merge makes.
    document["model"]["vocab"]["Ġwordnet"] = len(document["model"]["vocab"])
    llama3 = Tokenizer.from_str(json.dumps(document))
    added = train(normalizers.NFC(), pre_tokenizers.Sequence([
        pre_tokenizers.Split(" - ", "removed"), pre_tokenizers.Split("_", "merged_with_previous"),
        pre_tokenizers.Split(Regex("[<>]"), "merged_with_next"), pre_tokenizers.Digits(individual_digits=True),
        byte_level(add_prefix_space=False)]), ["<|endoftext|>"], 400)
    added.add_tokens([AddedToken("[one]"), AddedToken("one", single_word=True), AddedToken("[left]", lstrip=True),
                      AddedToken("[right]", rstrip=True), AddedToken("[both]", lstrip=True, rstrip=True, normalized=False),
                      AddedToken("[A\u030a]", normalized=True), AddedToken("[one][one]"), AddedToken("ế", normalized=False)])
    return {"neox": neox, "gpt2": gpt2, "falcon": falcon, "llama3": llama3, "added": added}


def any_character(generator, first=0, last=0x10FFFF):
    while True:
        code = generator.randint(first, last)
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def make_texts(generator):
    texts = ["", " ", "  ", "\n", "a", "'", "'s", " 's", "'re", "'l", " \n a", "a  b   c    d", "   ", "\t\t x", "a \u180e\u180e b",
             " " * 23, " " * 24, " " * 25, " " * 50 + "x", "x" + " " * 49, "one two [one][one] [one] ones one",
             "a [left] b [right] c  [both]  d[left][right] [left]  [right]  [left]", "[Å] [A\u030a] é e\u0301 ế e\u0302\u0301 e\u0301\u0323 \u0344",
             "<|endoftext|>a<|endoftext|> <|endoftext|><|padding|>", " wordnet wordnet\n\n wordnet", "a_b__c <d><<e>> - f - g", "x" * 100,
             "12 123 1234 12345 123456 1234567 1 2 3", "ò²³¼ 12²", "0\u0660\u0966\u2460\u2160", "\u11d8\uac00\u11a8\u1100\u1161\u11a8"] + LINES
    texts += ["".join(any_character(generator, first, last) for _ in range(20)) for first, last in
              [(0, 0x10FFFF)] * 6 + [(0, 0xFF), (0x80, 0x7FF), (0x300, 0x36F), (0x400, 0x52F), (0x600, 0x6FF), (0x900, 0xDFF),
                                     (0x1100, 0x11FF), (0xAC00, 0xD7A3), (0x1E00, 0x1FFF), (0x2000, 0x2BFF), (0x3000, 0x30FF),
                                     (0x4E00, 0x9FFF), (0xF900, 0xFFFF), (0x11000, 0x11FFF), (0x1D100, 0x1D7FF), (0x2F800, 0x2FA1F)]]
    texts += ["".join(generator.choice(SPACES) if generator.random() < 0.5 else generator.choice(WORDS)
                      for _ in range(20)) for _ in range(14)]
    texts += ["".join(generator.choice(WORDS) for _ in range(20)) for _ in range(8)]
    texts += [line.strip() for line in list(corpus())[100:104]]
    return texts


def ranges(codes):
    found = []
    for code in sorted(codes):
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def make_classes(generator):
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]

    def removed(pre_tokenizer, text):
        kept = {ord(c) for piece, _ in pre_tokenizer.pre_tokenize_str(text) for c in piece}
        return ranges(set(codes) - kept)

    everything = "".join(map(chr, codes))
    classes = {name: removed(pre_tokenizers.Split(Regex(pattern), "removed"), everything)
               for name, pattern in (("letter", r"\p{L}"), ("number", r"\p{N}"), ("space", r"\s"))}
    classes["punctuation"] = removed(pre_tokenizers.Punctuation("removed"), everything)
    digits = {ord(piece) for piece, _ in pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(
        "a".join(map(chr, codes))) if len(piece) == 1}
    classes["digit"] = ranges(digits - {ord("a")})
    nfc = normalizers.NFC()
    changed = []
    for code in codes:  # alone, and after and before what marks join
        for text in (chr(code), "a" + chr(code) + "\u0334"):
            if nfc.normalize_str(text) != text and (len(changed) < 150 or generator.random() < 0.05):
                changed.append([text, nfc.normalize_str(text)])
    marks = [chr(code) for code in codes if nfc.normalize_str("a" + chr(code) + "\u0334") != "a" + chr(code) + "\u0334"]
    for _ in range(100):
        text = generator.choice("aeiouAÅがक") + "".join(generator.choices(marks, k=generator.randint(2, 5)))
        changed.append([text, nfc.normalize_str(text)])
    return {"classes": classes, "nfc": changed}


def main():
    generator = random.Random(7)
    DATA.mkdir(parents=True, exist_ok=True)
    texts = make_texts(generator)
    cases = {"texts": texts, "tokenizers": {}}

    def write(name, document):
        path = DATA / name
        path.write_text(json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")

    for name, tokenizer in make_tokenizers().items():
        write(name + ".json", json.loads(tokenizer.to_str()))
        size = tokenizer.get_vocab_size()
        decoded = []
        for _ in range(20):
            ids = [generator.randrange(size) for _ in range(generator.randint(1, 30))]
            decoded.append({"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=True)})
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        cases["tokenizers"][name] = {"ids": ids, "decoded": decoded}
        print(f"  {size} tokens, {sum(map(len, ids))} ids of {len(texts)} texts")
    write("cases.json", cases)
    write("classes.json", make_classes(generator))
    print("made with tokenizers", __version__)


if __name__ == "__main__":
    main()
