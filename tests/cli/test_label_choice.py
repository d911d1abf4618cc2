"""Which labels ``meznet label`` gives: the first ones, sets, or none of these."""

import csv
import io

import numpy as np
import pytest

from meznet_helpers.assets import package_photographs
from meznet_helpers.cli import main
from meznet_helpers.cli.label import NONE, Choice, rows
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names
from meznet_helpers.names import labeler

TINY = "keras/MobileNet@tiny"
LABELS = from_names(["ant", "bee", "cow", "dog"])
PROBS = np.array([[0.6, 0.3, 0.08, 0.02], [0.3, 0.26, 0.24, 0.2]], np.float32)
CAT = str(package_photographs()["cat"])


def given(choice: Choice, thresholds=(0.0, None)) -> list[list[str]]:
    return [
        [row[3] for row in some] for some in rows(["a", "b"], PROBS, LABELS, choice, thresholds)
    ]


def test_the_first_ones():
    assert given(Choice(top=2)) == [["ant", "bee"], ["ant", "bee"]]
    assert given(Choice(least=0.25)) == [["ant", "bee"], ["ant", "bee"]]
    assert given(Choice(least=0.5)) == [["ant"], [None]]


def test_none_of_these_below_a_threshold():
    assert given(Choice(top=1), (0.5, None)) == [["ant"], [NONE]]
    ((_, _), (row,)) = rows(["a", "b"], PROBS, LABELS, Choice(top=2), (0.5, None))
    assert row == ("b", 1, None, NONE, pytest.approx(0.3))


def test_sets_hold_all_from_a_threshold_on_whatever_top_says():
    assert given(Choice(top=1), (0.0, 0.25)) == [["ant", "bee"], ["ant", "bee"]]
    assert given(Choice(top=1), (0.0, 0.2)) == [["ant", "bee"], ["ant", "bee", "cow", "dog"]]
    assert given(Choice(), (0.0, 0.5)) == [["ant"], [NONE]]  # an empty set


def test_thresholds_are_the_labelers_own():
    net = labeler(TINY)
    assert Choice().thresholds(net) == (0.0, None)
    below, inside = Choice(risk=0.05, coverage=0.9).thresholds(net)
    assert below == net.calibration.none_below(0.05)
    assert inside == net.calibration.in_set_from(0.9)
    assert Choice(risk=0.2).thresholds(net)[0] > below


def test_a_labeler_that_was_shown_nothing_is_refused():
    net = labeler("keras/ResNet50")
    with pytest.raises(MeznetError, match=r"--none takes .*none were shown to keras/ResNet50@imag"):
        Choice(risk=0.05).thresholds(net)
    with pytest.raises(MeznetError, match="--sets takes photographs"):
        Choice(coverage=0.9).thresholds(net)


def table(capsys, *options: str) -> tuple[list[dict[str, str]], str]:
    assert main(["label", CAT, "--model", TINY, *options]) == 0
    done = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(done.out))), done.err


def test_scores_are_calibrated(capsys):
    found, _ = table(capsys)
    probs = labeler(TINY).predict([CAT], calibrated=True).top(5)
    assert [row["label"] for row in found] == probs["label"].tolist()
    np.testing.assert_allclose([float(row["score"]) for row in found], probs["score"], atol=6e-5)


def test_promises_name_their_photographs(capsys):
    found, said = table(capsys, "--sets", "0.9", "--none", "0.05")
    known = labeler(TINY).calibration
    assert "sets: 90% hold the right label, on photographs of Tiny-ImageNet" in said
    assert "none of these: said of 5% of what has a label" in said
    assert said.count("no promise for yours.") == 2
    warm = labeler(TINY).predict([CAT], calibrated=True).probs[0, 0]
    size = int((warm >= np.float32(known.in_set_from(0.9))).sum())
    if warm.max() < known.none_below(0.05) or not size:
        assert [row["label"] for row in found] == [NONE]
    else:
        assert len(found) == size


@pytest.mark.parametrize("options", [["--none", "0"], ["--none", "1.5"], ["--sets", "90"]])
def test_bad_shares_are_one_sentence(capsys, options):
    assert main(["label", CAT, "--model", TINY, *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "must lie between 0 and 1" in said
