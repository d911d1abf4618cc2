"""Turn a finished training run of CLIP into an asset: a folder that `from_pretrained` loads.

    python data/models/export_clip.py clip --images tiny-imagenet-200 --out runs

The weights are stored as 16-bit floats. What the card says is measured with those.
"""

from functools import partial
from pathlib import Path
from typing import Any

import drawings
import exporting
import numpy as np
from train_clip import MEAN, tokenizer, untrained
from training import HERE, SIDE

from meznet_helpers import emojizoo, labels
from meznet_helpers.book.validation_set import read
from meznet_helpers.images import Images
from meznet_helpers.measure import hits, rank_of_truth
from meznet_helpers.words import DRAWINGS, PHOTOS, ZeroShotLabeler, clip

CARD = """# clip/zero-shot@tiny

A small CLIP: `transformers.CLIPModel` of {parameters:,} parameters, trained by this project from
random weights. It compares a picture with any words; it knows few. It loads as its big sisters do:

```python
from transformers import CLIPModel, CLIPProcessor

model = CLIPModel.from_pretrained("data/models/clip")
```

| | |
|---|---|
| image tower | ViT of {layers} layers, {width} wide, patches of {patch} pixels |
| input | {side} x {side} pixels |
| text tower | transformer of {text_layers} layers, {text_width} wide |
| texts | up to {context} of {words:,} tokens, made for its captions |
| embeddings | {projection} numbers |
| activation | `{activation}` in both towers |
| stored as | 16-bit floats, {size:.1f} MB |
| photographs | 100,000 of Tiny-ImageNet |
| drawings | of Emoji Zoo's {things} classes that show no animal |
| captions | names, synonyms and kinds in templates; `../captions.py`, `../kinds.csv` |
| training | {epochs} epochs, {minutes:.0f} minutes on {machine}; `../recipes.json`, `log.csv` |
| licence | MIT, as this repository. The photographs are ImageNet's, for research |

## What it can do

| task | first | among five |
|---|---|---|
{rows}

95 % Wilson intervals. The photographs are the 10,000 validation images of Tiny-ImageNet; nothing
was chosen by them. The drawings are Emoji Zoo's, in the mild variant. "One prompt" is *a photo of
a ...*; several prompts are averaged.

## Limits

It has seen 200 kinds of photographs and {things} of drawings, and hardly knows a word beyond their
names. It has never seen a drawing of an animal. Photographs were compared with captions of
photographs alone, and drawings with those of drawings, so it was never told that drawings show no
animals; but all that it was shown drawn was something else. It was not taught what *not* means. Do
not use it for anything that matters.
"""


def store(run: exporting.Finished, folder: Path, tokens: Any) -> None:
    """Write weights, config, tokenizer and processor as `from_pretrained` reads them."""
    import torch
    from transformers import CLIPProcessor

    model = untrained(run.recipe.options, tokens)
    model.load_state_dict({key: torch.from_numpy(array) for key, array in run.weights.items()})
    model.half().save_pretrained(folder)
    CLIPProcessor(exporting.processor(MEAN), tokens).save_pretrained(folder)


def row(name: str, labeler: ZeroShotLabeler, images: Images, truth: np.ndarray) -> str:
    """Measure one line of the card's table."""
    ranks = rank_of_truth(labeler.predict(images, batch_size=250).probs, truth)[0]
    first, five = (exporting.share(hits(ranks, k)) for k in (1, 5))
    return f"| {name} | {first} | {five if len(labeler.labels) > 5 else ''} |"


def main() -> None:
    """Write data/models/clip/."""
    args = exporting.arguments("transformers", __doc__).parse_args()
    (name,) = args.names
    run = exporting.finished(name, args.out, "weights/")
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    store(run, folder, tokenizer(args.out / f"{name}-tokenizer"))
    exporting.write_log(run.log, folder / "log.csv")

    space = labels.tiny_imagenet()
    photographs, truth = read(args.images)
    animals = emojizoo.animals()
    known = emojizoo.render(drawings.classes(), 7, size=SIDE, seed=10_000)
    sorts = emojizoo.animal_or_not()
    ask = partial(ZeroShotLabeler, str(folder))
    lines = [
        row("200 classes of photographs, one prompt", ask(space), photographs, truth),
        row(
            f"200 classes of photographs, {len(PHOTOS)} prompts",
            ask(space, templates=PHOTOS),
            photographs,
            truth,
        ),
        row(
            f"{len(known.labels)} classes of drawings that it was trained on, composed anew",
            ask(known.labels, templates=DRAWINGS),
            known.images,
            known.truth,
        ),
        row(
            f"{len(animals.labels)} drawn animals, none seen drawn, some not at all",
            ask(animals.labels, templates=DRAWINGS),
            animals.images,
            animals.truth,
        ),
        row(
            'drawn animal or not: "animal" against "thing"',
            ask(["animal", "thing"]),
            sorts.images,
            sorts.truth,
        ),
    ]
    model = clip.load(str(folder)).model
    card = CARD.format(
        **exporting.described(model, run, folder),
        context=model.config.text_config.max_position_embeddings,
        projection=model.config.projection_dim,
        activation=model.config.vision_config.hidden_act,
        things=len(drawings.classes()),
        rows="\n".join(lines),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
