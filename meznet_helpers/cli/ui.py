"""The command ``meznet ui``: a page to drop a picture on."""

from typing import Annotated

from meznet_helpers.cli import options
from meznet_helpers.cli.options import option

app = options.group()

MADE = "What meznet clip finetune or meznet index build wrote; repeatable."


@options.command(app)
def ui(
    host: Annotated[str, option("ADDRESS", "The default is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, option("N")] = 7860,
    checkpoint: Annotated[list[str] | None, option("PATH", MADE)] = None,
) -> int:
    """Serve a page to drop a picture on.

    Examples
    --------
    meznet ui
    meznet ui --checkpoint my-clip --port 7861
    """
    import signal
    import threading

    from meznet_helpers.ui.server import serving

    with serving(host, port, checkpoint or []) as address:
        print(f"The page is at {address} (Ctrl-C ends it).", flush=True)
        for name in ("SIGTERM", "SIGHUP"):  # SIGHUP: the terminal was closed; Windows has none
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.default_int_handler)
        threading.Event().wait()  # signal.pause, which Windows lacks
    return 0
