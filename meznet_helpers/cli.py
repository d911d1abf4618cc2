"""The command line ``meznet``: label images, build the site, fetch assets."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from meznet_helpers import __version__
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
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    label = commands.add_parser("label", help="label images, one line per label")
    label.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    label.add_argument("--model", default="keras/MobileNetV2", help="default: %(default)s")
    label.add_argument("--top", type=int, default=5, metavar="K", help="labels per image")
    label.set_defaults(run=_label)

    site = commands.add_parser("site", help="execute the chapters and render the book to _site")
    site.add_argument("--renderer", choices=("auto", "quarto", "sphinx"), default="auto")
    site.add_argument("--force", action="store_true", help="execute and render all of it again")
    site.set_defaults(run=_site)

    fetch = commands.add_parser("fetch", help="download assets once, for MEZNET_PROFILE=full")
    fetch.add_argument("assets", nargs="*", metavar="ASSET", help="none lists what there is")
    fetch.set_defaults(run=_fetch)
    return parser


def _label(args: argparse.Namespace) -> int:
    """Write image, rank, label id, label and score as CSV; bad files as lines on stderr."""
    from meznet_helpers.images import find, read_many

    if args.top < 1:
        raise MeznetError(f"--top is {args.top}; it must be 1 or more.")
    images = read_many(find(args.images), progress=True)
    for error in images.errors:
        print(f"meznet: {error}", file=sys.stderr)
    if len(images):
        from meznet_helpers.labelers import labeler

        table = labeler(args.model).predict(images, progress=True).top(args.top)
        table.drop(columns="model").to_csv(sys.stdout, index=False, float_format="%.4f")
    return 0 if len(images) and not images.errors else 1 if len(images) else 2


def _site(args: argparse.Namespace) -> int:
    """Build the book of the folder that the command runs in, or of the repository."""
    from meznet_helpers import profile
    from meznet_helpers.site import build

    here = Path.cwd()
    root = here if (here / "_quarto.yml").exists() else profile.root()
    built = build(root, renderer=args.renderer, force=args.force)
    print(built)
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
