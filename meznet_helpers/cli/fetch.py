"""The command ``meznet fetch``: download assets once."""

from typing import Annotated

from meznet_helpers.cli import options
from meznet_helpers.cli.options import argument

app = options.group()


@options.command(app)
def fetch(
    assets: Annotated[list[str] | None, argument("ASSET", "Names.", "list what there is")] = None,
) -> int:
    """Download assets once, for MEZNET_PROFILE=full.

    Examples
    --------
    meznet fetch
    meznet fetch tiny-imagenet-200
    """
    from meznet_helpers.assets import download, store

    if not assets:
        for name, asset in store.manifest().items():
            if asset.urls:
                print(f"{name}\t{download.readable_size(asset.bytes)}\t{asset.licence}")
    for name in assets or []:
        print(store.resolve(name))
    return 0
