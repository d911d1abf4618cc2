"""The command ``meznet site``: execute the chapters and render the book."""

from pathlib import Path
from typing import Annotated, Literal

from meznet_helpers.cli import options

app = options.group()


@options.command(app)
def site(
    renderer: Literal["auto", "quarto", "sphinx"] = "auto",
    force: Annotated[bool, options.flag("--force", "Execute and render all of it again.")] = False,
) -> int:
    """Execute the chapters and render the book to _site.

    It is the book of the folder that the command runs in, or else of the repository.

    Examples
    --------
    meznet site
    meznet site --renderer sphinx --force
    """
    from meznet_helpers.assets import profile
    from meznet_helpers.site import build

    here = Path.cwd()
    root = here if (here / "_quarto.yml").exists() else profile.root()
    print(build(root, renderer=renderer, force=force))
    return 0
