"""The server of the page: on the loopback, without a trace, and without a call home."""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from meznet_helpers.errors import MeznetError

HOST, PORT = "127.0.0.1", 7860
MAX_MB = 20  # of an upload
WAITING = 64  # requests in the queue; more are turned away


@contextlib.contextmanager
def serving(
    host: str = HOST, port: int = PORT, checkpoints: Sequence[str | Path] = ()
) -> Iterator[str]:
    """Serve the page while a ``with`` lasts.

    Parameters
    ----------
    host : str
        Address to listen on; that of the loopback by default, which other machines can't reach.
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

        from meznet_helpers.ui.page import CSS, page

        blocks = page([Path(each).expanduser() for each in checkpoints])
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
        why = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise MeznetError(f"{host} port {port} can't be listened on ({why}).") from error


@contextlib.contextmanager
def _private_folder() -> Iterator[None]:
    """Keep uploads in a folder that goes when the page goes; keep gradio off the network."""
    folder = tempfile.mkdtemp(prefix="meznet-ui-")
    os.environ.update(
        GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1"
    )
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
