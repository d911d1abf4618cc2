"""The command line ``meznet``: label images, measure models, build the site, fetch assets."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from meznet_helpers import __version__
from meznet_helpers.cli import arguments, commands
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
    arguments.models(label)
    label.add_argument("--top", type=int, default=5, metavar="K", help="labels per image")
    form = label.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="rows of CSV, the default")
    form.add_argument("--json", action="store_true", help="a list of objects instead")
    label.set_defaults(run=commands.label)

    evaluate = kinds.add_parser("evaluate", help="measure how often models are right")
    arguments.models(evaluate)
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

    arguments.clip(kinds.add_parser("clip", help="label with words, fine-tune, and export"))

    arguments.index(
        kinds.add_parser("index", help="classes that come and go: an index of prototypes")
    )
    arguments.llm(kinds.add_parser("llm", help="ask a language model that sees pictures"))

    benchmark = kinds.add_parser("benchmark", help="fine-tune ten nets on one task, and compare")
    benchmark.add_argument("nets", nargs="*", metavar="NET", help="some of them; all by default")
    benchmark.add_argument("--out", metavar="FOLDER", help="default: data/results/benchmark")
    benchmark.add_argument("--epochs", type=int, default=5, metavar="N", help="default: 5")
    benchmark.add_argument("--size", type=int, default=96, metavar="N", help="pixels; default: 96")
    benchmark.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    benchmark.set_defaults(run=_benchmark)

    board = kinds.add_parser("leaderboard", help="judge and time all labelers of the book")
    board.add_argument("--out", metavar="FILE", help="default: data/results/leaderboard.csv")
    board.set_defaults(run=_leaderboard)

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


def _benchmark(args: argparse.Namespace) -> int:
    """Fine-tune the named nets that are not fine-tuned yet, and write the table."""
    from meznet_helpers.book import benchmark

    how = {"epochs": args.epochs, "size": args.size, "seed": args.seed}
    table = benchmark.run(args.nets, args.out, **how)
    table.to_csv(sys.stdout, index=False, float_format="%.4f")
    return 0


def _leaderboard(args: argparse.Namespace) -> int:
    """Make the table of all labelers anew, and write and print it."""
    from meznet_helpers.book import leaderboard

    file = Path(args.out) if args.out else leaderboard.file()
    if not file.absolute().parent.is_dir():
        raise MeznetError(f"--out: {file.parent} is no folder.")
    table = leaderboard.build()
    for out in (file, sys.stdout):
        commands.write(out, table, index=False, float_format="%.5g")
    return 0


def _site(args: argparse.Namespace) -> int:
    """Build the book of the folder that the command runs in, or of the repository."""
    from meznet_helpers.assets import profile
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
    from meznet_helpers.assets import download, store

    remote = {name: asset for name, asset in store.manifest().items() if asset.urls}
    if not args.assets:
        for name, asset in remote.items():
            print(f"{name}\t{download.readable_size(asset.bytes)}\t{asset.licence}")
    for name in args.assets:
        print(store.resolve(name))
    return 0
