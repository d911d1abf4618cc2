"""Scores are tempered as known photographs taught, and for no net that is fed otherwise."""

import numpy as np
import pytest

from meznet_helpers.book import animals, validation_set
from meznet_helpers.ensembles import EnsembleLabeler
from meznet_helpers.labelers import calibration, registry
from meznet_helpers.labelers.nets import of_backbone
from meznet_helpers.measure import expected_calibration_error, temper
from meznet_helpers.names import labeler

FACTS = calibration.facts()
LITES = [name for name in FACTS if name.startswith("efficientnet")]
TINY = "keras/MobileNet@tiny"


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(3)]


def test_predictions_are_tempered_where_that_is_asked_for(images):
    net = labeler(TINY)
    raw, warm = net.predict(images).probs, net.predict(images, calibrated=True).probs
    t = FACTS[TINY]["temperature"]
    np.testing.assert_allclose(warm, temper(raw, t), atol=1e-6)
    assert np.abs(warm - raw).max() > 1e-3
    for (_, probs), expected in zip(net.stream(images, calibrated=True), [warm[0]], strict=True):
        np.testing.assert_allclose(probs, expected, atol=1e-6)


def test_an_ensemble_combines_calibrated_members(images):
    nets = [labeler(TINY), labeler("keras/MobileNetV3Small@tiny")]
    members = [net.predict(images, calibrated=True).probs[0] for net in nets]
    both = EnsembleLabeler(nets, "soft")
    found = both.predict(images, calibrated=True).probs[0]
    np.testing.assert_allclose(found, np.mean(members, axis=0), atol=1e-6)
    assert both.calibration is None
    assert np.abs(found - both.predict(images).probs[0]).max() > 1e-4


def test_a_net_that_is_fed_otherwise_has_none():
    assert labeler(TINY).calibration is not None
    assert labeler(TINY, mode="raw").calibration is None
    assert labeler("keras/ResNet50").calibration is None


def test_with_labels_of_your_own_a_labeler_has_none():
    from meznet_helpers.words import ZeroShotLabeler

    assert ZeroShotLabeler("tiny").calibration is not None
    assert ZeroShotLabeler("tiny", ["cat", "dog"]).calibration is None


def test_one_net_in_two_frameworks_has_one():
    for number in range(3):
        one = labeler(f"keras/EfficientNetLite{number}").calibration
        assert one is labeler(f"timm/tf_efficientnet_lite{number}").calibration is not None
        quick = labeler(f"keras/EfficientNetLite{number}@int8").calibration
        assert quick is not None and quick is not one


def test_every_net_with_weights_here_has_seen_some():
    own = [name for name, net in registry().items() if net.tag == "tiny"]
    assert set(FACTS) == {*LITES, *own, *validation_set.LATER}
    for name in own:
        assert of_backbone(registry()[name]).calibration.temperature == FACTS[name]["temperature"]


@pytest.mark.parametrize("name", FACTS)
def test_scores_and_facts_fit(name):
    known, facts = calibration.find(name, FACTS[name]["labels"]), FACTS[name]
    assert (known.temperature, known.n) == (facts["temperature"], facts["n"])
    assert known.first.shape == known.right.shape and len(known.first) <= known.n
    assert (known.right <= known.first + 1e-3).all() and (known.first <= 1).all()
    # what the card says of the other half is what was promised, within chance
    for share, promised in (("none_of_known", 0.05), ("covered", 0.9)):
        assert abs(facts[share] - promised) < 0.02, share
    assert known.none_below(0.05) < known.none_below(0.2)
    assert known.in_set_from(0.95) < known.in_set_from(0.8)


@pytest.mark.parametrize("name", LITES)
def test_published_nets_were_not_sure_enough(name):
    facts = FACTS[name]
    assert facts["temperature"] < 0.8
    assert facts["ece_before"] > 0.15 > 0.06 > facts["ece_after"]
    assert facts["ece_after_other_animals"] < 0.06  # and of animals that taught nothing
    assert facts["n"] + facts["n_judged"] == facts["n_all"] == 2204


def test_the_temperature_of_an_own_net_is_the_one_of_the_half_that_fits():
    predictions, truth = validation_set.tables("judge")
    probs = predictions.select(models=[TINY]).probs[0]
    warm = temper(probs, FACTS[TINY]["temperature"])
    found = expected_calibration_error(warm, truth)
    assert found == pytest.approx(FACTS[TINY]["ece_after"], abs=1e-3)


def test_animals_have_labels_of_their_kind():
    of, same = animals.labels_of(), animals.labels_of(same=True)
    assert len(of) == 39 and not {"cow", "okapi", "turkey"} & of.keys()
    assert of["antelope"] == [351, 352, 353]  # hartebeest, impala, gazelle
    assert len(of["dog"]) == 118 and of["zebra"] == same["zebra"] == [340]
    assert set(same["hedgehog"]) == set(same["porcupine"])  # one label is both
    groups = np.repeat(["fox", "owl"], [5, 4])
    first = animals.halves(groups, seed=3)
    assert first[:5].sum() == 2 and first[5:].sum() == 2
    np.testing.assert_array_equal(first, animals.halves(groups, seed=3))
