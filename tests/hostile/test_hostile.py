"""A part of the attacks; ``data/results/make_reliability.py`` runs all of them."""

import csv

import pytest

from tests.hostile import attacks

pytestmark = pytest.mark.nets


@pytest.mark.parametrize("kind", attacks.ATTACKS)
def test_nothing_falls(kind):
    faults = []
    for seed in range(attacks.ATTACKS[kind].in_tests):
        try:
            attacks.attack(kind, seed)
        except attacks.Unsuitable as error:
            pytest.skip(str(error))
        except attacks.Fault as fault:
            faults.append(f"seed {seed}: {fault}")
    assert not faults, "\n".join(faults)


def test_the_preface_quotes_the_table(root):
    """Its rows are those of the file that the script wrote, of all attacks."""
    path = root / "data" / "results" / "reliability.csv"
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["what", "n", *attacks.FAULTS]
    assert [row[:2] for row in rows] == [
        [attack.what, str(attack.times)] for attack in attacks.ATTACKS.values()
    ]
    preface = (root / "index.qmd").read_text(encoding="utf-8")
    for row in rows:
        assert f"| {' | '.join(row)} |" in preface, row
