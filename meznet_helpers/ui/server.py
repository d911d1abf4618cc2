"""The server of the page: on the loopback, without a trace, and without a call home."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from meznet_helpers.errors import MeznetError, reason

MAX_MB = 20  # of an upload
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

        from meznet_helpers.ui.page import CSS, page

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


@contextlib.contextmanager
def _private_folder() -> Iterator[None]:
    """Keep uploads in a folder that goes when the page goes; keep gradio off the network."""
    with tempfile.TemporaryDirectory(prefix="meznet-ui-", ignore_cleanup_errors=True) as folder:
        quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        os.environ.update(quiet, GRADIO_TEMP_DIR=folder)
        yield
