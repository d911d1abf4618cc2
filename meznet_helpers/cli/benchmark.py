"""The command ``meznet benchmark``: fine-tune ten nets on one task, and compare."""

from typing import Annotated

from meznet_helpers.cli import options
from meznet_helpers.cli.options import argument, option

app = options.group()

RESULTS = "Of all runs, and where a net goes on from."


@options.command(app)
def benchmark(
    nets: Annotated[list[str] | None, argument("NET", "Some of them.", "all ten")] = None,
    out: Annotated[str | None, option("FOLDER", RESULTS, "data/results/benchmark")] = None,
    epochs: Annotated[int, option("N", "How long.")] = 5,
    size: Annotated[int, option("N", "Pixels.")] = 96,
    seed: options.Seed = 0,
) -> int:
    """Fine-tune ten nets on one task, and compare.

    A net that stands in the results is not trained again.

    Examples
    --------
    meznet benchmark
    meznet benchmark MobileNetV2 ViT --out results --epochs 1 --size 64
    """
    from meznet_helpers.book.benchmark import run

    options.write(run(nets or [], out, epochs=epochs, size=size, seed=seed))
    return 0
