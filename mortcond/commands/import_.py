"""import: a network that somebody else trained, as a model directory on which every other command works.

Comes in: a file of Keras 1 to 3 or ONNX, and what it does not say: hours, scaling, variables. Goes out: the model
directory, after the network was compared with its own framework or with known risks, where there are such.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond.core.artifacts import refuse_existing, sha256
from mortcond.core.calls import takes
from mortcond.core.errors import InputError
from mortcond.core.options import plain
from mortcond.core.session import Session
from mortcond.dataset import InputSpec
from mortcond.exchange import compare, preparation
from mortcond.exchange.load import Given, Imported, load
from mortcond.exchange.preparation import Scaling
from mortcond.network import Network
from mortcond.options.import_ import Import
from mortcond.variables import load as load_variables

BENCHMARK_TABLE = "paper76"  # what the public benchmark's normaliser is for


@dataclass(frozen=True)
class Prepared:
    """What is known of a network's inputs."""

    spec: InputSpec | None = None  # with which raw records are prepared
    scaling: Scaling | None = None  # of columns whose variables are not known


@takes(Import)
def import_(session: Session, options: Import) -> dict[str, Any]:
    """Import a network that somebody else trained.

    Returns
    -------
    path, origin, layers, parameters, hours, features, variables, agreement, risks and notes.
    """
    target = options.out or session.workspace / _name(options.file)
    refuse_existing(target, session.overwrite)
    with session.console.progress(f"Reading {options.file.name}", total=None):
        given = Given(options.window, options.output, options.model_config, plain(options.arch), options.compare)
        imported = load(options.file, given)
    prepared = _prepared(options, imported.network)
    risks = _checked(options, imported.network, prepared)
    result = _result(target, imported, prepared, risks)
    for note in result["notes"]:
        session.console.note(note)
    _write(session, options, target, imported, prepared, result)
    return result


def _name(file: Path) -> str:
    """Return the name of a model directory: the file's, without what a file system or an option could stumble over."""
    stem = file.name if file.is_dir() else file.name.removesuffix(file.suffix)
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in stem).strip(".-")
    return name or "imported"


# Its data.


def _prepared(options: Import, network: Network) -> Prepared:
    scaling = _scaling(options)
    table = preparation.variables_of(options.variables, scaling, network.features)
    if table is None:
        if scaling is not None and len(scaling.names) != network.features:
            raise InputError(
                f"The scaling has {len(scaling.names)} columns, the network reads {network.features}.", "Check both."
            )
        return Prepared(scaling=scaling)
    return Prepared(preparation.spec_of(network, table, scaling), scaling)


def _scaling(options: Import) -> Scaling | None:
    if options.normalizer:
        names = load_variables(options.variables or BENCHMARK_TABLE).feature_names
        return preparation.normalizer_of(options.normalizer, names)
    return preparation.scaling_of(options.scaling) if options.scaling else None


# Known risks.


def _checked(options: Import, network: Network, prepared: Prepared) -> dict[str, Any] | None:
    """Compare the network with known risks of stays in a data set."""
    if options.check is None:
        return None
    data = datasets.load(options.check)
    splits = [split for split in (data.train, data.val, data.test) if len(split)]
    x, stay_id = (np.concatenate([getattr(split, part) for split in splits]) for part in ("X", "stay_id"))
    if x.shape[1:] != (network.hours, network.features):
        raise InputError(
            f"{options.check} holds stays of {x.shape[1:]}, the network reads {(network.hours, network.features)}.",
            "Name a data set of its shape.",
        )
    x = _as_read(options.check, data, x, prepared.scaling)
    return compare.agreement_with_risks(network, x, stay_id, options.risks, options.tolerance).to_dict()


def _as_read(path: Path, data: datasets.Dataset, x: np.ndarray, scaling: Scaling | None) -> np.ndarray:
    """Return stays scaled as the network reads them: as they are where nothing says otherwise, or are so already."""
    if scaling is None or (np.allclose(data.mean, scaling.mean) and np.allclose(data.std, scaling.std)):
        return x
    if np.any(data.mean != 0) or np.any(data.std != 1):
        raise InputError(f"{path} is scaled in another way than the network wants it.", "Make it with --no-scale.")
    return ((x.astype(np.float64) - scaling.mean) / scaling.std).astype(np.float32)


# The result.


def _result(target: Path, imported: Imported, prepared: Prepared, risks: dict[str, Any] | None) -> dict[str, Any]:
    network = imported.network
    agreement = imported.agreement
    known = {"path": str(target), "origin": imported.origin, "parameters": network.parameters}
    known |= {"hours": network.hours, "features": network.features}
    known |= {"layers": [node.layer.kind for node in network.nodes if node.layer.arrays()]}
    known |= {"variables": prepared.spec.variables.name if prepared.spec else None}
    known |= {"agreement": agreement.to_dict() if agreement else None, "risks": risks}
    return known | {"notes": list(_notes(imported, prepared, risks))}


def _notes(imported: Imported, prepared: Prepared, risks: dict[str, Any] | None) -> Iterator[str]:
    if imported.agreement is None and risks is None:
        yield f"Not compared with anything: {imported.not_compared}. Prove it on known risks with --check and --risks."
    if prepared.spec is None:
        yield "Its variables are not known: it takes arrays as they are, and no raw records (see --variables)."
    elif prepared.scaling is None:
        yield "No --scaling: it gets its variables in their own units."


def _write(
    session: Session, options: Import, target: Path, imported: Imported, prepared: Prepared, result: dict[str, Any]
) -> None:
    from mortcond.deploy import metadata
    from mortcond.deploy.directory import write_model

    named = {"file": options.file, "scaling": options.scaling, "normalizer": options.normalizer}
    named |= {"model_config": options.model_config, "check": options.check, "risks": options.risks}
    inputs = {role: {"path": str(path), "sha256": sha256(path)} for role, path in named.items() if path}
    kept = {name: result[name] for name in ("origin", "agreement", "risks", "notes")}
    manifest = session.manifest(
        "model",
        target.name,
        inputs,
        arch=imported.network.arch,
        parameters=imported.network.parameters,
        quantization="float32",
        extra={"imported": kept},
    )
    facts = {"inputs": _inputs(prepared, imported.network), "prevalence": None}
    described = metadata.described(facts | {"parameters": imported.network.parameters})
    write_model(target, imported.network, manifest, [], None, described)


def _inputs(prepared: Prepared, network: Network) -> dict[str, Any] | None:
    """Return what the model's file says of its inputs: all of it, or names and scaling alone, or nothing."""
    if prepared.spec is not None:
        return prepared.spec.to_dict()
    scaling = prepared.scaling
    if scaling is None:
        return None
    known = {"feature_names": list(scaling.names), "mean": scaling.mean.tolist(), "std": scaling.std.tolist()}
    return known | {"window_hours": network.hours, "scaled": True, "prevalence": None}


def render(result: dict[str, Any]) -> Iterator[str]:
    """Say what was imported, and how well it is proven."""
    shape = f"{result['hours']} hours of {result['features']} features"
    yield f"{result['path']}: {result['parameters']:,} parameters, {shape}, of {result['origin']}"
    for found in (result["agreement"], result["risks"]):
        if found:
            off = f"no risk off by more than {found['largest_difference']:.1e}"
            yield f"Equal to {found['with_what']} on {found['stays']} stays: {off}."
    if result["variables"]:
        yield f"Next: mortcond preprocess --for {result['path']} RECORDS, or mortcond predict {result['path']} RECORDS"
