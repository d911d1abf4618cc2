"""The command ``meznet llm label``: a language model names what it sees."""

import argparse
import json
import sys
from pathlib import Path

from meznet_helpers.cli import commands
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import LabelSpace, normalize


def label(args: argparse.Namespace) -> int:
    """Write a row for each image: label id, label, how it was understood, the answer, and its cost.

    Parameters
    ----------
    args : Namespace
        images (list of str), endpoint, model, labels (str), prompt, record (str or None), workers
        (int), timeout (float), price (two floats), json (bool).

    Returns
    -------
    int
        0, or 1 if some images could not be read or asked about, 2 if none could be read.

    Raises
    ------
    MeznetError
        If an argument is wrong, or the server fails at all images.
    """
    from meznet_helpers.llm import LlmLabeler
    from meznet_helpers.llm.endpoint import Endpoint
    from meznet_helpers.llm.labeler import PROMPT

    endpoint = Endpoint(args.endpoint, timeout=args.timeout)
    how = {"recording": args.record, "workers": args.workers, "price": tuple(args.price)}
    how["prompt"] = args.prompt or PROMPT
    net = LlmLabeler(endpoint, args.model, read_labels(args.labels), **how)
    images = commands.read(args.images)
    if not len(images):
        return 2
    table = net.ask(images, progress=True)
    for row in table[table["error"] != ""].itertuples():
        print(f"meznet: {row.image}: {row.error}", file=sys.stderr)
    bad = bool(images.errors) or bool((table["error"] != "").any())
    table = table[table["error"] == ""].drop(columns="error")
    if args.json:
        print(json.dumps(table.to_dict("records"), indent=1, ensure_ascii=False))
    else:
        table.to_csv(sys.stdout, index=False, float_format="%.4g")
    return 1 if bad else 0


def read_labels(file: str) -> LabelSpace:
    """Read labels from a file, one on each line, synonyms behind it with commas between.

    Parameters
    ----------
    file : str
        UTF-8. Empty lines, and lines that begin with ``#``, do not count.

    Returns
    -------
    LabelSpace

    Raises
    ------
    MeznetError
        If it can't be read, holds fewer than two labels, or a word that stands for two of them.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels.txt")
    ...     _ = path.write_text("school bus\\ncat, tabby\\n", encoding="utf-8")
    ...     read_labels(path).lemmas
    (('school bus',), ('cat', 'tabby'))
    """
    from meznet_helpers.labels import from_names

    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise MeznetError(f"--labels: {file} can't be read ({reason}).") from error
    words = [
        tuple(word.strip() for word in line.split(",") if word.strip())
        for line in lines
        if line.strip() and not line.lstrip().startswith("#")
    ]
    words = [each for each in words if each]
    if len(words) < 2:
        raise MeznetError(f"--labels: {file} holds {len(words)} labels; write two or more.")
    space = from_names([each[0] for each in words], name=Path(file).stem)
    owner: dict[str, str] = {}
    for each in words:
        for word in each:
            other = owner.setdefault(normalize(word), each[0])
            if other != each[0]:
                raise MeznetError(
                    f'--labels: {file}: "{word}" stands for "{other}" and for "{each[0]}"; an '
                    "answer could not tell them apart."
                )
    return LabelSpace(space.name, space.ids, space.names, tuple(words))
