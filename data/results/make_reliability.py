"""Attack the package as the tests do, many times as often, and count what fell.

    python data/results/make_reliability.py                # all of it, half an hour on two cores
    python data/results/make_reliability.py --only kills   # one kind; the table is printed alone

``reliability.csv`` keeps what came of it here. The attacks, each made of a seed, are in
``tests/hostile/attacks.py``. What fell is printed with its seed.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from meznet_helpers.files import aside  # noqa: E402
from meznet_helpers.progress import bar  # noqa: E402
from tests.hostile import attacks  # noqa: E402 (lies beside the package, not in it)


def count(kind: str) -> dict[str, object]:
    """Try one kind of attack as often as the table says, and count what fell."""
    what = attacks.ATTACKS[kind]
    row: dict[str, object] = {"what": what.what, "n": 0} | dict.fromkeys(attacks.FAULTS, 0)
    for seed in bar(range(what.times), label=kind):
        try:
            attacks.attack(kind, seed)
        except attacks.Unsuitable as error:
            print(f"{kind} {seed}: not tried, {error}", file=sys.stderr)
            continue
        except attacks.Fault as fault:
            row[fault.kind] += 1
            print(f"{kind} {seed}: {fault}", file=sys.stderr)
        row["n"] += 1
    return row


def main() -> None:
    """Count, print, and keep the table if it is whole."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", choices=attacks.ATTACKS)
    only = parser.parse_args().only
    table = pd.DataFrame([count(kind) for kind in ([only] if only else attacks.ATTACKS)])
    print(table.to_string(index=False))
    if only is None:
        with aside(Path(__file__).with_name("reliability.csv")) as part:
            table.to_csv(part, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
