"""Tests of judges that don't see the picture: their question, their answers, what becomes of them.

Torch never comes into this process: what needs it runs in fresh interpreters and workers.
"""

import re

import numpy as np
import pytest

from meznet_helpers.assets import profile
from meznet_helpers.book import validation_set
from meznet_helpers.book.published import tiny_nets
from meznet_helpers.ensembles import EnsembleLabeler, soft
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read_many
from meznet_helpers.labels import from_names
from meznet_helpers.llm import LocalJudge
from meznet_helpers.llm import judge as judging
from meznet_helpers.measure import rank_of_truth
from meznet_helpers.names import labeler
from meznet_helpers.predictions import Predictions

NAMES = ["owl", "cat", "zebra", "dog", "ant", "bee"]


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(6, 0.5), (3, 40)).astype(np.float32)
    return Predictions(probs, ["a", "b", "c"], [f"{at}.jpg" for at in range(40)], from_names(NAMES))


def test_the_candidates_are_the_means_first_in_an_order_that_does_not_tell(predictions):
    chosen = judging.candidates(predictions, 4)
    mean = predictions.probs.mean(0)
    for row, scores in zip(chosen, mean, strict=True):
        assert set(row) == set(np.argsort(-scores)[:4])
        assert [NAMES[at] for at in row] == sorted(NAMES[at] for at in row)
    for k in (1, 7, 10):
        with pytest.raises(MeznetError, match=rf"k is {k}; it must be from 2 to 6"):
            judging.candidates(predictions, k)


def test_the_question_holds_names_and_percents_and_nothing_of_the_picture(predictions):
    chosen = judging.candidates(predictions, 3)
    for at, text in enumerate(judging.questions(predictions, chosen)):
        lines = text.splitlines()
        assert lines[0] == judging.INTRODUCTION and lines[-2:] == [judging.QUESTION, judging.ANSWER]
        assert f"{at}.jpg" not in text, "the file's name"
        for number, (line, label) in enumerate(zip(lines[1:-2], chosen[at], strict=True), 1):
            percents = " ".join(f"{100 * net[at, label]:.0f}" for net in predictions.probs)
            assert line == f"{number}. {NAMES[label]}: {percents}"


def test_what_is_dealt(predictions):
    """The candidates' mass is shared anew, the rest stays; without an answer all of it does."""
    chosen = judging.candidates(predictions, 4)
    rng = np.random.default_rng(1)
    given = rng.dirichlet(np.ones(4), 40)
    given[::7] = np.nan
    found = judging.dealt(predictions, chosen, given)
    mean = soft(predictions.probs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    for at in range(40):
        others = np.setdiff1d(np.arange(6), chosen[at])
        np.testing.assert_allclose(found[at, others], mean[at, others], rtol=1e-5)
        share = mean[at, chosen[at]].sum()
        wanted = mean[at, chosen[at]] if at % 7 == 0 else given[at] * share
        np.testing.assert_allclose(found[at, chosen[at]], wanted, rtol=1e-5)


@pytest.mark.contract
def test_a_local_judge_weighs_as_its_model_does(fresh_python):
    """Questions of different lengths in one batch: each as it is alone, by the model's logits."""
    fresh_python(
        """
import numpy as np, torch
from transformers import AutoTokenizer, GPT2LMHeadModel
from meznet_helpers.assets import profile
from meznet_helpers.book import validation_set
from meznet_helpers.llm import LocalJudge
from meznet_helpers.errors import MeznetError
from meznet_helpers.llm import judge as judging
torch.set_num_threads(1)
folder = profile.data() / "models" / "judge"
model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
tokens = AutoTokenizer.from_pretrained(folder)
nets, _ = validation_set.tables("judge")
nets = nets.select(images=nets.images[:12])
chosen = judging.candidates(nets)
texts = judging.questions(nets, chosen)
judge = LocalJudge("tiny")
found = judge._weigh([np.array(texts[:5]), np.array(texts[5:])])
numbers = tokens.convert_tokens_to_ids(list("12345"))
lengths = set()
for text, row in zip(texts, found):
    ids = tokens(text, add_special_tokens=False, return_tensors="pt").input_ids
    lengths.add(ids.shape[1])
    assert tokens.unk_token_id not in ids[0].tolist()
    with torch.no_grad():
        logits = model(ids).logits[0, -1, numbers]
    np.testing.assert_allclose(row, logits.softmax(0).numpy(), atol=1e-5)
assert len(lengths) > 3
whole = judge(nets)
np.testing.assert_allclose(whole, judging.dealt(nets, chosen, found), atol=1e-6)
try:
    judge._weigh([np.array(["word " * 300])])
    raise AssertionError
except MeznetError as error:
    assert "llm/judge@tiny reads 160" in str(error)
try:
    LocalJudge("nowhere")._weigh([np.array(["word"])])
    raise AssertionError
except MeznetError as error:
    assert '"nowhere" is no language model' in str(error)
"""
    )


@pytest.mark.contract
def test_a_judge_as_a_labeler_beside_keras():
    """Five Keras nets here, torch in workers; the result is the judge's of their predictions."""
    import keras  # noqa: F401

    photographs = read_many(list(profile.package_photographs().values())[:3])
    nets = [name for name in tiny_nets()["model"] if "MobileNetV" in name]
    judge = LocalJudge("tiny")
    together = EnsembleLabeler([labeler(name) for name in nets], judge)
    assert together.name == "llm/judge@tiny"
    found = together.predict(photographs)
    members = [labeler(name).predict(photographs) for name in nets]
    wanted = LocalJudge("tiny")(members[0].join(*members[1:]))
    np.testing.assert_allclose(found.probs[0], wanted, atol=1e-5)
    together.release()
    assert judge._worker is None
    assert [member.name for member in labeler("llm/judge@tiny").members] == tiny_nets()[
        "model"
    ].tolist()


@pytest.mark.contract
def test_the_card_says_what_the_judge_does():
    """Right answers among the five, on the half that judges."""
    import keras  # noqa: F401 (so that torch stays out of this process)

    card = (profile.data() / "models" / "judge" / "README.md").read_text(encoding="utf-8")
    said = {
        who: float(value)
        for who, value in re.findall(r"\| (the judge|the nets' mean) \| ([\d.]+)%", card)
    }
    nets, truth = validation_set.tables("judge")
    chosen = judging.candidates(nets)
    there = (chosen == truth[:, None]).any(1)
    mean = soft(nets.probs)
    ranks = rank_of_truth(mean[None], truth)[0]
    assert said["the nets' mean"] == pytest.approx(100 * (ranks[there] == 1).mean(), abs=0.11)
    assert there.sum() == int(re.search(r"n = ([\d,]+)\)", card)[1].replace(",", ""))
    judged = LocalJudge("tiny")(nets)
    first = np.take_along_axis(judged, chosen, 1).argmax(1)
    right = (chosen[np.arange(len(chosen)), first] == truth)[there].mean()
    assert said["the judge"] == pytest.approx(100 * right, abs=0.5)  # 16 bits in training
