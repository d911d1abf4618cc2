"""Measure how fast photographs are labeled, beside what else one would do, and print the ratios.

    python data/results/make_speed.py                      # all of it, 10,000 photographs
    python data/results/make_speed.py --count 1000 --net keras/EfficientNetLite2@imagenet

Each figure is taken in a process of its own, on an otherwise idle machine. The photographs are made
of those that come with installed packages. ``speed.csv`` keeps what came of it here.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from meznet_helpers.assets import package_photographs
from meznet_helpers.assets.profile import data
from meznet_helpers.images import read
from meznet_helpers.names import MODEL
from meznet_helpers.progress import bar

REPEATS = 5

#: What is timed, by name: Python that prints seconds. NET and FILES are put in.
CODE = {
    "ours, one": """
from meznet_helpers.names import labeler
from meznet_helpers.images import read
net, image = labeler(NET), read(FILES[0])
times(lambda: net.predict([image]), 50)
""",
    "Keras, one": """
from meznet_helpers.names import labeler
from meznet_helpers.images import read
net, image = labeler(NET), read(FILES[0])
model = net.model
times(lambda: model.predict(net.backbone.prepare([image]), verbose=0), 20)
""",
    "ours, many": """
from meznet_helpers.names import labeler
net = labeler(NET)
net.predict(FILES[:32])
began = time.perf_counter()
n = sum(len(probs) for _, probs in net.stream(FILES, draft=True))
print(json.dumps((time.perf_counter() - began) / n))
""",
    "timm, many": """
import timm, torch
from PIL import Image
from meznet_helpers.labelers import backbone, registry
from meznet_helpers.labelers.nets import of_backbone
(twin,) = (net for net in registry().values() if net.asset == backbone(NET).asset
           and (net.framework, net.tag) == ("timm", "imagenet"))
model = of_backbone(twin).model
config = timm.data.resolve_model_data_config(model)
config |= {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
transform = timm.data.create_transform(**config, is_training=False)
some = FILES[:1000]
with torch.inference_mode():
    model(transform(Image.open(some[0]).convert("RGB"))[None])
    began = time.perf_counter()
    for file in some:
        model(transform(Image.open(file).convert("RGB"))[None]).softmax(1)
print(json.dumps((time.perf_counter() - began) / len(some)))
""",
    "drafts": """
import numpy as np
from meznet_helpers.names import labeler
net = labeler(NET)
whole, drafts = (
    np.concatenate([probs.argmax(1) for _, probs in net.stream(FILES, draft=draft)])
    for draft in (False, True)
)
print(json.dumps(float((whole != drafts).mean())))
""",
}  # fmt: skip
HEAD = """
import json, statistics, sys, time
NET, FILES = json.loads(sys.argv[1]), json.loads(open(sys.argv[2]).read())
def times(work, count):
    work()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    print(json.dumps(statistics.median(seconds)))
"""


def run(name: str, net: str, files: list[str], folder: Path, **environment: str) -> float:
    """Run one piece of code in a process of its own, and return what it prints."""
    listed = folder / "files.json"
    listed.write_text(json.dumps(files), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", HEAD + CODE[name], json.dumps(net), str(listed)],
        check=True, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    return float(json.loads(done.stdout.splitlines()[-1]))


def photographs(folder: Path, count: int, width: int, height: int) -> list[str]:
    """Write JPEGs of a size, each a little other than the rest."""
    folder.mkdir()
    sources = [
        Image.fromarray(read(path)).resize((width + 64, height + 64))
        for path in package_photographs(more=True).values()
    ]
    rng, files = np.random.default_rng(0), []
    for number in bar(range(count), label=f"Writing {width} x {height}"):
        left, top = (int(each) for each in rng.integers(0, 64, 2))
        image = sources[number % len(sources)].crop((left, top, left + width, top + height))
        files.append(str(folder / f"{number:05}.jpg"))
        image.save(files[-1], quality=90)
    return files


def command(*arguments: str) -> tuple[float, float]:
    """Run meznet; return its seconds, and the most memory it had, in MB."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "meznet_helpers.cli", *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"meznet {' '.join(arguments[:2])} ended with {status}.")
    unit = 1e6 if platform.system() == "Darwin" else 1e3
    return time.perf_counter() - began, usage.ru_maxrss / unit


def measure(net: str, count: int, folder: Path) -> list[tuple[str, float, str, str]]:
    """Measure everything: what, how much, its unit, and what was asked for."""
    small = photographs(folder / "small", count, 640, 480)
    rows = []

    def row(what: str, value: float, unit: str, wanted: str) -> None:
        rows.append((what, round(value, 4), unit, wanted))
        print(f"{what:66} {value:10.3f} {unit:10} {wanted}", flush=True)

    one, keras = (run(name, net, small, folder) for name in ("ours, one", "Keras, one"))
    row("one photograph, net loaded", 1000 * one, "ms", "")
    core = run("ours, one", net, small, folder, OMP_NUM_THREADS="1")
    row("one photograph, one core", 1000 * core, "ms", "")
    row("one photograph, Keras model.predict", 1000 * keras, "ms", "")
    row("one photograph: as fast as Keras model.predict, times", keras / one, "times", "10")
    many, timm = (run(name, net, small, folder) for name in ("ours, many", "timm, many"))
    row(f"{count:,} JPEGs of 640 x 480, decoded and labeled", 1 / many, "a second", "200")
    row("a plain loop of timm's transform and net", 1 / timm, "a second", "")
    row("many photographs: as fast as that loop, times", timm / many, "times", "3")
    first = statistics.median(command("label", small[0], "--model", net)[0] for _ in range(REPEATS))
    row("first label of one photograph, process start included", first, "s", "1.2")
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import meznet_helpers"], check=True)
        seconds.append(time.perf_counter() - began)
    row("import meznet_helpers, process start included", statistics.median(seconds), "s", "0.3")
    large = photographs(folder / "large", min(count, 400), 4000, 3000)
    for part in sorted({10, 60, len(large)}):
        _, megabytes = command("label", *large[:part], "--model", net)
        row(f"memory for {part} photographs of 12 megapixels", megabytes, "MB", "700")
    row("first labels that drafts of 12 megapixels change", 100 * run("drafts", net, large, folder),
        "%", "")  # fmt: skip
    return rows


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default=MODEL)
    parser.add_argument("--count", type=int, default=10_000, help="photographs of 640 x 480")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args.net, args.count, Path(folder))
    table = pd.DataFrame(rows, columns=["what", "measured", "unit", "wanted"])
    table.to_csv(data() / "results" / "speed.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
