"""The command ``meznet models``: every labeler that has a name, and what is known of it."""

import sys
from typing import TYPE_CHECKING, Any

from meznet_helpers.cli import options

if TYPE_CHECKING:
    import pandas as pd

app = options.group()


@options.command(app)
def models(out: options.Out = "-", as_json: options.Json = False) -> int:
    """List every labeler.

    Kind, number of labels, megabytes, accuracy with n and 95 % interval, the images that it was
    measured on, and whether it is on this machine. Published nets that are here come first. A table
    in a terminal, else CSV.

    Examples
    --------
    meznet models
    meznet models --json
    """
    table = labelers()
    if as_json or out != "-" or not sys.stdout.isatty():
        options.write(table, out, as_json)
    else:
        print(readable(table).to_string(index=False))
    return 0


def labelers() -> "pd.DataFrame":
    """Return what is known of each labeler.

    Returns
    -------
    DataFrame
        One row for each name that `meznet_helpers.labeler` takes, but for those that are made up of
        a reader's own files or of names of timm, torchvision and the hub: `model`; `kind`;
        `labels`, how many; `mb`, million bytes of the files that it needs; `accuracy`, top-1, with
        `n` images and the 95 % Wilson interval `low` to `high`; `measured_on`, which images;
        `here`, whether its files are on this machine. Published accuracies come without n; what
        nobody has measured is missing. Published nets that are here come first.

    Examples
    --------
    >>> table = labelers().set_index("model")
    >>> print(*table.loc["keras/MobileNet@tiny", ["kind", "labels", "mb", "n"]])
    keras 200 1.876 10000
    """
    import pandas as pd

    from meznet_helpers.assets import store
    from meznet_helpers.labelers import registry
    from meznet_helpers.names import labeler

    assets, manifest, scores = _assets(), store.manifest(), _scores()
    rows = []
    nets = registry()
    for name in [*nets, *assets]:
        row = {"model": name, "kind": name.partition("/")[0], "labels": len(labeler(name).labels)}
        row |= scores.get(name, {})
        own = nets[name].asset or name if name in nets else name
        if files := assets.get(name, (own,) if own in manifest else ()):
            row["mb"] = sum(manifest[file].bytes for file in files) / 1e6
            row["here"] = all(store.is_here(file) for file in files)
        else:
            row["here"] = _downloaded(name)
        rows.append(row)
    rows.sort(key=lambda row: not (row["here"] and row["model"].endswith(("@imagenet", "@int8"))))
    columns = ["model", "kind", "labels", "mb", "accuracy", "n", "low", "high", "measured_on"]
    return pd.DataFrame(rows, columns=[*columns, "here"]).astype({"n": "Int64"})


def _assets() -> dict[str, tuple[str, ...]]:
    """Return the labelers that are not of the registry, and the bundled files that each needs."""
    from meznet_helpers.book.validation_set import LATER
    from meznet_helpers.book.validation_set import models as nets

    clip = "models/clip/model.safetensors"
    return LATER | {
        "clip/tuned@tiny": (clip, "models/clip-tuned/head.safetensors"),
        "prototypes/animals@tiny": (
            "timm/regnetx_002@tiny",
            "models/prototypes/animals.safetensors",
        ),
        "llm/judge@tiny": (*nets(), "models/judge/model.safetensors"),
        "clip/zero-shot@openai": (),
        "llm/captioner@blip": (),
    }


def _scores() -> dict[str, dict[str, Any]]:
    """Return what is known of accuracies: published, the leaderboard's, and those on the cards."""
    from meznet_helpers.book import leaderboard, published
    from meznet_helpers.measure import proportion
    from meznet_helpers.words import tuned

    tiny = {"measured_on": "Tiny-ImageNet"}
    scores = {
        f"keras/{row.model}@imagenet": {"accuracy": row.top1, "mb": row.size_mb}
        | {"measured_on": "ImageNet, published"}
        for row in published.keras_applications().itertuples()
    }
    for row in leaderboard.read().itertuples():
        interval = {"low": row.top1_low, "high": row.top1_high}
        scores[row.labeler] = {"accuracy": row.top1, "n": row.n} | interval | tiny
    for row in published.tiny_nets(every_tag=True).itertuples():
        scores[row.model] = proportion(row.hits1, row.n) | tiny
    for source in tuned.BUNDLED:
        about = tuned.read(tuned.find(source))
        images = {"measured_on": "Emoji Zoo"} if source == "tiny" else tiny
        scores[f"clip/tuned@{source}"] = about["metrics"]["test"] | images
    return scores | _on_animals()


def _on_animals() -> dict[str, dict[str, Any]]:
    """Return how often published nets named the right kind of animal: a terrier is a dog."""
    from meznet_helpers.labelers import registry
    from meznet_helpers.labelers.calibration import facts

    scores = {}
    for name, net in registry().items():
        if fact := facts().get(f"{net.asset}-int8" if net.tag == "int8" else net.asset):
            ends = {end: fact[f"top1_{end}"] for end in ("low", "high")}
            measured = {"accuracy": fact["top1"], "n": fact["n_all"]} | ends
            scores[name] = measured | {"measured_on": "photographs of 39 animals, by kind"}
    return scores


def _downloaded(name: str) -> bool:
    """Say whether published weights lie where Keras or the hub puts what it downloads."""
    from meznet_helpers.labelers import pretrained, registry
    from meznet_helpers.labelers.keras import downloaded
    from meznet_helpers.llm import captioner
    from meznet_helpers.words import clip

    if name in registry():
        return downloaded(registry()[name])
    return pretrained.here((clip.CHECKPOINTS | captioner.CHECKPOINTS)[name.partition("@")[2]])


def readable(table: "pd.DataFrame") -> "pd.DataFrame":
    """Lay the table out for people: a share with its interval and n in one column."""
    import pandas as pd

    def share(row: object) -> str:
        if pd.isna(row.accuracy):
            return ""
        if pd.isna(row.n):
            return f"{row.accuracy:.1%}"
        return f"{row.accuracy:.1%} ({row.low:.1%} to {row.high:.1%}, n = {row.n:,})"

    width = table["model"].str.len().max()
    columns = {
        "model": table["model"].str.ljust(width),
        "kind": table["kind"],
        "labels": table["labels"],
        "MB": [f"{size:.1f}" if size == size else "" for size in table["mb"]],
        "right (95 % interval)": [share(row) for row in table.itertuples()],
        "measured on": table["measured_on"].fillna(""),
        "here": ["yes" if here else "" for here in table["here"]],
    }
    return pd.DataFrame(columns)
