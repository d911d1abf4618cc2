"""Write ``data/manifest.json``: one entry for each asset, with hash, size, licence and card.

Run it whenever a file of an asset under ``data`` changed::

    python data/make_manifest.py            # write
    python data/make_manifest.py --check    # only say whether it is up to date (exit code 1 if not)

The same files always give the same text.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from meznet_helpers.files import aside

TRAINED_ON = (
    "this project's weights: MIT; trained on Tiny-ImageNet, whose images are for non-commercial "
    "research and education and remain their owners'"
)

# Folder of data/ -> what holds for every file in it. Cards are README.md files beside the assets.
FOLDERS = {
    "emojizoo": {
        "licence": "Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0 and MIT, by style; see the card",
        "source": "npm packages of seven icon sets, drawn by this project's script; see the card",
    },
    "exhibit": {
        "licence": "facts and counts, quoted; the notebook they come from is its author's",
        "source": "project:meznet by frankiethull, and this project's measurement; see the card",
    },
    "labels": {
        "licence": "none stated by the source; identifiers only, no words and no images",
        "source": "class lists of Tiny-ImageNet (Stanford CS231n); see the card",
    },
    "models/clip": {
        "licence": TRAINED_ON,
        "source": "trained by this project; script, data and accuracy are in the card",
    },
    "models/captioner": {
        "licence": TRAINED_ON,
        "source": "trained by this project; script, data and accuracy are in the card",
    },
    "models/clip-tuned": {
        "licence": TRAINED_ON,
        "source": "tuned by this project on Emoji Zoo; method and accuracy are in the card",
    },
    "models/clip-tuned-photographs": {
        "licence": TRAINED_ON,
        "source": "tuned by this project on Tiny-ImageNet; method and accuracy are in the card",
    },
    "models/judge": {
        "licence": "MIT",
        "source": "trained by this project on its own nets' predictions; see the card",
    },
    "models/prototypes": {
        "licence": TRAINED_ON,
        "source": "made by this project of its own nets' embeddings; see the card",
    },
    "published": {
        "licence": "Apache-2.0 (Keras documentation)",
        "source": "https://keras.io/api/applications/; the date is in the card",
    },
    "results": {
        "licence": "MIT",
        "source": "measured by this project's scripts; see the card",
    },
    "validation": {
        "licence": "MIT; the images' names and ids are Tiny-ImageNet's",
        "source": "computed by this project's script from its own nets; see the card",
    },
}

REMOTE = [
    {
        "name": "tiny-imagenet-200",
        "path": None,
        "urls": [
            "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        ],
        "hash": "sha256:6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
        "bytes": 248_100_043,
        "licence": "no license given; research use, non-commercial (ImageNet's terms); images "
        "remain their owners'",
        "source": "Stanford CS231n; the hash is the one that "
        "https://github.com/berenslab/t-simcne (cnexp/dataset/tiny_imagenet.py) checks",
        "card": "tiny-imagenet-200/README.md",
    },
]


def bundled(data: Path) -> Iterator[dict]:
    """Yield the entries of the files that lie in the data folder."""
    for weights in data.glob("models/*/weights.safetensors"):
        net = json.loads(weights.with_name("net.json").read_text(encoding="utf-8"))
        yield entry(
            data,
            weights,
            name=f"{net.get('framework', 'keras')}/{net['application']}@{net.get('tag', 'tiny')}",
            licence=TRAINED_ON,
            source="trained by this project; script, data and accuracy are in the card",
        )
    for folder, facts in FOLDERS.items():
        for path in (data / folder).rglob("*"):
            hidden = any(part.startswith((".", "__")) for part in path.relative_to(data).parts)
            code = path.suffix in {".py", ".part"} or path.name == "README.md"
            if path.is_file() and not hidden and not code:
                yield entry(data, path, name=path.relative_to(data).as_posix(), **facts)


def entry(data: Path, path: Path, *, name: str, licence: str, source: str) -> dict:
    """Describe one file that lies in the data folder."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "name": name,
        "path": path.relative_to(data).as_posix(),
        "urls": [],
        "hash": f"sha256:{digest}",
        "bytes": path.stat().st_size,
        "licence": licence,
        "source": source,
        "card": card(data, path),
    }


def card(data: Path, path: Path) -> str:
    """Find the README.md that describes a file: in its folder or above it, below `data`."""
    for folder in path.relative_to(data).parents:
        if folder != Path() and (data / folder / "README.md").is_file():
            return (folder / "README.md").as_posix()
    raise SystemExit(f"{path} has no card: write a README.md beside it.")


def build(data: Path) -> str:
    """Return the text that ``manifest.json`` should have."""
    entries = sorted([*bundled(data), *REMOTE], key=lambda asset: asset["name"])
    for asset in REMOTE:
        if not (data / asset["card"]).is_file():
            raise SystemExit(f"{asset['name']} has no card: {data / asset['card']} is missing.")
    return json.dumps({"assets": entries}, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the manifest, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description="Write data/manifest.json.")
    parser.add_argument("--check", action="store_true", help="compare only; write nothing")
    arguments = parser.parse_args()
    data = Path(__file__).resolve().parent
    path, text = data / "manifest.json", build(data)
    if arguments.check:
        same = path.is_file() and path.read_text(encoding="utf-8") == text
        print("up to date" if same else "out of date: run python data/make_manifest.py")
        return 0 if same else 1
    with aside(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
