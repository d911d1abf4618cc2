"""The site builder: executes the chapters, renders the book and checks every page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meznet_helpers.site.builder import Build

__all__ = ["build"]


def build(root: Any, *, renderer: str = "auto", force: bool = False, jobs: int = 2) -> Build:
    """Build the book's site; see `meznet_helpers.site.builder.build`."""
    from meznet_helpers.site.builder import build as run

    return run(root, renderer=renderer, force=force, jobs=jobs)
