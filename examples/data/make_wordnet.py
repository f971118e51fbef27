#!/usr/bin/env python3
"""Makes the demo's data: WordNet noun gloss -> lexicographer category, as train, validation and test JSONL.

Source: WordNet 3.0 from the Debian package wordnet-base. Each line is
    {"prompt":"small tufted fern of northwestern America => ","completion":"plant"}
The prompt is the gloss without its quoted examples; the completion is one of 25 class names, none of which is a
prefix of another. What goes where depends only on the glosses and SEED:

 1. nouns of the 25 classes (noun.Tops left out) with a gloss of 12 to 160 bytes;
 2. glosses with the same words are one item; those that occur with different classes are left out;
 3. items in the order of a hash of seed and gloss; an item with nearly the same words as one already taken is left
    out (Jaccard index >= 0.8), so that no split holds a near copy of another split's item;
 4. the first 2,000 are the test split, the next 1,000 validation, the next 20,000 train.

Python 3.9 or newer, standard library only. The result is the same on every machine.
"""

import argparse
import collections
import json
import os
import pathlib

import wordnet_source as source

SEED = "sdlora wordnet 1"
SPLITS = (("test", 2000), ("validation", 1000), ("train", 20000))
SHORTEST, LONGEST = 12, 160
SEPARATOR = " => "


def candidates(folder):
    """Returns [(gloss, class name)] after steps 1 and 2."""
    classes = collections.defaultdict(set)
    text = {}
    for synset in source.read_synsets(folder, ("noun",)):
        name = source.NOUN_CLASSES.get(synset.category)
        if name is None or not SHORTEST <= len(synset.definition) <= LONGEST:
            continue
        key = source.normalised(synset.definition)
        classes[key].add(name)
        text.setdefault(key, synset.definition)
    return [(text[key], next(iter(names))) for key, names in classes.items() if len(names) == 1]


def make_splits(items):
    """Returns {split: [(gloss, class name)]} after steps 3 and 4."""
    items = sorted(items, key=lambda item: source.hash_order(SEED, source.normalised(item[0])))
    taken = source.NearIdentical(gloss for gloss, _ in items)
    splits = {}
    rest = iter(items)
    for split, size in SPLITS:
        chosen = splits[split] = []
        while len(chosen) < size:
            gloss, name = next(rest)
            if not taken.contains(gloss):
                taken.add(gloss)
                chosen.append((gloss, name))
    return splits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=pathlib.Path, default=source.DEFAULT_FOLDER, help="folder of data.noun")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "wordnet")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    items = candidates(options.wordnet)
    print(f"{len(items):,} different glosses")
    for split, chosen in make_splits(items).items():
        path = options.out / f"{split}.jsonl"
        lines = [json.dumps({"prompt": gloss + SEPARATOR, "completion": name}, separators=(",", ":"))
                 for gloss, name in chosen]
        temporary = path.with_suffix(".partial")
        temporary.write_text("\n".join(lines) + "\n", encoding="ascii")
        os.replace(temporary, path)
        (majority, count), = collections.Counter(name for _, name in chosen).most_common(1)
        classes = len({name for _, name in chosen})
        print(f"{path}: {len(chosen):,} items, {path.stat().st_size:,} bytes, {classes} classes, "
              f"most frequent {majority} ({100 * count / len(chosen):.1f} %)")


if __name__ == "__main__":
    main()
