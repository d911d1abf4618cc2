"""Write which of ImageNet's 1,000 labels are kinds of which animal, by WordNet's tree.

    python data/labels/make_animals.py --wordnet dict

`--wordnet` is the folder of WordNet's files (``data.noun``), 3.1. ImageNet's ids are those of
WordNet 3.0, so its labels are found by their names.
"""

import argparse
import csv
from pathlib import Path

from meznet_helpers.assets.profile import data, installed
from meznet_helpers.labels import imagenet

ANIMALS = """
    antelope badger bear bison boar cat chimpanzee cow coyote deer dog donkey duck elephant
    flamingo fox goat gorilla hare hedgehog hippopotamus horse hyena kangaroo koala leopard lion
    okapi orangutan otter ox panda pelecaniformes penguin pig porcupine raccoon reindeer
    rhinoceros sheep snake squirrel tiger turkey wolf wombat zebra
"""
#: What the photographs of these folders show, in WordNet's words.
MEANT = {"cat": "domestic cat", "panda": "giant panda", "pelecaniformes": "pelecaniform seabird"}
#: Kinds of one that have a folder of their own.
APART = {"wolf": "coyote"}


def read(file: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Read the names and the parents of each meaning of a noun, by its id."""
    nouns = {}
    for line in file.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):
            continue
        words = line.partition(" | ")[0].split()
        names = [words[4 + 2 * n].replace("_", " ").lower() for n in range(int(words[3], 16))]
        rest = words[4 + 2 * len(names) :]
        pointers = [rest[1 + 4 * n : 3 + 4 * n] for n in range(int(rest[0]))]
        nouns[words[0]] = names, [other for kind, other in pointers if kind in ("@", "@i")]
    return nouns


def main() -> None:
    """Read WordNet and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="the folder of data.noun")
    nouns = read(parser.parse_args().wordnet / "data.noun")
    called: dict[str, list[str]] = {}
    for noun, (names, _) in nouns.items():
        for name in names:
            called.setdefault(name, []).append(noun)

    def above(noun: str) -> set[str]:
        return {noun}.union(*(above(parent) for parent in nouns[noun][1]))

    animal = next(noun for noun in called["animal"] if "fauna" in nouns[noun][0])

    def meanings(name: str) -> list[str]:
        return [noun for noun in called.get(name, ()) if animal in above(noun)]

    kinds = imagenet().ids[:398]  # the animals; a cab, too, is some kind of horse
    lemmas = installed("timm", "data/_info/imagenet_synset_to_lemma.txt")
    places = {}
    for line in lemmas.read_text(encoding="utf-8").splitlines():
        label_id, _, text = line.partition("\t")
        names = {name.strip().lower() for name in text.split(",")}
        fitting = {noun for name in names for noun in meanings(name)}
        if fitting and label_id in kinds:  # the meaning that shares most names
            places[label_id] = max(
                sorted(fitting), key=lambda noun: len(names & set(nouns[noun][0]))
            )
    rows = []
    for name in ANIMALS.split():
        wanted = set(meanings(MEANT.get(name, name)))
        apart = set(meanings(APART[name])) if name in APART else set()
        for label_id in kinds:
            above_it = above(places[label_id]) if label_id in places else set()
            if wanted & above_it and not apart & above_it:
                rows.append((name, label_id, int(places[label_id] in wanted)))
    with (data() / "labels" / "animals-imagenet.csv").open("w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("animal", "label_id", "same"), *rows])


if __name__ == "__main__":
    main()
