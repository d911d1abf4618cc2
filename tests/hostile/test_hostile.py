"""A part of the attacks; ``data/results/make_reliability.py`` runs all of them."""

import pytest

from tests.hostile import attacks

pytestmark = pytest.mark.nets


@pytest.mark.parametrize("kind", attacks.ATTACKS)
def test_nothing_falls(kind):
    faults = []
    for seed in range(attacks.ATTACKS[kind].in_tests):
        try:
            attacks.attack(kind, seed)
        except attacks.Unsuitable as error:
            pytest.skip(str(error))
        except attacks.Fault as fault:
            faults.append(f"seed {seed}: {fault}")
    assert not faults, "\n".join(faults)
