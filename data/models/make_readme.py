"""Write README.md of this folder: the table of nets, and the plain mean of all of them.

python data/models/make_readme.py
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from meznet_helpers import emojizoo, measure
from meznet_helpers.book import validation_set
from meznet_helpers.book.published import tiny_nets
from meznet_helpers.ensembles import soft
from meznet_helpers.features import embed, probing
from meznet_helpers.images import Dataset
from meznet_helpers.measure import paired_difference, rank_of_truth, wilson

TEXT = """# Nets trained by this project

Keras applications and two nets of timm, trained from random weights on Tiny-ImageNet's 100,000
training photographs (200 classes, 64 pixels). The nets of timm were then trained on drawings too,
of Emoji Zoo's classes that are not animals; one of them is kept as it was before, with the tag
`photos`. Each folder holds weights (safetensors, 16-bit floats or 8-bit integers), `net.json`, the
training log and a card with its limits.

| net | mode | input | parameters | epochs | top-1 | top-5 |
|---|---|---|---|---|---|---|
{rows}

Accuracies in percent on the 10,000 validation images, with 95 % Wilson intervals. "All, mean" is
the plain mean of the probabilities of all nets of tag `tiny`, on the same images; against the best
single net it gains {gain} points of top-1 (95 % paired bootstrap interval).

{below}
## On drawings of animals

What features of the nets are good for: drawn animals are new to all of them. *Faces*: cat, dog or
wild by logistic regression, 300 pictures, learned from the other half, five times halved anew, and
with each style held out in turn; 95 % bootstrap intervals. *90 animals*: the nearest mean of 30
examples each, by cosine, n = 2,700, Wilson intervals. *Whitened*: the same after PCA has brought
all directions to equal variance, learned from seven drawings each of the emoji that are not
animals. Flattened color pixels stand beside.

| features | faces | style held out | 90 animals: first | among 4 | whitened: first | among 4 |
|---|---|---|---|---|---|---|
{drawings}

| file | what it does |
|---|---|
| `recipes.json` | how each net was trained last; `start`: the commit or recipe before |
| `train_keras.py`, `train_timm.py`, `train_clip.py` | train one net; save and go on |
| `train_captioner.py`, `sentences.py` | the same for the captioner; what it reads |
| `training.py`, `drawings.py`, `captions.py`, `kinds.csv` | runs, pictures, words under them |
| `wordlist.py` | a tokenizer of whole words |
| `export_keras.py`, `export_timm.py`, `export_clip.py` | turn a finished run into a folder here |
| `export_captioner.py`, `exporting.py` | the same for the captioner; what they share |
| `tune_clip.py` | tunes the small CLIP: `clip-tuned/`, `clip-tuned-photographs/` |
| `train_judge.py` | trains the judge that reads nets' predictions: `judge/` |
| `make_indexes.py` | makes two indexes of prototypes: `prototypes/` |
| `make_readme.py` | writes this page |

The weights are this project's, under the MIT license. The photographs are ImageNet's, for research
and education, and are not part of this repository.
"""


def cell(hits: int, n: int) -> str:
    """Write hits of n as percent and interval."""
    return percent(hits / n, *wilson(hits, n))


def percent(value: float, low: float, high: float) -> str:
    """Write a share and its interval in percent."""
    return f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def drawings(
    name: str,
    describe: Callable[[Dataset], np.ndarray],
    faces: Dataset,
    zoo: Dataset,
    things: Dataset,
) -> str:
    """Return the row of one kind of features: on faces, and on animals, whitened by things too."""
    x, model = describe(faces), {"lr": probing.classifiers()["logistic regression"]}
    halves = probing.by_picture({"x": x}, model, faces.truth)
    styles = probing.by_group({"x": x}, model, faces.truth, faces.groups)
    cells = []
    for table in (probing.accuracy(halves), probing.accuracy(styles)):
        (row,) = table.itertuples()
        cells.append(percent(row.accuracy, row.low, row.high))
    train, valid = zoo.by_picture()
    x, judged = describe(train), describe(valid)
    white = PCA(whiten=True, svd_solver="full").fit(describe(things))
    for some, others in ((x, judged), (white.transform(x), white.transform(judged))):
        means = [some[train.truth == label].mean(axis=0) for label in range(len(zoo.labels))]
        ranks = rank_of_truth(cosine_similarity(others, means), valid.truth)
        cells += [cell(int(measure.hits(ranks, k).sum()), len(valid)) for k in (1, 4)]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Read cards and predictions, and write the page."""
    nets, every_net = tiny_nets(), tiny_nets(every_tag=True)
    predictions, truth = validation_set.tables()
    rows = [
        f"| [{net.model}]({net.folder}/README.md) | {net.mode} | {net.size}"
        f" | {net.parameters:.2f} M"
        f" | {net.epochs} | {cell(net.hits1, net.n)} | {cell(net.hits5, net.n)} |"
        for net in every_net.itertuples()
    ]
    mean = rank_of_truth(soft(predictions.probs), truth)
    best = predictions.select(models=nets.loc[nets["hits1"].idxmax(), "model"])
    best = rank_of_truth(best.probs[0], truth)
    hits1, hits5 = (int(measure.hits(mean, k).sum()) for k in (1, 5))
    n = len(truth)
    rows.append(f"| All, mean | | | | | {cell(hits1, n)} | {cell(hits5, n)} |")
    gain = paired_difference(mean, best, seed=0)
    weak = nets[nets["hits1"] < 0.35 * nets["n"]]["model"].tolist()
    below = f"Below 35 % top-1, and to be trained further: {', '.join(weak)}.\n" if weak else ""
    things = emojizoo.render(emojizoo.table().query("animal == 'no'").slug, 7, size=64)
    sets = (emojizoo.faces(), emojizoo.animals(), things)
    ways = {"color pixels": probing.flatten}
    ways |= {name: partial(embed, backbone=name) for name in every_net["model"]}
    text = TEXT.format(
        drawings="\n".join(drawings(*way, *sets) for way in ways.items()),
        rows="\n".join(rows),
        gain=percent(*gain),
        below=below,
    )
    (Path(__file__).parent / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
