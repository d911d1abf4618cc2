"""The server of the page: on the loopback, without a trace, and without a call home."""

import contextlib
import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from meznet_helpers.errors import MeznetError, reason

BLOCK = 64 * 2**20  # bytes; what Pillow takes in one piece goes back at once, and not to a heap
MAX_MB = 20  # of an upload
PREFIX, LOCK = "meznet-ui-", ".lock"  # of the folder of uploads, and of what holds it
WAITING = 64  # requests in the queue; more are turned away


@contextlib.contextmanager
def serving(host: str, port: int, checkpoints: Sequence[str | Path]) -> Iterator[str]:
    """Serve the page while a ``with`` lasts.

    Parameters
    ----------
    host : str
        Address to listen on; that of the loopback can't be reached by other machines.
    port : int
    checkpoints : sequence of str or Path
        Folders of tuned CLIPs, as ``meznet clip finetune`` writes them.

    Yields
    ------
    str
        The page's address.

    Raises
    ------
    MeznetError
        If the address is taken or not this machine's, or a folder holds no tuned CLIP.
    """
    _check_free(host, port)
    with _private_folder():
        import gradio as gr
        from PIL import Image
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from meznet_helpers.ui.page import CSS, page

        Image.core.set_block_size(BLOCK)
        blocks = page([Path(path).expanduser() for path in checkpoints])
        fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
        _, address, _ = blocks.queue(max_size=WAITING).launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=f"{MAX_MB}mb",
            ssr_mode=False,
            footer_links=[],
            app_kwargs={
                "middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=_names(host))]
            },
            css=CSS,
            theme=gr.themes.Default(**fonts),
        )
        try:
            yield address
        finally:
            blocks.close(verbose=False)


def _check_free(host: str, port: int) -> None:
    """Refuse an address that can't be listened on."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except (OSError, OverflowError) as error:
        text = f"{host} port {port} can't be listened on ({reason(error)})."
        raise MeznetError(text) from error


def _names(host: str) -> list[str]:
    """Return the names that a page may be asked by; on the loopback its own ones alone.

    A page of somebody else's can make its name point to 127.0.0.1, and then read what is there.
    """
    with contextlib.suppress(ValueError):
        if not ipaddress.ip_address(host).is_loopback:
            return ["*"]
    return [host, "localhost", "127.0.0.1", "::1"]


@contextlib.contextmanager
def _private_folder() -> Iterator[None]:
    """Keep uploads in a folder that goes when the page goes; keep gradio off the network.

    The folders of pages that were killed go now.
    """
    from filelock import FileLock, Timeout

    for old in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(Timeout, OSError), FileLock(old / LOCK, timeout=0):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        os.environ.update(quiet, GRADIO_TEMP_DIR=folder)
        with FileLock(Path(folder, LOCK)):
            yield
