"""Label with words, fine-tune, and export.

Examples
--------
meznet clip label cat.jpg --labels "cat,dog,nobody"
meznet clip finetune --data pictures --out my-clip
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from meznet_helpers.cli import options
from meznet_helpers.cli.label import Choice, write_labels
from meznet_helpers.cli.options import option
from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    from meznet_helpers.labels import LabelSpace
    from meznet_helpers.words import ClipLabeler

app = options.group("clip", __doc__)

MODEL = (
    "zero-shot, where words decide, with openai's CLIP; zero-shot@tiny, with this repository's; "
    "tuned@tiny, its classifier; the folder of a tuned CLIP; or a checkpoint: a folder or a name "
    "of the hub."
)
DATA = "A folder of images for each label; or train and valid, each with such folders."
SOURCE = "tiny, openai, a name of the hub, or a folder."

Model = Annotated[str, option("NAME", MODEL)]
Templates = Annotated[list[str] | None, option("TEXT", 'Such as "a photo of {a}"; repeatable.')]


@options.command(app)
def label(
    images: options.Images,
    model: Model = "zero-shot",
    labels: options.Labels = None,
    labels_file: options.LabelsFile = None,
    template: Templates = None,
    download: options.Download = False,
    top: options.Top = 5,
    least: options.Min = 0,
    out: options.RowsOut = "-",
    as_json: options.RowsJson = False,
    restart: options.Restart = False,
) -> int:
    """Label images with words of your own.

    Without labels they are Tiny-ImageNet's 200, or ImageNet's 1,000.

    Examples
    --------
    meznet clip label holiday/ --labels "cat,dog,nobody" --top 3
    meznet clip label drawing.png --model tuned@tiny --out labels.csv
    """
    net = clip(model, labels, labels_file, template, download)  # complain before anything is read
    return write_labels(
        images, lambda: [net], Choice(top, least), out, as_json, restart, templates=template or []
    )


def clip(
    model: str,
    row: str | None,
    file: str | None,
    templates: list[str] | None,
    download: bool = False,
) -> "ClipLabeler":
    """Make the labeler that the options ask for.

    Parameters
    ----------
    model : str
        ``"zero-shot"``, ``"tuned@tiny"``, the folder of a tuned CLIP, or a checkpoint: a folder or
        a name of the hub.
    row, file : str or None
        As `options.read_labels` takes them; for zero-shot alone.
    templates : list of str or None
        For zero-shot alone.
    download : bool
        Whether the CLIP that a folder names may be downloaded.

    Returns
    -------
    ClipLabeler

    Raises
    ------
    MeznetError
        If there is no such model, or the options don't suit it.

    Examples
    --------
    >>> clip("zero-shot", "cat, dog", None, None).labels.names
    ('cat', 'dog')
    >>> clip("tuned@tiny", "cat, dog", None, None)
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: --labels is for zero-shot; tuned@tiny knows animal, \
not animal.
    """
    from meznet_helpers.names import labeler
    from meznet_helpers.words import PHOTO, ZeroShotLabeler, tuned
    from meznet_helpers.words.clip import find

    kind, _, source = model.partition("@")
    if kind == "tuned" or tuned.holds(model):
        known = "clip/" if kind == "tuned" else "clip/tuned@"
        net = labeler(known + model, download=download)
        for name, given in {"labels": row, "labels-file": file, "template": templates}.items():
            if given not in (None, []):
                known = ", ".join(net.labels.names[:5])
                raise MeznetError(f"--{name} is for zero-shot; {model} knows {known}.")
        return net
    labels = options.read_labels(row, file)
    source = source if kind == "zero-shot" else model
    if source:
        find(source)
    return ZeroShotLabeler(source, labels, templates=templates or PHOTO)


@options.command(app)
def finetune(
    data: Annotated[str, option("FOLDER", DATA)],
    out: Annotated[str, option("FOLDER", "Must not be there yet.")],
    method: Literal["probe", "full", "lora"] = "probe",
    source: Annotated[str, option("CLIP", SOURCE)] = "openai",
    epochs: Annotated[int | None, option("N", "How long.", "3")] = None,
    batch: Annotated[int | None, option("N", "Images at a time.", "12")] = None,
    rate: Annotated[float | None, option("X", "The highest.", "the method's own")] = None,
    class_weights: Annotated[str, option("auto|none|LABEL=X,...", "What errors cost.")] = "auto",
    seed: options.Seed = 0,
) -> int:
    """Teach CLIP your labels, from a tree of folders.

    Goes on where it was broken off.

    Examples
    --------
    meznet clip finetune --data pictures --out my-clip --method lora
    meznet clip finetune --data pictures --out cats --class-weights cat=3,dog=1 --seed 1
    """
    from meznet_helpers.finetune import clip as tuning
    from meznet_helpers.finetune import read_parts, report
    from meznet_helpers.words import tuned

    folder = Path(out).expanduser()
    tuned.check(folder)
    train, judged = read_parts(data, seed)
    options.say_left_aside(data)
    changes = {"epochs": epochs, "batch": batch, "rate": rate}
    changes = {key: value for key, value in changes.items() if value is not None}
    weights = weights_of(class_weights, train.labels)
    recipe = dataclasses.replace(tuning.RECIPES[method], **changes, class_weight=weights)
    errors = [line for part in (train, *judged.values()) for line in part.images.errors]
    options.complain(errors)
    train = tuning.cropped(train, source)
    judged = {name: tuning.cropped(part, source) for name, part in judged.items()}
    checkpoint = folder.with_name(f"{folder.name}.training")
    if checkpoint.exists():
        options.complain([f"going on from {checkpoint}."])
    settings = {"source": source, "seed": seed, "checkpoint": checkpoint, "progress": True}
    net = tuning.tune(train, judged["valid"], method, recipe, **settings)
    report.save(net, folder, train, judged)
    checkpoint.unlink()
    metrics = tuned.read(folder)["metrics"]
    print(json.dumps({"folder": str(folder), "metrics": metrics}, indent=1))
    return 1 if errors else 0


def weights_of(text: str, labels: "LabelSpace") -> str | tuple[float, ...] | None:
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
    >>> weights_of("other=2.1,animal=6.1", from_names(["animal", "other"]))
    (6.1, 2.1)
    """
    from meznet_helpers.images import match

    if text in ("auto", "none"):
        return "balanced" if text == "auto" else None
    names, _, values = zip(*(pair.partition("=") for pair in text.split(",")), strict=True)
    try:
        numbers = [float(value) for value in values]
        places = match([name.strip() for name in names], labels)
    except (ValueError, MeznetError):
        places = []
    if sorted(places) != list(range(len(labels))):
        pairs = ",".join(f"{label_id}=1" for label_id in labels.ids[:5])
        raise MeznetError(f'--class-weights is "{text}"; it must be auto, none, or like {pairs}.')
    return tuple(numbers[places.index(place)] for place in range(len(labels)))


@options.command(app)
def export(
    out: Annotated[str, option("FILE.onnx")],
    model: Model = "zero-shot",
    labels: options.Labels = None,
    labels_file: options.LabelsFile = None,
    template: Templates = None,
    download: options.Download = False,
) -> int:
    """Write ONNX, compare it with torch, and say how fast it is.

    Examples
    --------
    meznet clip export --model my-clip --out my-clip.onnx
    meznet clip export --labels cat,dog --out pets.onnx
    """
    from meznet_helpers.words import onnx_export

    path = options.check_folder("--out", out)
    net = clip(model, labels, labels_file, template, download)
    print(json.dumps(onnx_export.export(net, path), indent=1))
    return 0
