"""Write README.md of this folder: the table of nets, and the plain mean of all of them.

python data/models/make_readme.py
"""

from pathlib import Path

from meznet_helpers import ensemble, evaluate, validation
from meznet_helpers.published import tiny_nets

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
| file | what it does |
|---|---|
| `recipes.json` | how each net was trained last; `start` is the commit it went on from |
| `train_keras.py`, `train_timm.py` | train one net; save each epoch and go on from there |
| `training.py` | what both share |
| `export_keras.py`, `export_timm.py` | turn a finished run into a folder here |
| `exporting.py` | what both share |
| `make_readme.py` | writes this page |

The weights are this project's, under the MIT license. The photographs are ImageNet's, for research
and education, and are not part of this repository.
"""


def cell(hits: int, n: int) -> str:
    """Write hits of n as percent and interval."""
    low, high = evaluate.wilson(hits, n)
    return f"{100 * hits / n:.1f} ({100 * float(low):.1f} to {100 * float(high):.1f})"


def main() -> None:
    """Read cards and predictions, and write the page."""
    nets, (predictions, truth) = tiny_nets(), validation.tables()
    rows = [
        f"| [{net.model}]({net.folder}/README.md) | {net.mode} | {net.size}"
        f" | {net.parameters:.2f} M"
        f" | {net.epochs} | {cell(net.hits1, net.n)} | {cell(net.hits5, net.n)} |"
        for net in tiny_nets(every_tag=True).itertuples()
    ]
    mean = evaluate.rank_of_truth(ensemble.soft(predictions.probs), truth)
    best = predictions.select(models=nets.loc[nets["hits1"].idxmax(), "model"])
    best = evaluate.rank_of_truth(best.probs[0], truth)
    hits1, hits5 = (int(evaluate.hits(mean, k).sum()) for k in (1, 5))
    n = len(truth)
    rows.append(f"| All, mean | | | | | {cell(hits1, n)} | {cell(hits5, n)} |")
    gain, low, high = (100 * float(v) for v in evaluate.paired_difference(mean, best, seed=0))
    weak = nets[nets["hits1"] < 0.35 * nets["n"]]["model"].tolist()
    below = f"Below 35 % top-1, and to be trained further: {', '.join(weak)}.\n" if weak else ""
    text = TEXT.format(
        rows="\n".join(rows), gain=f"{gain:.1f} ({low:.1f} to {high:.1f})", below=below
    )
    (Path(__file__).parent / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
