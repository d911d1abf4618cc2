"""What the larger commands of ``meznet`` take."""

import argparse

from meznet_helpers.cli import clip as clip_commands
from meznet_helpers.cli import commands
from meznet_helpers.cli import index as index_commands
from meznet_helpers.cli import llm as llm_commands
from meznet_helpers.llm.asking import WORKERS
from meznet_helpers.llm.endpoint import TIMEOUT


def clip(parser: argparse.ArgumentParser) -> None:
    """Add the commands about CLIP.

    Parameters
    ----------
    parser : ArgumentParser
        Of ``meznet clip``.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> clip(parser)
    >>> parser.parse_args(["label", "cat.jpg"]).model
    'zero-shot'
    """
    kinds = parser.add_subparsers(required=True, metavar="COMMAND")
    label = kinds.add_parser("label", help="label images with words of your own")
    label.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    _clip_model(label)
    label.add_argument("--top", type=int, default=5, metavar="K", help="labels per image")
    form = label.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="file", metavar="FILE", help="write CSV there")
    form.add_argument("--json", action="store_true", help="a list of objects instead of CSV")
    label.set_defaults(run=clip_commands.label)

    tune = kinds.add_parser("finetune", help="teach CLIP your labels, from a tree of folders")
    tune.add_argument(
        "--data",
        required=True,
        metavar="FOLDER",
        help="one folder of images per label; or train and valid, each with such folders",
    )
    tune.add_argument("--out", required=True, metavar="FOLDER", help="must not be there yet")
    tune.add_argument("--method", choices=("probe", "full", "lora"), default="probe")
    tune.add_argument("--source", metavar="CLIP", help="tiny, openai, a name of the hub, a folder")
    tune.add_argument("--epochs", type=int, metavar="N", help="default: 3")
    tune.add_argument("--batch", type=int, metavar="N", help="default: 12")
    tune.add_argument("--rate", type=float, metavar="X", help="highest; default: the method's own")
    tune.add_argument(
        "--class-weights", default="auto", metavar="auto|none|LABEL=X,...", help="default: auto"
    )
    tune.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    tune.set_defaults(run=clip_commands.finetune)

    export = kinds.add_parser("export", help="write ONNX and compare it with torch")
    _clip_model(export)
    export.add_argument("--out", required=True, metavar="FILE.onnx")
    export.set_defaults(run=clip_commands.export)


def index(parser: argparse.ArgumentParser) -> None:
    """Add the commands about indexes of prototypes.

    Parameters
    ----------
    parser : ArgumentParser
        Of ``meznet index``.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> index(parser)
    >>> parser.parse_args(["info", "zoo.safetensors"]).file
    'zoo.safetensors'
    """
    kinds = parser.add_subparsers(required=True, metavar="COMMAND")
    build = kinds.add_parser("build", help="make one of a tree of folders, or of a zipped table")
    build.add_argument(
        "--data", required=True, metavar="FOLDER", help="one folder of images per label; or a ZIP"
    )
    build.add_argument("--out", required=True, metavar="FILE", help="must not be there yet")
    build.add_argument(
        "--backbone", metavar="NAME", help=f"the network; default: {index_commands.BACKBONE}"
    )
    build.add_argument("--kind", default="mean", metavar="mean|k-means|medoid")
    build.add_argument("--count", type=int, default=1, metavar="N", help="prototypes per label")
    build.add_argument("--metric", default="cosine", metavar="cosine|inner|l2")
    build.add_argument("--seed", type=int, default=0, metavar="N", help="of k-means; default: 0")
    build.set_defaults(run=index_commands.build)

    add = kinds.add_parser("add", help="add a label, or give one more examples")
    add.add_argument("file", metavar="FILE")
    add.add_argument("label", metavar="LABEL")
    add.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    add.add_argument("--more", action="store_true", help="the label is there already")
    add.set_defaults(run=index_commands.add)

    remove = kinds.add_parser("remove", help="forget labels")
    remove.add_argument("file", metavar="FILE")
    remove.add_argument("labels", nargs="+", metavar="LABEL")
    remove.set_defaults(run=index_commands.remove)

    search = kinds.add_parser("search", help="find the nearest labels of images")
    search.add_argument("file", metavar="FILE")
    search.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    search.add_argument("--top", type=int, default=5, metavar="K", help="labels per image")
    search.add_argument("--json", action="store_true", help="a list of objects instead of CSV")
    search.set_defaults(run=index_commands.search)

    info = kinds.add_parser("info", help="say what is in it, as JSON")
    info.add_argument("file", metavar="FILE")
    info.set_defaults(run=index_commands.info)

    export = kinds.add_parser("export", help="write it as a zipped table")
    export.add_argument("file", metavar="FILE")
    export.add_argument("out", metavar="FILE.zip")
    export.set_defaults(run=index_commands.export)


def _clip_model(command: argparse.ArgumentParser) -> None:
    """Add the options that choose a CLIP and its words."""
    command.add_argument(
        "--model",
        default="zero-shot",
        metavar="zero-shot|tuned|PATH",
        help="words decide, or the classifier of this repository, or a folder",
    )
    command.add_argument("--labels", metavar="A,B,C", help="for zero-shot; default: 200 or 1,000")
    command.add_argument(
        "--template", action="append", metavar="TEXT", help='such as "a photo of {a}"; repeatable'
    )


def models(command: argparse.ArgumentParser) -> None:
    """Add the options that choose models.

    Parameters
    ----------
    command : ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> models(parser)
    >>> parser.parse_args(["--model", "a", "--model", "b"]).model
    ['a', 'b']
    """
    command.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help=f"default: {commands.MODEL}; repeat it for several",
    )
    command.add_argument(
        "--ensemble",
        metavar="METHOD",
        help="combine the models, or all the repository's own, to one: soft, hard, ...",
    )


def llm(parser: argparse.ArgumentParser) -> None:
    """Add the commands about language models.

    Parameters
    ----------
    parser : ArgumentParser
        Of ``meznet llm``.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> llm(parser)
    >>> given = ["label", "a.jpg", "--endpoint", "b", "--model", "c", "--labels", "d"]
    >>> parser.parse_args(given).workers
    4
    """
    kinds = parser.add_subparsers(required=True, metavar="COMMAND")
    label = kinds.add_parser("label", help="show pictures to a model and ask for a label")
    label.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    label.add_argument(
        "--endpoint", required=True, metavar="URL", help="such as http://127.0.0.1:11434/v1"
    )
    label.add_argument("--model", required=True, metavar="NAME", help="one that sees pictures")
    label.add_argument("--labels", required=True, metavar="FILE", help="one label a line")
    label.add_argument("--prompt", metavar="TEXT", help="{labels} stands for the labels")
    label.add_argument(
        "--record", metavar="FILE", help="answers, written or read as MEZNET_LLM says"
    )
    label.add_argument(
        "--workers",
        type=int,
        default=WORKERS,
        metavar="N",
        help=f"requests at a time; default: {WORKERS}",
    )
    label.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"for one answer; default: {TIMEOUT:g}",
    )
    label.add_argument(
        "--price",
        type=float,
        nargs=2,
        default=(0.0, 0.0),
        metavar=("IN", "OUT"),
        help="of a million tokens that are read and written",
    )
    label.add_argument("--json", action="store_true", help="a list of objects instead of CSV")
    label.set_defaults(run=llm_commands.label)
