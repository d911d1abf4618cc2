"""The command ``meznet label``: images in, a table out."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from meznet_helpers.cli import options
from meznet_helpers.cli.screen import Screen
from meznet_helpers.cli.writing import Row, Writer, write_all
from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    import numpy as np

    from meznet_helpers.images import Images
    from meznet_helpers.labelers import Labeler
    from meznet_helpers.labels import LabelSpace

COLUMNS = {
    "image": "string",
    "rank": "int64",
    "label_id": "string",
    "label": "string",
    "score": "float32",
}
NONE = "none of these"
SHOWN = 3
"""Labels of a photograph in a terminal."""

app = options.group()


@options.command(app)
def label(
    images: options.Images,
    model: options.Models = None,
    ensemble: options.Ensemble = None,
    download: options.Download = False,
    top: options.Top = 5,
    least: options.Min = 0,
    none: options.Risk = None,
    sets: options.Coverage = None,
    out: options.RowsOut = "-",
    as_json: options.RowsJson = False,
    restart: options.Restart = False,
) -> int:
    """Label images.

    In a terminal a line for each, with three labels at most; else a row for each label. Scores are
    calibrated where photographs with known labels have taught how: of those with 80 %, about eight
    in ten were right. Photographs unlike these may behave otherwise.

    Examples
    --------
    meznet label holiday/ more/*.jpg --out labels.csv
    meznet label cat.jpg --model keras/MobileNet@tiny --model keras/MobileNetV2@tiny --top 3 --json
    """
    choice = Choice(top, least, none, sets)
    return write_labels(
        images, lambda: options.nets(model, ensemble, download), choice, out, as_json, restart
    )


@dataclass(frozen=True)
class Choice:
    """Which labels of a photograph are given.

    Attributes
    ----------
    top : int
        The first ones, this many.
    least : float
        None with a smaller score; a photograph without others keeps one row, without a label.
    risk : float, optional
        None at all, but *none of these*, where the first one's score is so small that this share of
        photographs with known labels would lose theirs.
    coverage : float, optional
        In place of `top`, all that it takes so that this share of sets holds the right label.
    """

    top: int = 5
    least: float = 0
    risk: float | None = None
    coverage: float | None = None

    def thresholds(self, net: "Labeler") -> tuple[float, float | None]:
        """Return below which score there is no label, and from which on one is in the set.

        Raises
        ------
        MeznetError
            If nothing is known of the labeler's scores.
        """
        if self.risk is None and self.coverage is None:
            return 0.0, None
        known = net.calibration
        if known is None:
            option = "--sets" if self.risk is None else "--none"
            raise MeznetError(
                f"{option} takes photographs whose labels are known, and none were shown to "
                f"{net.name}; meznet models --help says which labelers have seen some."
            )
        below = 0.0 if self.risk is None else known.none_below(self.risk)
        return below, None if self.coverage is None else known.in_set_from(self.coverage)

    def promise(self, nets: "Sequence[Labeler]") -> list[str]:
        """Say for which photographs the risk and the coverage hold."""
        known = {net.calibration.photographs: net.calibration.n for net in nets}
        lines = []
        for photographs, n in known.items():
            on = f"{photographs} (n = {n:,}); no promise for yours."
            if self.risk is not None:
                lines.append(f"none of these: said of {self.risk:.0%} of what has a label, on {on}")
            if self.coverage is not None:
                lines.append(f"sets: {self.coverage:.0%} hold the right label, on {on}")
        return lines


def rows(
    names: Sequence[str],
    probs: "np.ndarray",
    labels: "LabelSpace",
    choice: Choice,
    thresholds: tuple[float, float | None] = (0.0, None),
) -> list[list[Row]]:
    """Return rows of the table: image, rank, label id, label, score.

    Parameters
    ----------
    names : sequence of str
    probs : ndarray, shape (images, labels)
    labels : LabelSpace
    choice : Choice
    thresholds : tuple
        As `Choice.thresholds` returns them.

    Returns
    -------
    list of list of tuple
        For each image its rows.

    Examples
    --------
    >>> import numpy as np
    >>> from meznet_helpers.labels import from_names
    >>> probs, labels = np.array([[0.25, 0.75]]), from_names(["Cat", "Dog"])
    >>> rows(["a.png"], probs, labels, Choice(least=0.5))
    [[('a.png', 1, 'dog', 'Dog', 0.75)]]
    >>> rows(["a.png"], probs, labels, Choice(), (0.9, None))
    [[('a.png', 1, None, 'none of these', 0.75)]]
    """
    from meznet_helpers.predictions import top_indices

    below, inside = thresholds
    table = []
    count = choice.top if inside is None else len(labels)
    for name, row, places in zip(names, probs, top_indices(probs, count), strict=True):
        least = row.dtype.type(max(choice.least, inside or 0))
        kept = [place for place in places if row[place] >= least]
        first = float(row[places[0]])
        if first < below or (inside is not None and first < inside):
            table.append([(name, 1, None, NONE, first)])
            continue
        table.append([
            (name, rank, labels.ids[place], labels.names[place], float(row[place]))
            for rank, place in enumerate(kept, 1)
        ] or [(name, None, None, None, None)])  # fmt: skip
    return table


def write_labels(
    patterns: list[str],
    make: "Callable[[], list[Labeler]]",
    choice: Choice,
    out: str,
    as_json: bool,
    restart: bool,
    **settings: Any,
) -> int:
    """Label images in a stream and write image, rank, label id, label and score.

    Parameters
    ----------
    patterns : list of str
        Files, folders or patterns.
    make : callable
        Makes the labelers, once there are images; with several of them there is a column for the
        model.
    choice : Choice
        In a terminal three labels at most are shown, but whole sets.
    out : str
    as_json, restart : bool
        As `meznet_helpers.cli.writing.Writer` takes them.
    **settings
        What else the labels depend on, for JSON.

    Returns
    -------
    int
        0, or 1 if some images could not be read, 2 if none could.
    """
    from meznet_helpers.images.reading import display_names
    from meznet_helpers.labelers import largest_side

    files = options.find(patterns, out)
    nets = make()
    thresholds = [choice.thresholds(net) for net in nets]
    several = len(nets) > 1
    columns = {"image": "string", "model": "string"} if several else {}
    columns |= COLUMNS
    shown = None
    if out == "-" and not as_json and choice.coverage is None and sys.stdout.isatty():
        choice = replace(choice, top=min(choice.top, SHOWN))
        models = [net.name for net in nets] if several else []
        labels = [name for net in nets for name in net.labels.names]
        labels += [] if choice.risk is None else [NONE]
        shown = Screen(display_names(files), models, labels, choice.top)
    settings |= {
        "model": [net.name for net in nets],
        "labels": [[*net.labels.ids] for net in nets],
        "temperature": [net.calibration and net.calibration.temperature for net in nets],
        "top": choice.top,
        "min": choice.least,
        "none": choice.risk,
        "sets": choice.coverage,
    }
    if choice.risk is not None or choice.coverage is not None:
        options.complain(choice.promise(nets))
    side = largest_side(nets)

    def work(images: "Images") -> list[Row]:
        each = [
            rows(images.names, net.batch(images, calibrated=True), net.labels, choice, limits)
            for net, limits in zip(nets, thresholds, strict=True)
        ]
        return [
            (row[0], net.name, *row[1:]) if several else row
            for image in zip(*each, strict=True)
            for net, some in zip(nets, image, strict=True)
            for row in some
        ]

    given = {"as_json": as_json, "restart": restart, "shown": shown}
    try:
        writer = Writer(out, columns, files, settings, **given)
        return write_all(writer, work, side=2 * side if side else None)
    finally:
        for net in nets:
            net.release()
