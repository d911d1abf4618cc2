"""Train a small language model to judge what nets say of a picture, without seeing it.

    python data/models/train_judge.py

It is a GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019) of
random weights. It reads the question that `meznet_helpers.llm.judge` writes and learns the number
that answers it. The questions are about the half of the validation images that is there to fit to;
each time one comes up, its labels and the nets' columns come in another order. A tenth of that half
is kept apart, to see how it does. Ten minutes on two cores.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import wordlist

from meznet_helpers.book import validation_set
from meznet_helpers.ensembles import soft
from meznet_helpers.llm import judge as judging
from meznet_helpers.measure import wilson
from meznet_helpers.progress import bar

FOLDER = Path(__file__).parent / "judge"
CONTEXT, EPOCHS, BATCH, RATE = 160, 60, 128, 2e-3
SIZE = {"n_layer": 3, "n_embd": 96, "n_head": 4}

CARD = """# llm/judge@tiny

A small language model that judges what nets say of a picture: `transformers.GPT2LMHeadModel` of
{parameters:,} parameters, trained by this project from random weights. It never sees the picture.
It reads five labels with the percent that each net gives them, and answers with a number from 1 to
5. That is all the language it has.

| | |
|---|---|
| reads | {layers} layers, {width} wide; {words} words and single letters; {context} tokens |
| stored as | 16-bit floats, {size:.1f} MB |
| learned from | {n:,} questions about the half `fit` of the validation images, in changing order |
| training | {epochs} epochs on two cores; `../train_judge.py` |
| licence | MIT, as this repository |

## What it is worth

On the questions of the half `judge` whose right label is among the five (n = {n_judged:,}), 95 %
Wilson intervals:

| | right |
|---|---|
| the judge | {judge} |
| the nets' mean | {mean} |

## Limits

It knows one form of question. It can only choose among what the nets have thought of. Do not use
it for anything that matters.
"""


def tokenizer() -> Any:
    """Make the tokenizer: the question's words, the labels' names, and numbers."""
    names = validation_set.tables()[0].labels.names
    numbers = np.arange(101)[None]
    return wordlist.tokenizer((judging.written([name], numbers) for name in names), CONTEXT)


def asked(part: str) -> tuple[list[list[str]], np.ndarray, np.ndarray, np.ndarray]:
    """Collect questions whose right answer is among the labels.

    Returns
    -------
    names : list of list of str
    percents : ndarray of int, shape (questions, labels, nets)
    right : ndarray of int, shape (questions,)
    mean : ndarray of int, shape (questions,)
        What the nets' mean answers.
    """
    predictions, truth = validation_set.tables(part)
    chosen = judging.candidates(predictions)
    rows = np.flatnonzero((chosen == truth[:, None]).any(1))
    chosen, labels = chosen[rows], predictions.labels.names
    given = np.take_along_axis(predictions.probs[:, rows], chosen[None], 2)
    mean = np.take_along_axis(soft(predictions.probs)[rows], chosen, 1).argmax(1)
    percents = np.rint(100 * given).astype(int).transpose(1, 2, 0)
    right = (chosen == truth[rows][:, None]).argmax(1)
    return [[labels[label] for label in row] for row in chosen], percents, right, mean


def learned(count: int) -> np.ndarray:
    """Say which of so many questions are learned from; every tenth is kept apart."""
    return np.arange(count) % 10 != 9


class Judge:
    """The net, its tokenizer, and what they say."""

    def __init__(self, seed: int) -> None:
        """Build the net at random."""
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.manual_seed(seed)
        self.tokens = tokenizer()
        ends = {"bos_token_id": self.tokens.cls_token_id, "eos_token_id": self.tokens.sep_token_id}
        self.model = GPT2LMHeadModel(
            GPT2Config(vocab_size=len(self.tokens), n_positions=CONTEXT, **SIZE, **ends)
        )
        numbers = [str(number) for number in range(1, judging.K + 1)]
        self.numbers = self.tokens.convert_tokens_to_ids(numbers)

    def logits(self, texts: list[str]) -> Any:
        """Weigh the numbers as answers (questions, k)."""
        import torch

        batch = self.tokens(
            texts, padding=True, add_special_tokens=False, return_tensors="pt",
            return_token_type_ids=False,
        )  # fmt: skip
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.model.transformer(**batch).last_hidden_state
            last = hidden[torch.arange(len(texts)), batch["attention_mask"].sum(1) - 1]
            return self.model.lm_head(last)

    def answers(self, names: list[list[str]], percents: np.ndarray) -> np.ndarray:
        """Answer questions as they stand: positions (questions,)."""
        import torch

        self.model.eval()
        texts = [judging.written(*asked) for asked in zip(names, percents, strict=True)]
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), 256):
                logits = self.logits(texts[start : start + 256])[:, self.numbers]
                parts.append(logits.argmax(1).numpy())
        return np.concatenate(parts)


def train(judge: Judge, seed: int) -> None:
    """Train, and print after each epoch how often the questions kept apart are answered right."""
    import torch
    from torch.nn import functional

    names, percents, right, mean = asked("fit")
    fitted, others = (np.flatnonzero(learned(len(right)) == part) for part in (True, False))
    optimizer = torch.optim.AdamW(judge.model.parameters(), RATE, weight_decay=0.05)
    steps = len(fitted) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, EPOCHS * steps, pct_start=0.1)
    rng = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        judge.model.train()
        order, losses = rng.permutation(fitted), []
        for step in bar(range(steps), label=f"judge, {epoch + 1} of {EPOCHS}"):
            texts, answers = [], []
            for question in order[step * BATCH : (step + 1) * BATCH]:
                rows, nets = (rng.permutation(size) for size in percents[question].shape)
                shuffled = percents[question][rows][:, nets]
                texts.append(judging.written([names[question][row] for row in rows], shuffled))
                answers.append(judge.numbers[int(np.flatnonzero(rows == right[question])[0])])
            loss = functional.cross_entropy(judge.logits(texts).float(), torch.tensor(answers))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        answers = judge.answers([names[question] for question in others], percents[others])
        hits, best = (np.mean(given == right[others]) for given in (answers, mean[others]))
        print(epoch + 1, f"loss {np.mean(losses):.4f} right {hits:.4f} mean {best:.4f}", flush=True)


def share(hits: np.ndarray) -> str:
    """Write an accuracy with its interval."""
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{hits.mean():.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    """Write data/models/judge/."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of this process")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    judge = Judge(args.seed)
    train(judge, args.seed)
    FOLDER.mkdir(exist_ok=True)
    judge.model.half().save_pretrained(FOLDER)
    judge.tokens.save_pretrained(FOLDER)
    judge.model.float()
    names, percents, right, mean = asked("judge")
    answers = judge.answers(names, percents)
    card = CARD.format(
        parameters=judge.model.num_parameters(),
        layers=SIZE["n_layer"],
        width=SIZE["n_embd"],
        words=len(judge.tokens),
        context=CONTEXT,
        size=(FOLDER / "model.safetensors").stat().st_size / 1e6,
        n=int(learned(len(asked("fit")[2])).sum()),
        epochs=EPOCHS,
        n_judged=len(right),
        judge=share(answers == right),
        mean=share(mean == right),
    )
    (FOLDER / "README.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
