"""The command line ``meznet``: label images, measure models, build the site, fetch assets."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from meznet_helpers import __version__, clip_commands, commands, index_commands
from meznet_helpers.errors import MeznetError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 when all is done, 1 when some images could not be read, 2 when nothing was done. Each
        error is one line on standard error.

    Examples
    --------
    >>> main(["label", "cat.jpg", "--top", "0"])
    2
    """
    args = _parser().parse_args(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the program that reads the output has seen enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MeznetError as error:
        print(f"meznet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("meznet: interrupted.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meznet", description="Label images with networks that other people trained."
    )
    parser.add_argument("--version", action="version", version=f"meznet {__version__}")
    kinds = parser.add_subparsers(required=True, metavar="COMMAND")

    label = kinds.add_parser("label", help="label images, one line per label")
    label.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    _models(label)
    label.add_argument("--top", type=int, default=5, metavar="K", help="labels per image")
    form = label.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="rows of CSV, the default")
    form.add_argument("--json", action="store_true", help="a list of objects instead")
    label.set_defaults(run=commands.label)

    evaluate = kinds.add_parser("evaluate", help="measure how often models are right")
    _models(evaluate)
    evaluate.add_argument(
        "--data",
        required=True,
        metavar="FOLDER",
        help="one folder of images per label, called by its id or name; or tiny-imagenet-200",
    )
    evaluate.add_argument(
        "--tables",
        action="store_true",
        help="label tiny-imagenet-200 anew and compare with the bundled predictions",
    )
    evaluate.add_argument("--json", action="store_true", help="JSON instead of two CSV tables")
    evaluate.add_argument(
        "--confusion", metavar="FILE.csv", help="write the whole confusion matrix, by label id"
    )
    evaluate.set_defaults(run=commands.evaluate)

    _clip(kinds.add_parser("clip", help="label with words, fine-tune, and export"))

    _index(kinds.add_parser("index", help="classes that come and go: an index of prototypes"))

    benchmark = kinds.add_parser("benchmark", help="fine-tune ten nets on one task, and compare")
    benchmark.add_argument("nets", nargs="*", metavar="NET", help="some of them; all by default")
    benchmark.add_argument("--out", metavar="FOLDER", help="default: data/results/benchmark")
    benchmark.add_argument("--epochs", type=int, default=5, metavar="N", help="default: 5")
    benchmark.add_argument("--size", type=int, default=96, metavar="N", help="pixels; default: 96")
    benchmark.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    benchmark.set_defaults(run=_benchmark)

    site = kinds.add_parser("site", help="execute the chapters and render the book to _site")
    site.add_argument("--renderer", choices=("auto", "quarto", "sphinx"), default="auto")
    site.add_argument("--force", action="store_true", help="execute and render all of it again")
    site.set_defaults(run=_site)

    page = kinds.add_parser("ui", help="a page to drop a picture on")
    page.add_argument("--host", default="127.0.0.1", help="default: this machine alone")
    page.add_argument("--port", type=int, default=7860, metavar="N", help="default: 7860")
    page.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="PATH",
        help="what meznet clip finetune or meznet index build wrote; repeatable",
    )
    page.set_defaults(run=_ui)

    fetch = kinds.add_parser("fetch", help="download assets once, for MEZNET_PROFILE=full")
    fetch.add_argument("assets", nargs="*", metavar="ASSET", help="none lists what there is")
    fetch.set_defaults(run=_fetch)
    return parser


def _clip(parser: argparse.ArgumentParser) -> None:
    """Add the commands about CLIP."""
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


def _index(parser: argparse.ArgumentParser) -> None:
    """Add the commands about indexes of prototypes."""
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


def _models(command: argparse.ArgumentParser) -> None:
    """Add the options that choose models."""
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


def _benchmark(args: argparse.Namespace) -> int:
    """Fine-tune the named nets that are not fine-tuned yet, and write the table."""
    from meznet_helpers import benchmark

    how = {"epochs": args.epochs, "size": args.size, "seed": args.seed}
    table = benchmark.run(args.nets, args.out, **how)
    table.to_csv(sys.stdout, index=False, float_format="%.4f")
    return 0


def _site(args: argparse.Namespace) -> int:
    """Build the book of the folder that the command runs in, or of the repository."""
    from meznet_helpers import profile
    from meznet_helpers.site import build

    here = Path.cwd()
    root = here if (here / "_quarto.yml").exists() else profile.root()
    built = build(root, renderer=args.renderer, force=args.force)
    print(built)
    return 0


def _ui(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    import signal
    import threading

    from meznet_helpers.ui.server import serving

    with serving(args.host, args.port, args.checkpoint) as address:
        print(f"The page is at {address} (Ctrl-C ends it).", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        threading.Event().wait()  # signal.pause, which Windows lacks
    return 0


def _fetch(args: argparse.Namespace) -> int:
    """Download the named assets, or list those that have an address."""
    from meznet_helpers import store

    remote = {name: asset for name, asset in store.manifest().items() if asset.urls}
    if not args.assets:
        for name, asset in remote.items():
            print(f"{name}\t{store.readable_size(asset.bytes)}\t{asset.licence}")
    for name in args.assets:
        print(store.resolve(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
