"""A `.tflite` file of ours as a model, where the directory that it was made of is not at hand.

Comes in: the file. Goes out: its network with the file's own weights, which gives the file's risks; or the same file in
another mode.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.artifacts import atomic_file, sha256
from mortcond.core.errors import InputError, LimitError
from mortcond.core.manifest import Manifest
from mortcond.core.session import Session
from mortcond.deploy import metadata
from mortcond.deploy.check import TOLERANCE, acceptable, differences
from mortcond.deploy.recovered import recover
from mortcond.deploy.runtime import Predictor
from mortcond.deploy.tflite import build
from mortcond.deploy.weights import EIGHT_BITS, WITH_8_BIT_INPUTS
from mortcond.network import Network

MADE_UP_STAYS = 64


@dataclass(frozen=True)
class LoneFile:
    """A file and what it holds."""

    path: Path
    manifest: Manifest
    record: dict[str, Any]  # its metadata
    network: Network
    steps: tuple[float, ...]  # of which its weights are multiples, where they have 8 bits
    predict: Callable[[np.ndarray], np.ndarray]  # stays to the file's own risks
    tolerance: float  # of the network against the file: more than rounding where the file rounds what it multiplies

    @property
    def mode(self) -> str:
        return self.manifest.quantization or "float32"


def read(session: Session, path: Path, record: dict[str, Any], manifest: Manifest) -> LoneFile:
    """Return what a file holds.

    Raises
    ------
    InputError
        It does not say how its network is built, or its weights cannot be read back, or do not give its risks.
    """
    told = record.get("network")
    if told is None:
        parent = (manifest.parent or {}).get("name", manifest.name)
        raise InputError(
            f"{path} does not say how its network is built, and {parent}, which it was made of, is not beside it.",
            f"Put the model directory {parent} into the same folder, or write the file again with this version.",
        )
    predictor = Predictor(path, trust_changed=session.trust_changed)
    mode = manifest.quantization or "float32"
    found = recover(predictor.content, manifest.arch or "", mode, told, str(path))
    tolerance = TOLERANCE[mode] if mode in WITH_8_BIT_INPUTS else TOLERANCE["float32"]
    _compare(path, found.network, predictor.predict, tolerance)
    if mode in WITH_8_BIT_INPUTS:
        session.console.note(f"{path} rounds what it multiplies ({mode}); what is made of it multiplies in full.")
    steps = [array[array > 0] for array in found.steps.values()]
    known = tuple(np.unique(np.concatenate(steps)).tolist()) if steps else ()
    return LoneFile(path, manifest, record, found.network, known, predictor.predict, tolerance)


def _compare(path: Path, network: Network, predict: Callable[[np.ndarray], np.ndarray], tolerance: float) -> None:
    x = made_up_stays(network)
    off = np.abs(network.predict(x) - predict(x)).max()
    if not off <= tolerance:
        raise InputError(
            f"The weights read back from {path} give risks that differ from its own by up to {off:.2g}.",
            "Export the model directory that it was made of.",
        )


def made_up_stays(network: Network) -> np.ndarray:
    """Return stays of random numbers, (stays, hours, features), some hours empty."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(MADE_UP_STAYS, network.hours, network.features)).astype(np.float32)
    x[generator.random(x.shape[:2]) < 0.1] = 0
    return x


def write_again(session: Session, file: LoneFile, target: Path, mode: str, x: np.ndarray | None) -> dict[str, Any]:
    """Write a file in another mode, or as it is, and return what `quantize` does.

    x: stays to round 8-bit weights by and to check on; None: to the nearest step, checked on made-up ones.
    """
    with atomic_file(target) as partial:
        if mode == file.mode:
            partial.write_bytes(file.path.read_bytes())
            check, tensors = None, file.record.get("tensors", [])
        else:
            converted = build(file.network, mode, x if mode in EIGHT_BITS else None)
            tensors = converted.tensors
            partial.write_bytes(converted.bytes)
            check = _check(session, partial, file, target, mode, x)
            facts = {"parameters": file.network.parameters, "tensors": tensors, "network": converted.outline}
            facts |= {"manifest": _manifest(session, file, target, mode)}
            partial.write_bytes(metadata.attach(converted.bytes, file.record | facts))
    known = {"path": str(target), "model": str(file.path), "mode": mode, "size_bytes": target.stat().st_size}
    return known | {"parameters": file.network.parameters, "check": check, "tensors": tensors}


def _check(
    session: Session, partial: Path, file: LoneFile, target: Path, mode: str, x: np.ndarray | None
) -> dict[str, Any]:
    x = made_up_stays(file.network) if x is None else x
    found = differences(Predictor(partial).predict(x), file.predict(x), np.zeros(len(x)))
    allowed = max(TOLERANCE[mode], file.tolerance)
    if not acceptable(found, allowed):
        raise LimitError(
            f"{target} differs from {file.path} by up to {found['max_abs_dp']:.2g} in probability; "
            f"{allowed:g} is allowed. Nothing was written.",
            "Choose a finer --mode.",
        )
    return found | {"tolerance": allowed}


def _manifest(session: Session, file: LoneFile, target: Path, mode: str) -> Manifest:
    own = file.manifest
    source = {"path": str(file.path), "sha256": sha256(file.path)}
    return session.manifest(
        "tflite",
        target.stem,
        {"model": source} | ({"dataset": own.inputs["dataset"]} if "dataset" in own.inputs else {}),
        arch=own.arch,
        parameters=file.network.parameters,
        quantization=mode,
        parent={"name": own.name, "kind": own.kind, **source},
        lineage=[*own.lineage, own.as_ancestor(source["sha256"])],
        metrics=own.metrics,
    )
