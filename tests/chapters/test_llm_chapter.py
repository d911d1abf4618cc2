"""Chapter 6: what it says is what its requests, the captioner, the judge and the tables say."""

from __future__ import annotations

import html
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from meznet_helpers import emojizoo
from meznet_helpers.assets import profile
from meznet_helpers.book import exhibit, leaderboard, validation_set
from meznet_helpers.images import read_many
from meznet_helpers.llm import CaptionLabeler
from meznet_helpers.llm import judge as judging

CHAPTER = "06-language-models"
PROBE = """
import json
print(json.dumps({
    "blind": blind.decode(), "sizes": [len(blind), len(seeing)],
    "told": told, "shown": list(shown), "spoken": list(spoken),
    "read": answers.Reader(space).table(said)[["label", "how"]].fillna("").values.tolist(),
    "texts": list(texts),
    "beast_hits": int((beast_ranks == 1).sum()), "right": int(right.sum()),
    "off_zoo": float(off_zoo), "as_drawing": float(as_drawing),
    "first": [[int(at == right) for at, right in zip(both[name].argmax(1), truth)]
              for name in (mean, judged)],
    "gain": [gain, gain_low, gain_high], "confidence": list(confidence.values()),
    "moved": moved, "there": float(there.mean()), "gains": gains.to_dict("records"),
    "summary": summary.to_dict("records"), "tokens": tokens,
    "published": [published["top1"].min(), 100 * (
        published["top1"].min() - by_labeler.loc["stacked ensemble of all 11", "top1"])],
    "compared": list(own["model"]),
    "three": float((three == 1).mean()), "by_word": [float(share) for share in shares],
}, default=float))
"""


def page(chapter: SimpleNamespace, cell: str) -> str:
    """The text of a table on the page."""
    found = chapter.cells[cell].outputs[0]["data"]["text/html"]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", found)))


def share(hits: int, n: int) -> str:
    """An accuracy as the tables write it, with SciPy's interval."""
    low, high = binomtest(hits, n).proportion_ci(method="wilson")
    return f"{hits / n:.1%} ({100 * low:.1f} to {100 * high:.1f})"


@pytest.fixture(scope="module")
def stored() -> dict[str, pd.DataFrame]:
    folder = profile.data() / "results" / "captioner"
    return {
        name: pd.read_csv(folder / f"{name}.csv", keep_default_na=False)
        for name in ("free", "prompts", "lies")
    }


def test_chapter_cost(chapter: SimpleNamespace, report_cost) -> None:
    """What the run took stands in the table of budgets."""
    report_cost(chapter)


def test_the_request_is_on_the_page(chapter: SimpleNamespace) -> None:
    """All of it, and it holds the exhibit's words, a path, and no picture."""
    body = json.loads(chapter.values.blind)
    assert body["messages"] == [{"role": "user", "content": exhibit.prompt()}]
    assert chapter.text_of(chapter.cells["capture"]).replace("\n", " ") == chapter.values.blind
    assert "elephant.jpg" in chapter.values.blind and "base64" not in chapter.values.blind
    assert chapter.values.sizes[0] < 500, "there is no room for a picture"
    text = page(chapter, "captured-table")
    for name, size, pictures, named in zip(
        ("the exhibit's", "this book's"), chapter.values.sizes, (0, 1), (True, False), strict=True
    ):
        assert f"{name} {size:,} {pictures} {named}" in text
    assert chapter.text_of(chapter.cells["same-picture"]) == "True"


def test_the_answer_follows_the_name_or_the_pixels(chapter: SimpleNamespace) -> None:
    words = ["an elephant", "a jigsaw puzzle", "a rocket", "a cat"]
    wanted = [f"The main object in the image is {word}." for word in words]
    assert chapter.values.told == wanted
    assert len(set(chapter.values.shown)) == 1
    text = page(chapter, "rename-table")
    assert all(each in text for each in [*wanted, chapter.values.shown[0]])
    obeyed, seen = eval(chapter.text_of(chapter.cells["solution-1"]))
    assert obeyed.endswith("is a rocket.") and seen == chapter.values.shown[0]


def test_how_answers_are_understood(chapter: SimpleNamespace) -> None:
    assert [tuple(row) for row in chapter.values.read] == [
        ("school bus", "name"),
        ("Yorkshire terrier", "name"),
        ("jellyfish", "name"),
        ("", "other"),
        ("", "other"),
        ("", "several"),
        ("lemon", "inside"),
        ("", "empty"),
    ]
    source = chapter.cells["understood"].outputs[0]["data"]["text/html"]
    assert "&lt;b&gt;lemon" in source and "<b>lemon" not in source, "markup must be inert"


def test_the_captions_are_the_captioners(chapter: SimpleNamespace) -> None:
    """Again, from a process of its own."""
    import keras  # noqa: F401 (so that torch stays out of this process)

    photographs = read_many(profile.package_photographs().values())
    net = CaptionLabeler("tiny")
    assert net.describe(photographs)["text"].tolist() == chapter.values.spoken
    things = "pretzel, pomegranate, crane, basketball, go - kart, viaduct, goldfish, scoreboard"
    assert chapter.values.spoken == [f"a photo of a {thing}" for thing in things.split(", ")]
    alt = chapter.cells["captions-figure"].source
    assert all(thing in alt for thing in things.replace(" - ", "-").split(", ")), "its alt text"
    net.release()
    zoo = emojizoo.animals(each=3)
    beasts = CaptionLabeler("tiny", zoo.labels, prompt="a drawing of {a}")
    assert beasts.describe(zoo.images)["text"].tolist() == chapter.values.texts
    hits = (beasts.predict(zoo.images).probs[0].argmax(1) == zoo.truth).sum()
    assert abs(hits - chapter.values.beast_hits) <= 1
    beasts.release()


def test_free_text_and_choice_are_the_stored_measurements(chapter: SimpleNamespace, stored) -> None:
    text = page(chapter, "free-table")
    for row in stored["free"].itertuples():
        assert f"{row.n:,}" in text and share(row.hits, row.n) in text
        assert share(row.off, row.n) in text and row.off == row.empty + row.several + row.other
    text = page(chapter, "prompts-table")
    for row in stored["prompts"].itertuples():
        assert share(row.hits1, row.n) in text and share(row.hits5, row.n) in text
    text = page(chapter, "lies-table")
    for row in stored["lies"].head(8).itertuples():
        assert f"{row.said} {row.of} {row.times}" in text


def test_the_prompt_of_the_leaderboard_is_the_first_measured(stored) -> None:
    """The stored measurement agrees with the bundled predictions."""
    predictions, truth = validation_set.tables("judge", "later chapters")
    probs = predictions.select(models="llm/captioner@tiny").probs[0]
    row = stored["prompts"].set_index("prompt").loc["a photo of {a}"]
    assert abs((probs.argmax(1) == truth).sum() - row["hits1"]) <= 3  # half precision


def test_the_judge(chapter: SimpleNamespace) -> None:
    """Its accuracy, its gain and what it says of its sureness, computed here from the hits."""
    mean, judge = np.array(chapter.values.first)
    board = leaderboard.read().set_index("labeler")
    assert mean.mean() == pytest.approx(board.loc["soft ensemble of the 7 nets", "top1"], abs=4e-4)
    assert judge.mean() == pytest.approx(board.loc["llm/judge@tiny", "top1"], abs=1e-3)
    gain, low, high = chapter.values.gain
    difference = judge - mean
    assert gain == pytest.approx(difference.mean())
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    assert [low, high] == pytest.approx([gain - half, gain + half], abs=1.5e-3)
    text = page(chapter, "judge-table")
    for hits in (mean, judge):
        assert share(int(hits.sum()), 5000) in text
    nets, truth = validation_set.tables("judge")
    chosen = judging.candidates(nets)
    assert chapter.values.there == pytest.approx((chosen == truth[:, None]).any(1).mean())
    printed = chapter.text_of(chapter.cells["judge-question"])
    assert printed == judging.questions(nets, chosen)[0]


def test_what_the_text_says_of_the_judge_and_the_table(chapter: SimpleNamespace) -> None:
    """Nothing gained by the judge; surer; learned weights make something of all eleven."""
    gain, low, high = chapter.values.gain
    assert low < gain < 0 < high, "too little to call it worse, and nothing gained"
    assert chapter.values.confidence[1] > chapter.values.confidence[0] + 0.02, "it sounds surer"
    gains = {row["model"]: row for row in chapter.values.gains}
    ece = [gains[name]["ece"] for name in ("soft ensemble of the 7 nets", "llm/judge@tiny")]
    assert ece[1] < ece[0] / 2, "the calibration error shrinks"
    assert 0.05 < chapter.values.moved < 0.5
    assert gains["stacked ensemble of all 11"]["gain_low"] > 0.01
    for name in ("soft ensemble of all 11", "stacked ensemble of the 7 nets", "llm/judge@tiny"):
        assert gains[name]["gain_low"] < 0 < gains[name]["gain_high"], "the figure's alt text"
    published = [gains.pop(name) for name in validation_set.PUBLISHED]
    best = max(row["accuracy"] for row in gains.values())
    assert best == gains["stacked ensemble of all 11"]["accuracy"]
    assert all(row["low"] > best for row in published), "better, and above all on the figure"
    others = [row for name, row in gains.items() if "/" in name and "judge" not in name]
    assert len(others) == 11 and all(row["gain_high"] < -0.03 for row in others)
    assert min(others, key=lambda row: row["gain"])["model"] == "llm/captioner@tiny"
    assert "Nineteen rows" in chapter.cells["board-figure"].source and len(gains) + 3 == 19


def test_published_nets_stand_apart(chapter: SimpleNamespace) -> None:
    """Marked in the table, quoted with their own interval, and in no other comparison."""
    board = leaderboard.read().set_index("labeler")
    least = board.loc[list(validation_set.PUBLISHED), "top1"].min()
    own = board.loc["stacked ensemble of all 11", "top1"]
    assert share(round(least * 5000), 5000) in page(chapter, "board")
    assert "* possibly seen in training" in page(chapter, "board")
    assert chapter.values.published == pytest.approx([least, 100 * (least - own)], abs=1e-3)
    assert chapter.values.compared == [
        row["model"] for row in chapter.values.gains if "Lite" not in row["model"]
    ]


def test_what_the_text_says_of_the_captioner(chapter: SimpleNamespace, stored) -> None:
    """Beginnings that it knows or not; choice against text; animals that it has never seen."""
    free, prompts = (stored[key].set_index(stored[key].columns[0]) for key in ("free", "prompts"))
    known = ["", "a photo of", "question: what is this? answer:"]
    assert free.loc["this is", ["hits", "off"]].tolist() == [0, 5000]
    assert free.loc[known, "hits"].idxmax() == known[2] and free.loc[known, "off"].max() < 25
    assert prompts.loc["this is {a}", "hits1"] < 0.03 * 5000
    assert prompts.loc["a photo of {a}", "hits1"] > free.loc["a photo of", "hits"]
    assert prompts.loc["a drawing of {a}", "hits1"] > free.loc["a drawing of", "hits"]
    assert chapter.values.right == 0 and chapter.values.off_zoo > 0.98
    assert chapter.values.as_drawing > 0.99
    low, high = binomtest(chapter.values.beast_hits, 270).proportion_ci(method="wilson")
    assert low < 0.02 and high < 0.06, "near chance"
    animals = set(emojizoo.animals(each=1).labels.names)
    shown = chapter.values.texts[::34]
    assert len(shown) == 8 and not any(name in text for text in shown for name in animals)


def test_the_page_quotes_the_leaderboard(chapter: SimpleNamespace) -> None:
    """Each number of each row, in the table's order; and the picture has a row for each."""
    text, at = page(chapter, "board"), 0
    assert "Everything, n = 5,000" in text
    for row in leaderboard.read().itertuples():
        cells = [
            row.labeler + " *" * (row.seen == "possibly"),
            share(round(row.top1 * row.n), row.n),
            share(round(row.top5 * row.n), row.n),
            f"{row.log_loss:.2f}",
            f"{row.ece:.1%}",
            f"{row.ms:.1f}",
            f"{row.mb:.1f}",
        ]
        at = text.find(" ".join(cells), at)
        assert at >= 0, cells


def test_costs_are_those_of_the_leaderboard(chapter: SimpleNamespace) -> None:
    board, text = leaderboard.read().set_index("labeler"), page(chapter, "cost-table")
    for name in ("timm/regnetx_002@tiny", "llm/captioner@tiny", "llm/judge@tiny"):
        ms = board.loc[name, "ms"]
        assert f"{name} {ms:.1f} {ms / board['ms'].min():.1f}" in text
    assert 60 < chapter.values.tokens < 160


def test_results(chapter: SimpleNamespace, stored) -> None:
    text = page(chapter, "results")
    for row in chapter.values.summary:
        assert f"{row['model']} {row['n']:,} {share(row['hits'], row['n'])}" in text
    by_model = {row["model"]: row["hits"] for row in chapter.values.summary}
    free = stored["free"].set_index("beginning")
    assert by_model["the captioner, free text"] == free.loc["a photo of", "hits"]
    assert by_model["the judge"] == sum(chapter.values.first[1])
    assert by_model["drawn animals, free text"] == chapter.values.right
