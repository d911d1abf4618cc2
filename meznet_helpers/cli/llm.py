"""Ask a language model that sees pictures.

Examples
--------
meznet llm label cat.jpg --endpoint http://127.0.0.1:11434/v1 --model llava --labels cat,dog
meznet llm label a.png --endpoint http://127.0.0.1:8080/v1 --model x --labels-file labels.csv
"""

from typing import TYPE_CHECKING, Annotated

from meznet_helpers.cli import options
from meznet_helpers.cli.options import option
from meznet_helpers.cli.writing import Failed, Row, Writer, write_all
from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    from meznet_helpers.images import Images

EXAMPLES = (
    "meznet llm label cat.jpg --endpoint http://127.0.0.1:11434/v1 --model llava --labels cat,dog",
    "meznet llm label a.png --endpoint http://127.0.0.1:8080/v1 --model gemma "
    "--labels-file labels.csv --record answers.jsonl",
)
COLUMNS = {
    **dict.fromkeys(("image", "label_id", "label", "how", "text"), "string"),
    **dict.fromkeys(("tries", "tokens_in", "tokens_out"), "int64"),
    **dict.fromkeys(("ms", "price"), "float64"),
}
RECORD = "Answers, written or read as MEZNET_LLM says."
PRICE = "Of a million tokens that are read and written."

app = options.group("llm", __doc__)


@options.command(app)
def label(
    images: options.Images,
    endpoint: Annotated[str, option("URL", "Such as http://127.0.0.1:11434/v1.")],
    model: Annotated[str, option("NAME", "One that sees pictures.")],
    labels: options.Labels = None,
    labels_file: options.LabelsFile = None,
    prompt: Annotated[str | None, option("TEXT", "{labels} stands for them.", "a question")] = None,
    record: Annotated[str | None, option("FILE", RECORD)] = None,
    workers: Annotated[int, option("N", "Requests at a time.")] = 4,
    timeout: Annotated[float, option("SECONDS", "For one answer.")] = 120,
    price: Annotated[tuple[float, float], option("IN OUT", PRICE)] = (0, 0),
    out: options.RowsOut = "-",
    as_json: options.RowsJson = False,
    restart: options.Restart = False,
) -> int:
    """Show pictures to a model and ask for labels.

    A row for each image, as soon as it is known: label, how it was understood, the answer, and its
    cost. Pictures that got no answer are asked about again when the same command goes on.

    Examples
    --------
    meznet llm label cat.jpg --endpoint http://127.0.0.1:11434/v1 --model llava --labels cat,dog
    meznet llm label a.png --endpoint http://127.0.0.1:8080/v1 --model x --labels-file labels.csv
    """
    from meznet_helpers.llm import LlmLabeler
    from meznet_helpers.llm.endpoint import Endpoint
    from meznet_helpers.llm.labeler import PROMPT
    from meznet_helpers.llm.recording import mode

    space = options.read_labels(labels, labels_file)
    if space is None:
        raise MeznetError("Labels are missing: give --labels or --labels-file.")
    net = LlmLabeler(
        Endpoint(endpoint, timeout=timeout), model, space, prompt=prompt or PROMPT,
        recording=record, workers=workers, price=price,
    )  # fmt: skip
    if record and mode() == "live":
        options.complain([f"{record} is left alone; MEZNET_LLM=record writes it."])
    settings = {"endpoint": net.asker.endpoint.url, "model": model, "prompt": net.prompt}
    settings |= {"ids": space.ids, "labels": space.names, "synonyms": space.lemmas}
    settings |= {"price": price}

    def ask(image: "Images") -> list[Row]:
        row = net.row(image)
        if row["error"]:
            raise Failed(f"{row['image']}: {row['error']}")
        return [tuple(None if row[key] == "" else row[key] for key in COLUMNS)]

    given = {"as_json": as_json, "restart": restart, "form": "%.4g", "shard": 1}
    writer = Writer(out, COLUMNS, options.find(images, out), settings, **given)
    return write_all(writer, ask, batch_size=1, workers=workers)
