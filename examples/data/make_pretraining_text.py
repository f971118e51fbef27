#!/usr/bin/env python3
"""Makes the text on which the base model of the demo is pre-trained: <out>/train.txt and <out>/heldout.txt.

Sources, all from Debian packages (apt install wordnet-base python3.11-doc bible-kjv bible-kjv-text r-cran-janeaustenr):

  wordnet  WordNet 3.0 (BSD-like licence): every synset of all parts of speech, twice: as a dictionary line with its
           words and examples, and as the bare definition. Never its category. Left out: every synset whose definition
           is in the demo's validation or test split, whose definition has nearly the same words as one there (Jaccard
           index >= 0.8), or whose definition or example holds one of at least five words verbatim.
  austen   six novels by Jane Austen (public domain; package under MIT)
  bible    King James Version (public domain)
  python   prose of the Python 3.11 documentation (PSF licence); code, tables, markup and the changelog dropped

Form: ASCII, documents of about 1,000 to 2,000 bytes, one paragraph, verse or gloss per line, documents separated by one
NUL byte and in the order of a hash. One document in 100 is held out, by a hash of its text (glosses: of the gloss, so
that both of its forms fall on the same side). Python 3.9 or newer, standard library only.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import unicodedata
import zlib

import wordnet_source

SEED = "sdlora pretraining 1"
HELD_OUT = 0.01
DOCUMENT_BYTES = 1200
PYTHON_DOCUMENTATION = pathlib.Path("/usr/share/doc/python3.11/html/_sources")
AUSTEN = pathlib.Path("/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
PUNCTUATION = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "--", "…": "...", "\u00a0": " "})


def plain(text):
    """ASCII with single spaces: punctuation by its nearest sign, letters without accents, the rest dropped."""
    text = unicodedata.normalize("NFKD", text.translate(PUNCTUATION)).encode("ascii", "ignore").decode()
    return re.sub(r"\s+", " ", re.sub(r"[\x00-\x1f\x7f]", " ", text)).strip()


def grouped(paragraphs, size=DOCUMENT_BYTES):
    """Joins consecutive paragraphs to documents of at least `size` bytes, the last of a run perhaps shorter."""
    document, length = [], 0
    for paragraph in paragraphs:
        document.append(paragraph)
        length += len(paragraph) + 1
        if length >= size:
            yield "\n".join(document)
            document, length = [], 0
    if document:
        yield "\n".join(document)


def is_held_out(text):
    return wordnet_source.hash_order(SEED + " held out", text) < HELD_OUT


def split(documents):
    """Returns (train, held out) of whole documents."""
    documents = list(documents)
    return ([text for text in documents if not is_held_out(text)], [text for text in documents if is_held_out(text)])


# --- WordNet ----------------------------------------------------------------------------------------------------------

class DemoGlosses:
    """The glosses of the demo's validation and test split, and whether a text comes too close to one."""

    verbatim_words = 5

    def __init__(self, folder, all_definitions):
        suffix = " => "
        prompts = [json.loads(line)["prompt"] for name in ("validation", "test")
                   for line in (folder / f"{name}.jsonl").read_text(encoding="ascii").splitlines()]
        if not all(prompt.endswith(suffix) for prompt in prompts):
            sys.exit(f"{folder}: a prompt does not end with {suffix!r}; the data is not that of make_wordnet.py")
        glosses = [prompt[:-len(suffix)] for prompt in prompts]
        self._near = wordnet_source.NearIdentical(all_definitions)
        for gloss in glosses:
            self._near.add(gloss)
        self._starts = collections.defaultdict(list)
        for words in map(wordnet_source.words_of, glosses):
            if len(words) >= self.verbatim_words:
                self._starts[tuple(words[:self.verbatim_words])].append(words)

    def is_near(self, definition):
        return self._near.contains(definition)

    def occur_in(self, text):
        words = wordnet_source.words_of(text)
        return any(words[i:i + len(gloss)] == gloss
                   for i in range(len(words) - self.verbatim_words + 1)
                   for gloss in self._starts.get(tuple(words[i:i + self.verbatim_words]), ()))


def wordnet_documents(folder, demo_folder):
    """Returns (train, held out, demo glosses)."""
    synsets = wordnet_source.read_synsets(folder)
    demo = DemoGlosses(demo_folder, [synset.definition for synset in synsets])
    forms = {False: ({}, {}), True: ({}, {})}  # held out? -> (dictionary lines, bare definitions), without repeats
    left_out = 0
    for synset in synsets:
        examples = "".join(f'; "{text}"' for text in synset.examples)
        if demo.is_near(synset.definition) or demo.occur_in(synset.definition + examples):
            left_out += 1
            continue
        key = wordnet_source.normalised(synset.definition)
        entries, definitions = forms[is_held_out(key)]
        entries[plain(f"{', '.join(dict.fromkeys(synset.lemmas))}: {synset.definition}{examples}")] = None
        definitions.setdefault(key, plain(synset.definition))
    print(f"wordnet: {left_out:,} of {len(synsets):,} synsets left out for the demo's validation and test split")

    def documents(held_out):
        for lines in (forms[held_out][0], forms[held_out][1].values()):
            yield from grouped(sorted(lines, key=lambda line: wordnet_source.hash_order(SEED, line)))

    return list(documents(False)), list(documents(True)), demo


# --- Jane Austen ------------------------------------------------------------------------------------------------------

def r_strings(block):
    """The strings of a character vector in R's XDR serialisation, version 3."""
    encoding_length, = struct.unpack_from(">i", block, 14)
    position = 18 + encoding_length
    kind, count = struct.unpack_from(">ii", block, position)
    if block[:2] != b"X\n" or kind & 0xFF != 16:
        sys.exit(f"{AUSTEN}: expected character vectors in XDR form, version 3")
    position += 8
    for _ in range(count):
        _, length = struct.unpack_from(">ii", block, position)
        position += 8
        yield block[position:position + max(length, 0)].decode("utf-8")
        position += max(length, 0)


def austen_documents(path):
    data = path.read_bytes()
    while data:
        inflate = zlib.decompressobj()
        block = inflate.decompress(data[4:])  # after the inflated size
        data = inflate.unused_data
        if block[14 + 4 + 5:][:4] == b"\0\0\0\x10":  # a character vector: one novel, one string per printed line
            paragraphs = re.split(r"\n\s*\n", "\n".join(r_strings(block)))
            yield from grouped(text for text in (plain(paragraph.replace("_", "")) for paragraph in paragraphs)
                               if len(text) > 20)


# --- King James Version -----------------------------------------------------------------------------------------------

def bible_documents():
    """Chapters, cut where they are long; one verse per line, without its number."""
    try:
        printed = subprocess.run(["bible", "-p", "/usr/lib", "-f", "gen1:1-rev22:21"], check=True, text=True,
                                 capture_output=True, env={**os.environ, "COLUMNS": "10000"}).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"bible: {error}; install the Debian packages bible-kjv and bible-kjv-text")
    chapters = collections.defaultdict(list)
    for line in printed.splitlines():
        match = re.match(r"(\w+?)(\d+):(\d+) (.*)", line)
        if match:
            chapters[match[1], int(match[2])].append(plain(match[4]))
    for verses in chapters.values():
        yield from grouped(verses)


# --- Python's documentation -------------------------------------------------------------------------------------------

PROSE_DIRECTIVES = re.compile(
    r"\.\. (note|warning|seealso|versionadded|versionchanged|deprecated|impl-detail|cmdoption|describe|"
    r"(py:|c:)?(function|method|classmethod|staticmethod|class|attribute|data|exception|module|decorator|"
    r"coroutinefunction|coroutinemethod|awaitablefunction|type|macro|member|var|opcode|envvar|option|pdbcommand))::")


def indentation(line):
    return len(line) - len(line.lstrip())


def without_markup(text):
    # :role:`text <target>`, then `text <link>`_
    text = re.sub(r":[\w:+-]+:`!?~?([^`<]*?)\s*(<[^`>]*>)?`", lambda m: m[1] or (m[2] or "")[1:-1], text)
    text = re.sub(r"`([^`<]+?)\s*<[^`>]*>`_{1,2}", r"\1", text)
    text = re.sub(r"``([^`]+)``", r"\1", text)
    text = re.sub(r"`([^`]+)`_{0,2}", r"\1", text)
    text = re.sub(r"(?<![\w*])\*\*?([^*\s][^*]*?)\*\*?(?![\w*])", r"\1", text)
    text = re.sub(r"\|\w+\|_?|\[[\w#*]+\]_", "", text)
    text = re.sub(r"\\(.)", r"\1", text)
    return plain(re.sub(r"::\s*$", ":", re.sub(r"^([-*#]|\d+\.|\(?[a-z]\))\s+", "", text.strip())))


def prose_of(source):
    """The paragraphs of running text of a reStructuredText file."""
    skip_deeper_than = None  # inside a literal block or a directive without prose
    for block in re.split(r"\n[ \t]*\n", source.expandtabs()):
        lines = [line for line in block.split("\n") if line.strip()]
        if not lines:
            continue
        depth = indentation(lines[0])
        if skip_deeper_than is not None:
            if depth > skip_deeper_than:
                continue
            skip_deeper_than = None
        first = lines[0].strip()
        if first.startswith(".."):
            prose = PROSE_DIRECTIVES.match(first)
            if not prose:
                skip_deeper_than = depth
            continue
        text = " ".join(line.strip() for line in lines)
        if text.endswith("::"):
            skip_deeper_than = depth
        if re.search(r"(={4}|-{4}|~{4}|\^{4}|\*{4}|\+-|>>>|^\||^:\w+:)", text):
            continue
        text = without_markup(text)
        letters = sum(character.isalpha() or character == " " for character in text)
        if len(text) >= 60 and letters >= 0.88 * len(text) and text[-1] in ".:!?)":
            yield text


def python_documents(folder):
    paths = sorted(folder.rglob("*.rst.txt"))
    if not paths:
        sys.exit(f"{folder}: no reStructuredText found; install the Debian package python3.11-doc")
    seen = set()
    for path in paths:
        if path.name == "changelog.rst.txt":
            continue
        fresh = [text for text in prose_of(path.read_text(encoding="utf-8")) if text not in seen]
        seen.update(fresh)
        yield from grouped(fresh)


# ----------------------------------------------------------------------------------------------------------------------

def main():
    here = pathlib.Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--wordnet", type=pathlib.Path, default=wordnet_source.DEFAULT_FOLDER)
    parser.add_argument("--demo", type=pathlib.Path, default=here / "wordnet", help="folder of validation and test")
    options = parser.parse_args()
    for path in (AUSTEN, PYTHON_DOCUMENTATION):
        if not path.exists():
            sys.exit(f"{path}: not found; --help names the Debian packages needed")

    *wordnet, demo = wordnet_documents(options.wordnet, options.demo)
    sources = {"wordnet": wordnet}
    for name, documents in (("austen", austen_documents(AUSTEN)), ("bible", bible_documents()),
                            ("python", python_documents(PYTHON_DOCUMENTATION))):
        sources[name] = split(text for text in documents if not demo.occur_in(text))
    for name, parts in sources.items():
        sizes = [sum(len(text) + 1 for text in part) for part in parts]
        print(f"{name}: train {len(parts[0]):,} documents, {sizes[0]:,} bytes; held out {len(parts[1]):,}, {sizes[1]:,}")

    options.out.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(("train", "heldout")):
        documents = [text for parts in sources.values() for text in parts[index]]
        documents.sort(key=lambda text: wordnet_source.hash_order(SEED + " order", text))
        path = options.out / f"{name}.txt"
        temporary = path.with_suffix(".partial")
        temporary.write_bytes("\0".join(documents).encode("ascii"))
        os.replace(temporary, path)
        print(f"{path}: {len(documents):,} documents, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
