"""Turn a finished training run of the captioner into a folder that `from_pretrained` loads.

    python data/models/export_captioner.py captioner --images tiny-imagenet-200 --out runs

The weights are stored as 16-bit floats. What the card says is measured with those.
"""

import json
from collections import Counter
from pathlib import Path

import drawings
import exporting
import numpy as np
import sentences
import wordlist
from train_captioner import CONTEXT, MEAN, untrained
from training import HERE, SIDE, logged, recipes

from meznet_helpers import emojizoo, labels
from meznet_helpers.book.validation_set import read
from meznet_helpers.images import Dataset
from meznet_helpers.llm import CaptionLabeler, captioner
from meznet_helpers.llm.answers import Reader
from meznet_helpers.measure import hits, rank_of_truth

CARD = """# llm/captioner@tiny

A small captioner: `transformers.BlipForConditionalGeneration` of {parameters:,} parameters, trained
by this project from random weights. It looks at a picture and writes one word after the other. It
loads as its big sisters do:

```python
from transformers import BlipForConditionalGeneration, BlipProcessor

model = BlipForConditionalGeneration.from_pretrained("data/models/captioner")
```

| | |
|---|---|
| sees with | ViT of {layers} layers, {width} wide, patches of {patch} pixels |
| input | {side} x {side} pixels |
| writes with | transformer of {text_layers} layers, {text_width} wide, that looks at all patches |
| words | {words:,}: those of its captions, and single letters |
| stored as | 16-bit floats, {size:.1f} MB |
| photographs | 100,000 of Tiny-ImageNet |
| drawings | of Emoji Zoo's {things} classes that show no animal |
| sentences | captions, longer captions, three questions; `../sentences.py`, `../kinds.csv` |
| training, all of it | {first_epochs} epochs, {first_minutes:.0f} minutes on {first_machine} |
| training, then the decoder | {epochs} epochs, {minutes:.0f} minutes on {machine} |
| licence | MIT, as this repository. The photographs are ImageNet's, for research |

Logs are `log-towers.csv` and `log.csv`, recipes `../recipes.json`. The first run's list of words
was lost, so the second learned the words anew, and the tower that sees stayed as it was.

## By constrained choice

Each label is weighed as the end of *a photo of a ...* or *a drawing of a ...*.

| task | first | among five |
|---|---|---|
{rows}

## By free text

It writes what it likes; the text counts if one label of the list, a synonym or its id stands in
it, and no other. The rest is *off the list*, and wrong.

| task | right | off the list |
|---|---|---|
{free}

95 % Wilson intervals. The photographs are the 10,000 validation images of Tiny-ImageNet; nothing
was chosen by them. The drawings are Emoji Zoo's, in the mild variant, composed anew.

## Its typical lies

Of the {lies:,} photographs that it named wrongly in free text, these are the most frequent:

| it said | of | times |
|---|---|---|
{typical}

## Limits

It knows 200 kinds of photographs and {things} of drawings. Whatever else it is shown, it names one
of those, in the same even voice: it was never taught to say that it does not know. It has never
seen a drawing of an animal. Do not use it for anything that matters.
"""


def store(run: exporting.Finished, folder: Path) -> None:
    """Write weights, config, tokenizer and processor as `from_pretrained` reads them."""
    import torch
    from transformers import BlipProcessor

    tokens = wordlist.tokenizer(sentences.all_texts(), CONTEXT)
    model = untrained(run.recipe.options, tokens)
    weights = {key: torch.from_numpy(array) for key, array in run.weights.items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = set(model.state_dict()) - {name for name, _ in model.named_parameters()}
    if unexpected or not set(missing) <= tied:
        raise SystemExit(f"{run.name} lacks weights: {sorted(set(missing) - tied)[:3]}")
    model.half().save_pretrained(folder)
    BlipProcessor(exporting.processor(MEAN), tokens).save_pretrained(folder)


def chosen(task: str, labeler: CaptionLabeler, data: Dataset) -> str:
    """Measure one line of the card's first table."""
    probs = labeler.predict(data.images, progress=True).probs
    ranks = rank_of_truth(probs, data.truth)[0]
    first, five = (exporting.share(hits(ranks, k)) for k in (1, 5))
    return f"| {task} | {first} | {five} |"


def free(task: str, labeler: CaptionLabeler, data: Dataset) -> tuple[str, Counter]:
    """Measure one line of the card's second table; also count what it said of what, wrongly."""
    reader, names = Reader(data.labels), data.labels.names
    texts = labeler.describe(data.images, progress=True)["text"]
    labels = [reader.read(text).position for text in texts]
    right = np.array([label == truth for label, truth in zip(labels, data.truth, strict=True)])
    off = np.array([label is None for label in labels])
    lies = Counter(
        (text, names[truth])
        for text, truth, fine in zip(texts, data.truth, right, strict=True)
        if not fine
    )
    return f"| {task} | {exporting.share(right)} | {exporting.share(off)} |", lies


def main() -> None:
    """Write data/models/captioner/."""
    parser = exporting.arguments("transformers-blip", __doc__)
    args = parser.parse_args()
    (name,) = args.names
    run = exporting.finished(name, args.out, "weights/")
    first = logged(args.out / f"{run.recipe.start}.safetensors")
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    store(run, folder)
    exporting.write_log(run.log, folder / "log.csv")
    exporting.write_log(first, folder / "log-towers.csv")

    space, (images, truth) = labels.tiny_imagenet(), read(args.images)
    photographs = Dataset(images, truth, space)
    known = emojizoo.render(drawings.classes(), 7, size=SIDE, seed=10_000)
    animals = emojizoo.animals()
    photo, drawing = "a photo of {a}", "a drawing of {a}"

    def asked(data: Dataset, prompt: str) -> CaptionLabeler:
        return CaptionLabeler(str(folder), data.labels, prompt=prompt)

    classes = f"{len(known.labels)} classes of drawings that it was trained on"
    beasts = f"{len(animals.labels)} drawn animals, none seen drawn"
    rows = [
        chosen("200 classes of photographs", asked(photographs, photo), photographs),
        chosen(classes, asked(known, drawing), known),
        chosen(beasts, asked(animals, drawing), animals),
    ]
    tasks = {"200 classes of photographs": photographs, classes: known, beasts: animals}
    told = [free(task, asked(data, photo), data) for task, data in tasks.items()]
    lies = told[0][1]
    model = captioner.load(str(folder)).model
    card = CARD.format(
        **exporting.described(model, run, folder),
        things=len(drawings.classes()),
        first_epochs=len(first),
        first_minutes=exporting.minutes(first),
        first_machine=recipes()[run.recipe.start].machine,
        rows="\n".join(rows),
        free="\n".join(row for row, _ in told),
        lies=sum(lies.values()),
        typical="\n".join(
            f"| {words} | {right} | {count} |" for (words, right), count in lies.most_common(12)
        ),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(json.dumps(rows, indent=1), card)


if __name__ == "__main__":
    main()
