"""Ask a language model that sees pictures.

Examples
--------
meznet llm label cat.jpg --endpoint http://127.0.0.1:11434/v1 --model llava --labels cat,dog
meznet llm label a.png --endpoint http://127.0.0.1:8080/v1 --model x --labels-file labels.csv
"""

from typing import Annotated

from meznet_helpers.cli import options
from meznet_helpers.cli.options import option
from meznet_helpers.errors import MeznetError

EXAMPLES = (
    "meznet llm label cat.jpg --endpoint http://127.0.0.1:11434/v1 --model llava --labels cat,dog",
    "meznet llm label a.png --endpoint http://127.0.0.1:8080/v1 --model gemma "
    "--labels-file labels.csv --record answers.jsonl",
)
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
    out: options.Out = "-",
    as_json: options.Json = False,
) -> int:
    """Show pictures to a model and ask for labels.

    A row for each image: label, how it was understood, the answer, and its cost.

    Examples
    --------
    meznet llm label cat.jpg --endpoint http://127.0.0.1:11434/v1 --model llava --labels cat,dog
    meznet llm label a.png --endpoint http://127.0.0.1:8080/v1 --model x --labels-file labels.csv
    """
    from meznet_helpers.llm import LlmLabeler
    from meznet_helpers.llm.endpoint import Endpoint
    from meznet_helpers.llm.labeler import PROMPT

    space = options.read_labels(labels, labels_file)
    if space is None:
        raise MeznetError("Labels are missing: give --labels or --labels-file.")
    settings = {"recording": record, "workers": workers, "price": price}
    server = Endpoint(endpoint, timeout=timeout)
    net = LlmLabeler(server, model, space, prompt=prompt or PROMPT, **settings)
    read = options.read_images(images)
    if not len(read):
        return 2
    table = net.ask(read, progress=True)
    failed = table["error"] != ""
    options.complain(f"{row.image}: {row.error}" for row in table[failed].itertuples())
    options.write(table[~failed].drop(columns="error"), out, as_json, "%.4g")
    return 1 if read.errors or failed.any() else 0
