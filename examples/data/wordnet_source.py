"""Reads the synsets of WordNet 3.0 from the Debian package wordnet-base, and finds near-identical texts.

Shared by make_wordnet.py and make_pretraining_text.py. Python 3.9 or newer, standard library only.
"""

import collections
import hashlib
import math
import pathlib
import re
import sys

DEFAULT_FOLDER = pathlib.Path("/usr/share/wordnet")
PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")

# Numbers of the lexicographer files of the nouns (manual page lexnames(5WN)); 3 is noun.Tops, which is left out.
NOUN_CLASSES = {
    4: "act", 5: "animal", 6: "artifact", 7: "attribute", 8: "body", 9: "cognition", 10: "communication",
    11: "event", 12: "feeling", 13: "food", 14: "group", 15: "location", 16: "motive", 17: "object", 18: "person",
    19: "phenomenon", 20: "plant", 21: "possession", 22: "process", 23: "quantity", 24: "relation", 25: "shape",
    26: "state", 27: "substance", 28: "time",
}

Synset = collections.namedtuple("Synset", "part_of_speech category lemmas definition examples")
Synset.__doc__ = """One synset: `category` is the number of its lexicographer file, `lemmas` its words with spaces,
`definition` the gloss without the quoted examples, `examples` those, without quotes."""


def split_gloss(gloss):
    """Returns (definition, examples): the text before the first quote outside parentheses, and what was quoted."""
    depth = 0
    cut = len(gloss)
    for position, character in enumerate(gloss):
        if character == "(":
            depth += 1
        elif character == ")":
            depth = max(0, depth - 1)
        elif character == '"' and depth == 0:
            cut = position
            break
    definition = re.sub(r"\s+", " ", gloss[:cut]).strip(" ;:,-")
    examples = [re.sub(r"\s+", " ", text).strip(" ;") for text in re.findall(r'"([^"]{4,})"', gloss[cut:])]
    return definition, [text for text in examples if text]


def read_synsets(folder=DEFAULT_FOLDER, parts_of_speech=PARTS_OF_SPEECH):
    """Returns all synsets of the named parts of speech, in the order of the files."""
    synsets = []
    for part in parts_of_speech:
        path = pathlib.Path(folder) / f"data.{part}"
        if not path.is_file():
            sys.exit(f"{path}: not found; install the Debian package wordnet-base or name its folder with --wordnet")
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith(" "):  # the licence at the top of the file
                continue
            fields, _, gloss = line.partition(" | ")
            fields = fields.split()
            count = int(fields[3], 16)
            lemmas = [re.sub(r"\((a|p|ip)\)$", "", word).replace("_", " ") for word in fields[4:4 + 2 * count:2]]
            definition, examples = split_gloss(gloss.strip())
            if definition:
                synsets.append(Synset(part, int(fields[1]), lemmas, definition, examples))
    return synsets


def words_of(text):
    """The words of a text: runs of lower-case letters and digits."""
    return re.findall(r"[a-z0-9]+", text.lower())


def normalised(text):
    """A text reduced to its words: two texts are duplicates when these are equal."""
    return " ".join(words_of(text))


def hash_order(seed, text):
    """A number in [0, 1) that depends on the seed and the text alone."""
    digest = hashlib.sha256(f"{seed}\n{text}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class NearIdentical:
    """A set of texts that answers: does it hold one whose set of words is nearly the same?

    Nearly the same: |A ∩ B| ≥ 0.8 |A ∪ B| (the Jaccard index). Found through prefix filtering: with the words of
    each set ordered from rare to common, two such sets share one of their first n − ceil(0.8 n) + 1.
    """

    threshold = 0.8

    def __init__(self, all_texts):
        self._frequency = collections.Counter(word for text in all_texts for word in set(words_of(text)))
        self._sets = []
        self._holders = collections.defaultdict(list)

    def _prefix(self, words):
        ordered = sorted(words, key=lambda word: (self._frequency[word], word))
        return ordered[:len(ordered) - math.ceil(self.threshold * len(ordered)) + 1]

    def add(self, text):
        words = frozenset(words_of(text))
        for word in self._prefix(words):
            self._holders[word].append(len(self._sets))
        self._sets.append(words)

    def contains(self, text):
        words = frozenset(words_of(text))
        candidates = {index for word in self._prefix(words) for index in self._holders.get(word, ())}
        return any(len(words & self._sets[i]) >= self.threshold * len(words | self._sets[i]) for i in candidates)
