"""How long `mortcond predict` takes, and how much memory, for one patient's records and for data sets of any size.

    python tests/benchmarks/predict_scale.py MODEL.tflite dataset.npz [--records FOLDER] [--stays 10000 1000000]

--records holds the raw records of one patient, in any form that `predict` reads. The data sets repeat the test split of
dataset.npz and lie on disk while they are measured: a million stays of 76 features take 15 GB. Each run is a process of
its own; wall time and peak resident memory are the kernel's.
"""

import argparse
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from preprocess_scale import MORTCOND, cost

from mortcond import dataset as datasets
from mortcond.dataset import npz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--records", type=Path)
    parser.add_argument("--stays", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=5, help="of one patient's records")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mortcond-scale-") as folder:
        predict = [*MORTCOND, "predict", str(options.model), "-q", "--overwrite", "-o", f"{folder}/risks.csv"]
        if options.records:
            runs = [cost([*predict, str(options.records)]) for _ in range(options.repeats)]
            print(f"one patient: {median(run.seconds for run in runs):.2f} s, {runs[0].peak_rss_mb:.0f} MB", flush=True)
        for stays in options.stays:
            large = Path(folder) / "dataset.npz"
            with ProcessPoolExecutor(1) as apart:  # a process begins with its parent's peak: ours must stay small
                apart.submit(write, large, options.dataset, stays).result()
            run = cost([*predict, str(large)])
            size = large.stat().st_size / 1e9
            print(f"{stays:,} stays ({size:.2f} GB): {run.seconds:.1f} s, {run.peak_rss_mb:.0f} MB", flush=True)


def write(path: Path, dataset: Path, stays: int) -> None:
    """Write a data set whose test split is that of another, again and again, up to so many stays."""
    known = datasets.load(dataset, splits=("test",))
    test, rows = known.test, np.resize(np.arange(len(known.test)), stays)
    empty = npz.empty_split(test.X.shape[1:])
    per_stay = {name: array for name, array in vars(empty).items() if name != "X"}
    with npz.writer(path) as file:
        for name in ("train", "val"):
            npz.write_x(file, name, empty.X.shape, [empty.X])
            npz.write_stays(file, name, per_stay)
        npz.write_x(file, "test", (stays, *test.X.shape[1:]), _parts(test.X, stays))
        own = {name: getattr(test, name)[rows] for name in per_stay} | {"stay_id": np.arange(stays)}
        npz.write_stays(file, "test", own)
        npz.write_common(file, known.feature_names, known.mean, known.std, known.meta)


def _parts(x: np.ndarray, stays: int) -> Iterator[np.ndarray]:
    for start in range(0, stays, len(x)):
        yield x[: stays - start]


if __name__ == "__main__":
    main()
