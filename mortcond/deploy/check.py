"""The check of a `.tflite` file against the network it was made of, before the file gets its name.

Comes in: the file, the network's risks and held stays. Goes out: how far the file's risks are from the network's. The
file is run in a process of its own, so that one that crashes the interpreter is a message and not the end of the work.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.core.scratch import scratch_folder
from mortcond.core.signals import environment_of_worker
from mortcond.deploy.perturbed import perturbed
from mortcond.network import Network
from mortcond.scores import auroc, defined

PREDICT = """
import sys
import numpy as np
from pathlib import Path
from mortcond.core.signals import end_with_parent
from mortcond.deploy.runtime import Predictor
end_with_parent()
np.save(sys.argv[3], Predictor(Path(sys.argv[1])).predict(np.load(sys.argv[2])))
"""


# The largest change of any stay's probability that a file may bring, by mode.
TOLERANCE = {"float32": 1e-5, "float16": 0.01, "dynamic": 0.1, "int8": 0.1, "integer": 0.1}
MEAN_SHARE = 0.1  # of that, what the mean change may be
AUROC_LOSS = 0.005  # what the file may lose against its parent


def compare(path: Path, parent: Network | np.ndarray, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return how a file's risks differ from its parent's on the same stays, see `differences`.

    Parameters
    ----------
    path
        A `.tflite` file.
    parent
        The network that it was made of, or that network's risks, (stays,).
    x
        (stays, hours, features), scaled.
    y
        (stays,), 1 for a death.
    """
    expected = parent.predict(x) if isinstance(parent, Network) else np.asarray(parent)
    risk = predict_apart(path, x)
    if not np.isfinite(risk).all():
        raise InputError(f"{path} predicts values that are no numbers.", "Use another --mode, and report this file.")
    return differences(risk, expected, y)


def everywhere(path: Path, network: Network, train: np.ndarray, val: tuple[np.ndarray, np.ndarray], seed: int) -> dict:
    """Return `compare` on the validation stays, with the largest change of any risk on all stays that can be had.

    Parameters
    ----------
    network
        The network that the file was made of.
    train, val
        The training stays, (stays, hours, features), and the validation stays with their outcomes.
    seed
        Of the random changes to both, see `deploy.perturbed`.

    Returns
    -------
    What `compare` gives; in it max_abs_dp is the largest of all, p999_abs_dp what 99.9 % of all stay below, and `tried`
    has stays and max_abs_dp of `train`, `val` and `perturbed`.
    """
    X, y = val
    parts = {"train": train, "val": X, "perturbed": perturbed(np.concatenate([train, X]), seed)}
    found, moved = compare(path, network, X, y), {}
    for name, stays in parts.items():
        risk = predict_apart(path, stays)
        if not np.isfinite(risk).all():
            raise InputError(f"{path} predicts values that are no numbers.", "Use another --mode, report this file.")
        moved[name] = np.abs(risk - network.predict(stays))
    changes = np.concatenate(list(moved.values()))
    tried = {name: {"stays": len(own), "max_abs_dp": float(own.max(initial=0))} for name, own in moved.items()}
    largest = {"max_abs_dp": float(changes.max(initial=0))}
    if len(changes):
        largest["p999_abs_dp"] = float(np.quantile(changes, 0.999, method="higher"))
    return found | largest | {"tried": tried}


def differences(risk: np.ndarray, expected: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return how a file's risks differ from its parent's; each (stays,), y 1 for a death.

    Returns
    -------
    max_abs_dp and mean_abs_dp: the largest and the mean difference of probability; auroc, auroc_parent and delta_auroc
    (file - parent), None where all stays have the same outcome; stays.
    """
    difference = np.abs(risk - expected)
    own, parents = auroc(y, risk), auroc(y, expected)
    return {
        "max_abs_dp": float(difference.max(initial=0)),
        "mean_abs_dp": float(difference.mean()) if len(difference) else 0.0,
        "auroc": defined(own),
        "auroc_parent": defined(parents),
        "delta_auroc": defined(own - parents),
        "stays": len(y),
    }


def acceptable(found: dict[str, Any], tolerance: float) -> bool:
    """Say whether differences are within a tolerance of the largest, MEAN_SHARE of it and AUROC_LOSS."""
    near = found["max_abs_dp"] <= tolerance and found["mean_abs_dp"] <= MEAN_SHARE * tolerance
    return near and -(found["delta_auroc"] or 0.0) <= AUROC_LOSS


def predict_apart(path: Path, x: np.ndarray) -> np.ndarray:
    """Return the risks that a file predicts for x, (stays,), from a fresh process.

    Raises InputError where that process fails.
    """
    with scratch_folder() as scratch:
        stays, risks = scratch / "x.npy", scratch / "risk.npy"
        np.save(stays, x)
        command = [sys.executable, "-c", PREDICT, str(path), str(stays), str(risks)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment_of_worker())
        if result.returncode != 0:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{path} cannot be run (exit code {result.returncode}: {last}).", "Use another --mode.")
        return np.load(risks)
