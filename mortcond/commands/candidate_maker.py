"""The candidates of condense: networks made, trained and written as files, one at a time.

Comes in: a recipe, and the baseline with its data. Goes out: for each mode a `.tflite` file with its size and speed;
the trained network is kept, so that a search that was interrupted goes on where it stopped.
"""

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import archs
from mortcond.channels import groups
from mortcond.commands.children import Parent, calibrated_as_parent, taught, train
from mortcond.condense.cut import cut
from mortcond.condense.hlstm_convert import from_parent, untrained_child
from mortcond.condense.score import score
from mortcond.condense.search import Recipe
from mortcond.condense.select import Amount, select
from mortcond.core import forms
from mortcond.core.artifacts import atomic_file
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.deploy import metadata as tflite_metadata
from mortcond.deploy.tflite import build
from mortcond.measure import candidates, latency
from mortcond.network import Network
from mortcond.training.settings import TrainSettings

Record = dict[str, Any]
PRUNED_AFTER = 1  # the paper's epoch


@dataclass
class CandidateMaker:
    """Makes candidates of recipes, each trained once."""

    session: Session
    parent: Parent
    folder: Path
    settings: TrainSettings
    begun: dict[str, Network] = field(default_factory=dict)  # untrained networks by name

    def begin(self, recipe: Recipe) -> Network:
        """Return the candidate before its training; its shape is final."""
        if recipe.name not in self.begun:
            make = {"new": self._new, "pruned": self._pruned, "converted": self._converted}
            make["baseline"] = lambda _: self.parent.network
            self.begun[recipe.name] = make[recipe.origin](recipe)
        return self.begun[recipe.name]

    def _new(self, recipe: Recipe) -> Network:
        arch, data = archs.known(recipe.arch), self.parent.data
        given = {"layers": len(recipe.units) or None, "width": next(iter(recipe.units), None)}
        given |= {"summary": recipe.summary}
        shape = archs.shaped(recipe.arch, **{name: value for name, value in given.items() if name in arch.shape})
        network = archs.untrained(recipe.arch, shape, archs.inputs_of(data)).fitted(data.train.X)
        if arch.trainable:
            return self._initial(network)
        return network.with_arrays({name: np.ones_like(array) for name, array in network.arrays().items()})

    def _initial(self, network: Network) -> Network:
        from mortcond.training.initial import initial

        return initial(network, self.session.seed, self.session.backend)

    def _pruned(self, recipe: Recipe) -> Network:
        return self._cut(self.parent.checkpoint(PRUNED_AFTER), recipe.quantile)

    def _converted(self, recipe: Recipe) -> Network:
        lstm = self.parent.network if recipe.quantile is None else self._cut(self.parent.network, recipe.quantile)
        return from_parent(lstm, self._initial(untrained_child(lstm)), self.parent.data.train.X, self.session.seed)

    @staticmethod
    def _cut(network: Network, quantile: float) -> Network:
        return cut(network, select(score(network, "mean", groups(network)), Amount(quantile)))

    def trained(self, recipe: Recipe) -> tuple[Network, Record]:
        """Return the trained candidate and the facts of its training, from the cache where it is there."""
        if recipe.origin == "baseline":
            return self.parent.network, {"training_seconds": 0.0}
        stem = self.folder / "networks" / recipe.name
        weights, facts = stem.with_suffix(".npz"), stem.with_suffix(".json")
        key = self._key(recipe)
        if weights.is_file() and facts.is_file():
            kept = _recorded(facts)
            if kept.get("key") == key:
                return Network.load(weights), kept
        started = time.monotonic()
        network = self._train(recipe) if archs.known(recipe.arch).trainable else self._fit_linear(recipe)
        kept = {"key": key, "training_seconds": round(time.monotonic() - started, 2)}
        facts.unlink(missing_ok=True)  # weights and facts change one after the other: without facts both are void
        with atomic_file(weights) as partial:
            network.save(partial)
        with atomic_file(facts) as partial:
            partial.write_text(json.dumps(kept), encoding="utf-8")
        return network, kept

    def _fit_linear(self, recipe: Recipe) -> Network:
        from mortcond.training.linear import fit_linear

        known, console = self.parent.data.train, self.session.console
        return fit_linear(known.X, known.y, known.subject_id, self.session.seed, console, self.begin(recipe)).network

    def _train(self, recipe: Recipe) -> Network:
        settings, soft_targets = self.settings, None
        if recipe.distil:
            settings, soft_targets = taught(settings, self.parent, self.session.console)
        how = {"soft_targets": soft_targets, "first_epoch": PRUNED_AFTER + 1 if recipe.origin == "pruned" else 1}
        with scratch_folder() as checkpoints:
            trained = train(self.session, self.parent, self.begin(recipe), settings, checkpoints, **how)
        return calibrated_as_parent(self.parent, trained.network, {})[0]

    def _key(self, recipe: Recipe) -> str:
        """Return what a trained candidate depends on, as a hash."""
        manifest = self.parent.manifest
        facts = [recipe.to_dict(), asdict(self.settings), manifest.inputs["dataset"]["sha256"], manifest.sha256]
        return hashlib.sha256(json.dumps([*facts, self.session.seed], sort_keys=True).encode()).hexdigest()

    def files(
        self,
        recipe: Recipe,
        network: Network,
        folder: Path,
        modes: tuple[str, ...] | None = None,
        stays: np.ndarray | None = None,
    ) -> list[Record]:
        """Write a network in each mode, or some; return for each its name, path and size.

        `stays` are those that 8-bit weights are rounded by; None where only the sizes are of interest.
        """
        records = []
        for mode in recipe.modes if modes is None else modes:
            name = f"{recipe.name}-{mode}"
            path = folder / f"{name}.tflite"
            content = self._content(recipe, network, name, mode, stays)
            with atomic_file(path) as partial:
                partial.write_bytes(content)
            record = {"name": name, "network": recipe.name, "origin": recipe.origin, "arch": network.arch, "mode": mode}
            records.append(record | {"path": str(path), "parameters": network.parameters, "bytes": len(content)})
        return records

    def _content(self, recipe: Recipe, network: Network, name: str, mode: str, stays: np.ndarray | None) -> bytes:
        converted = build(network, mode, stays)
        baseline = self.parent.manifest
        facts = {"arch": network.arch, "parameters": network.parameters, "quantization": mode}
        facts |= {"parent": {"name": baseline.name, "kind": "model", "path": str(self.parent.path)}}
        facts["parent"]["sha256"] = baseline.sha256
        facts |= {"lineage": [*baseline.lineage, baseline.as_ancestor()]}
        facts |= {"extra": {"recipe": recipe.to_dict(), "settings": asdict(self.settings)}}
        inputs = {"dataset": baseline.inputs["dataset"], "model": facts["parent"]}
        manifest = self.session.manifest("tflite", name, inputs, **facts)
        own = {"manifest": asdict(manifest), "tensors": converted.tensors, "parameters": network.parameters}
        own["network"] = converted.outline
        return tflite_metadata.attach(converted.bytes, tflite_metadata.described(self.parent.metadata) | own)

    def time(self, records: list[Record]) -> list[Record]:
        """Return the records of files with the median time of one stay alone, in µs, each in a process of its own."""
        found = [candidates.read(Path(record["path"]), "litert") for record in records]
        quiet = replace(self.session.console, quiet=True)
        costs, _ = latency.measure(found, self.parent.data.val.X, latency.Plan(batches=(1,), rounds=3), quiet)
        return [
            record | {"latency_us": None if cost.error else cost.latency(1)["p50"]}
            for record, cost in zip(records, costs, strict=True)
        ]


def _recorded(facts: Path) -> Record:
    """Return the facts of a trained candidate; nothing where they are broken: it is then trained again."""
    try:
        record = forms.parsed(facts.read_bytes())
        forms.fit_keys(record, {"key": str, "training_seconds": float})
    except forms.Misfit:
        return {}
    return record
