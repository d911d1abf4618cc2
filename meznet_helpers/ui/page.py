"""The page itself: its fields, and what happens when they change."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meznet_helpers.assets import profile
from meznet_helpers.ensembles import METHODS
from meznet_helpers.labelers.calibration import facts
from meznet_helpers.ui.desk import MANY, TOP, WORDS, Desk, nets, offers, opened
from meznet_helpers.words import PHOTO

#: A single picture would fill the column.
CSS = "#seen img {max-height: 14rem; object-fit: contain}"
INTRODUCTION = """# What is in the picture?
Drop one, or paste one, and choose who labels it. Published networks know 1,000 kinds of things and
animals. Of {n_all:,} photographs of animals the first label is right for {top1:.0%} ({top1_low:.0%}
to {top1_high:.0%}). What they do not know, such as most people, gets one of their names all the
same.
"""
KEPT_SECONDS = 30  # uploads lie on disk at most twice as long
EXAMPLE_WORDS = "cat, dog, lion, flower, motorcycle, cup of coffee, person, building"


def page(checkpoints: Sequence[Path]) -> Any:
    """Make the page.

    Parameters
    ----------
    checkpoints : sequence of Path
        Folders of tuned CLIPs, as ``meznet clip finetune`` writes them, and files of indexes, as
        ``meznet index build`` does.

    Returns
    -------
    gradio.Blocks

    Raises
    ------
    MeznetError
        If one of them is neither.
    """
    import gradio as gr

    known = {path.name: path for path in checkpoints if opened(path)}
    desk, choices = Desk(known), offers([*known])
    with gr.Blocks(
        title="meznet", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)
    ) as blocks:
        gr.Markdown(INTRODUCTION.format(**facts()["efficientnet-lite0"]))
        with gr.Row():
            with gr.Column():
                picture = gr.Image(
                    label="Picture", type="filepath", sources=["upload", "clipboard"], height=320
                )
                picture.preprocess = _path
                gr.Examples(
                    [[str(path)] for path in profile.package_photographs(more=True).values()],
                    picture,
                    label="Photographs to try",
                )
            with gr.Column():
                kind = gr.Dropdown(
                    choices,
                    value=choices[0][1],
                    label="Labeler",
                    allow_custom_value=True,
                )
                with gr.Group(visible=choices[0][1] == WORDS) as for_words:
                    words = gr.Textbox(
                        EXAMPLE_WORDS, label="Your labels, with commas", max_length=20_000
                    )
                    template = gr.Textbox(PHOTO[0], label="Prompt; {a} is the label with a or an")
                with gr.Group(visible=False) as for_many:
                    some = nets()
                    members = gr.Dropdown(
                        some,
                        value=some[:3],
                        multiselect=True,
                        label="Nets",
                        allow_custom_value=True,
                    )
                    method = gr.Dropdown(list(METHODS), value="soft", label="Method")
                button = gr.Button("Label", variant="primary")
                remark = gr.HTML(label="Remark", elem_id="remark")
                bars = gr.Label(label="Labels", num_top_classes=TOP, elem_id="bars")
                seen = gr.Gallery(
                    label="What the net really saw", columns=3, height="auto", elem_id="seen"
                )
        fields = [kind, words, template, members, method]

        def show(request: gr.Request, *given: Any) -> tuple:
            scores, pictures, words = desk.label(request.session_hash, *given)
            return scores or None, pictures, _alert(words)

        def dropped(request: gr.Request, path: str | None, *given: Any) -> tuple:
            desk.keep(request.session_hash, path)
            return show(request, *given) if path else (None, [], "")

        def left(request: gr.Request) -> None:
            desk.keep(request.session_hash, None)

        results = [bars, seen, remark]
        alone = {"concurrency_limit": 1, "concurrency_id": "desk", "api_visibility": "private"}
        picture.change(dropped, [picture, *fields], results, **alone)
        gr.on([button.click, words.submit, template.submit], show, fields, results, **alone)
        blocks.unload(left)
        kind.change(
            lambda chosen: (gr.update(visible=chosen == WORDS), gr.update(visible=chosen == MANY)),
            kind,
            [for_words, for_many],
            api_visibility="private",
        ).then(show, fields, results, **alone)
    return blocks


def _path(payload: Any) -> str | None:
    """Stand for the picture field's own reading: `Desk` reads, and its errors are sentences."""
    return None if payload is None else payload.path


def _alert(words: str) -> str:
    return f'<p role="status">{html.escape(words)}</p>' if words else ""
