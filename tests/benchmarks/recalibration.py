"""What recalibration on 100, 300 and 1,000 stays of another hospital changes, on the stays that it did not use.

Comes in: model directories or .tflite files, and a labelled data set made with preprocess --apply. Goes out: a table.
Each row is a mean over draws of that many stays; the level is the one that `mortcond recalibrate` takes by their
deaths. Draws with fewer than 10 deaths are left out: there the command refuses.

    python tests/benchmarks/recalibration.py other.npz artifacts/lstm artifacts/linear
"""

import argparse
from pathlib import Path

import numpy as np

from mortcond import dataset as datasets
from mortcond import scores
from mortcond.core.errors import LimitError
from mortcond.deploy.runtime import Predictor
from mortcond.measure import recalibration

SIZES = (100, 300, 1000)
COLUMNS = ("mean risk", "intercept", "slope", "Brier", "ECE", "AUROC")


def figures(died: np.ndarray, risk: np.ndarray) -> np.ndarray:
    slope, intercept = scores.calibration(died, risk)
    brier, ece = scores.brier(died, risk), scores.expected_calibration_error(died, risk)
    return np.array([risk.mean(), intercept, slope, brier, ece, scores.auroc(died, risk)])


def drawn(died: np.ndarray, risk: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, str] | None:
    """Return the figures of the stays that were not drawn, with the risks that the drawn ones led to; None: refused."""
    rows = rng.permutation(len(died))
    used, rest = rows[:size], rows[size:]
    try:
        level = recalibration.level_for(died[used])
    except LimitError:
        return None
    found = recalibration.fit(died[used], risk[used], level)
    return figures(died[rest], scores.recalibrated(risk[rest], found.intercept, found.slope)), level


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    test = datasets.load(options.data, splits=("test",)).test
    died = test.y
    print(f"{len(died):,} stays, share of deaths {died.mean():.3f}; means of {options.draws} draws (their SD)")
    print(f"| model | stays | level | {' | '.join(COLUMNS)} |\n| --- | --- | --- |{' ---: |' * len(COLUMNS)}")
    for path in options.models:
        risk = Predictor(path).predict(test.X).astype(np.float64)
        cells = [f"{value:.3f}" for value in figures(died, risk)]
        print(f"| {path.stem} | none | as it is | {' | '.join(cells)} |")
        for size in SIZES:
            rng = np.random.default_rng(options.seed)
            tried = [drawn(died, risk, size, rng) for _ in range(options.draws)]
            found = [one for one in tried if one is not None]
            values, levels = np.stack([one for one, _ in found]), sorted({level for _, level in found})
            cells = [f"{m:.3f} ({s:.3f})" for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True)]
            refused = f" ({len(tried) - len(found)} refused)" if len(found) < len(tried) else ""
            print(f"| {path.stem} | {size:,}{refused} | {', '.join(levels)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
