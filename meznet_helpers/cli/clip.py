"""The commands ``meznet clip label``, ``meznet clip finetune`` and ``meznet clip export``."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from meznet_helpers.cli import commands
from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    from meznet_helpers.finetune import Recipe
    from meznet_helpers.labels import LabelSpace
    from meznet_helpers.words import ClipLabeler


def label(args: argparse.Namespace) -> int:
    """Write image, rank, label id, label and score; bad files as lines on standard error.

    Parameters
    ----------
    args : Namespace
        images (list of str), model (str), labels (str or None), template (list of str or None), top
        (int), json (bool), file (str or None).

    Returns
    -------
    int
        0, or 1 if some images could not be read, 2 if none could.

    Raises
    ------
    MeznetError
        If an argument is wrong or the model can't be had.
    """
    net = clip(args.model, args.labels, args.template)  # complain before anything is read
    return commands.write_labels(args, lambda: [net])


def clip(model: str, labels: str | None, templates: list[str] | None) -> "ClipLabeler":
    """Make the labeler that the options ask for.

    Parameters
    ----------
    model : str
        ``"zero-shot"``, ``"tuned"``, the folder of a tuned CLIP, or a checkpoint: a folder or a
        name of the hub.
    labels : str, optional
        Names with commas between them; for zero-shot alone.
    templates : list of str, optional
        For zero-shot alone.

    Returns
    -------
    ClipLabeler

    Raises
    ------
    MeznetError
        If there is no such model, or the options don't suit it.

    Examples
    --------
    >>> clip("zero-shot", "cat, dog", None).labels.names
    ('cat', 'dog')
    >>> clip("tuned", "cat, dog", None)
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: --labels is for zero-shot; tuned knows animal, not animal.
    """
    from meznet_helpers.words import PHOTO, TunedLabeler, ZeroShotLabeler, tuned
    from meznet_helpers.words.clip import find

    if model == "tuned" or tuned.holds(model):
        net = TunedLabeler("tiny" if model == "tuned" else model)
        for option, given in (("--labels", labels), ("--template", templates)):
            if given is not None:
                known = ", ".join(net.labels.names[:5])
                raise MeznetError(f"{option} is for zero-shot; {model} knows {known}.")
        return net
    names = None if labels is None else [each.strip() for each in labels.split(",")]
    if names is not None and not any(names):
        raise MeznetError("--labels is empty; name two labels or more: --labels cat,dog.")
    source = None if model == "zero-shot" else model
    if source is not None:
        find(source)
    return ZeroShotLabeler(source, names, templates=templates or PHOTO)


def finetune(args: argparse.Namespace) -> int:
    """Tune CLIP on a tree of images, write its folder, and its metrics as JSON.

    Parameters
    ----------
    args : Namespace
        data, out (str), method (str), source (str or None), epochs, batch (int or None), rate
        (float or None), class_weights (str), seed (int).

    Returns
    -------
    int
        0, or 1 if some images could not be read.

    Raises
    ------
    MeznetError
        If an argument is wrong, the data can't be learned from, or the folder can't be written.
    """
    from meznet_helpers.finetune import clip as tuning
    from meznet_helpers.finetune import read_parts, report
    from meznet_helpers.words import ZeroShotLabeler
    from meznet_helpers.words import tuned as folders

    out = Path(args.out).expanduser()
    folders.check(out)
    train, judged = read_parts(args.data, args.seed)
    recipe = recipe_of(args, train.labels)
    source = args.source or ZeroShotLabeler().source
    for data in (train, *judged.values()):
        commands.complain(data.images)
    bad = any(data.images.errors for data in (train, *judged.values()))
    train = tuning.cropped(train, source)
    judged = {name: tuning.cropped(data, source) for name, data in judged.items()}
    kept = out.with_name(f"{out.name}.training")
    if kept.exists():
        print(f"meznet: going on from {kept}.", file=sys.stderr)
    how = {"source": source, "seed": args.seed, "checkpoint": kept, "progress": True}
    tuned = tuning.tune(train, judged["valid"], args.method, recipe, **how)
    report.save(tuned, out, train, judged)
    kept.unlink()
    metrics = folders.read(out)["metrics"]
    print(json.dumps({"folder": str(out), "metrics": metrics}, indent=1))
    return 1 if bad else 0


def recipe_of(args: argparse.Namespace, labels: "LabelSpace") -> "Recipe":
    """Return the recipe of the method, with what the command line changes.

    Parameters
    ----------
    args : Namespace
        As `finetune` takes it.
    labels : LabelSpace

    Raises
    ------
    MeznetError
        If a number is out of its range, or the weights don't fit the labels.
    """
    from meznet_helpers.finetune import clip as tuning

    changes = {key: getattr(args, key) for key in ("epochs", "batch", "rate")}
    changes = {key: value for key, value in changes.items() if value is not None}
    changes["class_weight"] = class_weights(args.class_weights, labels)
    return dataclasses.replace(tuning.RECIPES[args.method], **changes)


def class_weights(text: str, labels: "LabelSpace") -> str | tuple[float, ...] | None:
    """Read the option ``--class-weights``.

    Parameters
    ----------
    text : str
        ``auto`` (the fewer images, the more), ``none``, or ``LABEL=NUMBER,...`` for each label.
    labels : LabelSpace

    Returns
    -------
    "balanced", tuple of float, or None

    Raises
    ------
    MeznetError
        If the text is none of these.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> class_weights("other=2.1,animal=6.1", from_names(["animal", "other"]))
    (6.1, 2.1)
    """
    from meznet_helpers.images import match

    if text in ("auto", "none"):
        return "balanced" if text == "auto" else None
    names, _, values = zip(*(each.partition("=") for each in text.split(",")), strict=True)
    try:
        numbers = [float(value) for value in values]
        places = match([name.strip() for name in names], labels)
    except (ValueError, MeznetError):
        places = []
    if sorted(places) != list(range(len(labels))):
        ids = ",".join(f"{each}=1" for each in labels.ids[:5])
        raise MeznetError(f'--class-weights is "{text}"; it must be auto, none, or like {ids}.')
    return tuple(numbers[places.index(place)] for place in range(len(labels)))


def export(args: argparse.Namespace) -> int:
    """Write a tuned CLIP as ONNX, compare it with torch, and say how fast it is.

    Parameters
    ----------
    args : Namespace
        model (str), out (str).

    Returns
    -------
    int
        0.

    Raises
    ------
    MeznetError
        If the model can't be had, the file can't be written, or the two do not agree.
    """
    from meznet_helpers.words import onnx_export

    net = clip(args.model, args.labels, args.template)
    print(json.dumps(onnx_export.export(net, Path(args.out)), indent=1))
    return 0
