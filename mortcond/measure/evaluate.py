"""The record of each model: what it is, what it costs, how well it predicts, and what was lost against its parent.

Comes in: candidates, their costs and risks, and the stays they were run on. Goes out: JSON-able dicts, the `models` of
results.json (DESIGN section 2), and the figures of the curves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.core.artifacts import sha256
from mortcond.measure import comparison, scores, subgroups
from mortcond.measure.candidates import Candidate
from mortcond.measure.intervals import RESAMPLES, Resampled, bootstrap, interval, too_few
from mortcond.measure.latency import Cost

THRESHOLDS = np.round(np.arange(0.01, 0.601, 0.01), 2)  # of the decision curve
RISK_BINS = 20  # of the histogram


@dataclass(frozen=True)
class Stays:
    """The stays that every model is measured on."""

    died: np.ndarray  # (stays,) 0 or 1
    subject_id: np.ndarray
    age: np.ndarray
    sex: np.ndarray
    icu_type: np.ndarray


@dataclass(frozen=True)
class Question:
    """What is asked of the measurements."""

    margin: float = comparison.MARGIN
    threshold: float | None = None  # None: each model's own, else the training prevalence
    prevalence: float | None = None  # of the training split
    resamples: int = RESAMPLES
    seed: int = 0


def evaluate(
    candidates: Sequence[Candidate], costs: Sequence[Cost], stays: Stays, question: Question
) -> list[dict[str, Any]]:
    """Return a record for each candidate, in order; all its numbers plain, None where one is not defined."""
    risks = np.stack([cost.risks for cost in costs])  # (models, stays)
    resampled = bootstrap(stays.died, risks, stays.subject_id, question.resamples, question.seed)
    records = []
    for index, (candidate, cost) in enumerate(zip(candidates, costs, strict=True)):
        record = _identity(candidate) | {"parent_is_current": _parent_is_current(candidate, candidates)}
        record |= _cost(candidate, cost) | _accuracy(stays, risks[index], resampled, index)
        threshold = threshold_of(candidate, question)
        record["threshold"] = {"value": threshold, **scores.at_threshold(stays.died, risks[index], threshold)}
        record |= _differences(index, candidates, stays, risks, resampled, question)
        record["subgroups"] = subgroups.by_subgroup(stays, risks[index])
        record["curves"] = _curves(stays.died, risks[index])
        record["history"] = candidate.history
        records.append(plain(record))
    return records


def _identity(candidate: Candidate) -> dict[str, Any]:
    manifest = candidate.manifest
    return {
        "name": candidate.name,
        "label": candidate.label,
        "path": str(candidate.path),
        "kind": "model" if candidate.path.is_dir() else "tflite",
        "arch": candidate.arch,
        "quantization": candidate.quantization,
        "runtime": candidate.runtime,
        "parent": candidate.parent,
        "parameters": (manifest and manifest.parameters) or candidate.metadata.get("parameters"),
        "sha256": sha256(candidate.file) if candidate.file.is_file() else (manifest and manifest.sha256) or "",
        "lineage": [*manifest.lineage, manifest.as_ancestor()] if manifest else [],
    }


def _parent_is_current(candidate: Candidate, candidates: Sequence[Candidate]) -> bool | None:
    """Say whether the parent measured here is the one that the model was made from; None where that is not known."""
    made_from = (candidate.manifest.parent or {}).get("sha256") if candidate.manifest else None
    here = [c.manifest.sha256 for c in candidates if c.name == candidate.parent and c.path.is_dir() and c.manifest]
    return made_from == here[0] if made_from and here and here[0] else None


def _cost(candidate: Candidate, cost: Cost) -> dict[str, Any]:
    energy = {str(batch): cost.energy_uj(batch) for batch in cost.us}
    return {
        "macs": cost.macs,
        "size_bytes": cost.size_bytes,
        "training_seconds": candidate.training_seconds,
        "load_ms": cost.load_ms,
        "peak_rss_mb": cost.peak_rss_mb,
        "latency_us_per_stay": {str(batch): cost.latency(batch) for batch in cost.us},
        "energy_uj_per_stay": energy if any(value is not None for value in energy.values()) else None,
    }


def _accuracy(stays: Stays, risk: np.ndarray, resampled: Resampled, index: int) -> dict[str, Any]:
    died = stays.died
    slope, intercept = scores.calibration(died, risk)
    caution = too_few(died)
    calibration = {"slope": slope, "intercept": intercept, "ece": scores.expected_calibration_error(died, risk)}
    calibration |= {"slope_ci95": interval(resampled.slope[index])}
    calibration |= {"intercept_ci95": interval(resampled.intercept[index])}
    calibration |= {"ece_bins": min(scores.ECE_BINS, len(died)), "ece_binning": "equal numbers of stays"}
    return {
        "auroc": {"value": scores.auroc(died, risk), "ci95": interval(resampled.auroc[index]), "caution": caution},
        "auprc": scores.average_precision(died, risk),
        "auprc_ci95": interval(resampled.auprc[index]),
        "brier": scores.brier(died, risk),
        "brier_ci95": interval(resampled.brier[index]),
        "calibration": calibration,
    }


def threshold_of(candidate: Candidate, question: Question) -> float:
    """Return the risk at which a decision is taken: the one asked for, the model's own, or the training prevalence."""
    for value in (question.threshold, candidate.metadata.get("threshold"), question.prevalence):
        if value is not None:
            return float(value)
    return 0.5


def _differences(
    index: int,
    candidates: Sequence[Candidate],
    stays: Stays,
    risks: np.ndarray,
    resampled: Resampled,
    question: Question,
) -> dict[str, Any]:
    """Compare a model with its parent, with the uncondensed model it goes back to, and with the linear floor."""
    found = references(index, candidates)
    record: dict[str, Any] = {"delta_auroc": None, "max_abs_dp": None, "risk_change": None}
    record |= {"delta_auroc_baseline": None, "delta_auroc_floor": None}
    for key, other in found.items():
        pair = (resampled.auroc[index], resampled.auroc[other])
        difference = comparison.compare(stays.died, risks[index], risks[other], pair, question.margin)
        record[key] = {"vs": candidates[other].label} | difference
    if "delta_auroc" in found:
        threshold = threshold_of(candidates[index], question)
        change = comparison.risk_change(stays.died, risks[index], risks[found["delta_auroc"]], threshold)
        record |= {"max_abs_dp": change["max_abs_dp"], "risk_change": change}
    return record


def references(index: int, candidates: Sequence[Candidate]) -> dict[str, int]:
    """Return the positions of what a model is compared with, by the key of the comparison, as far as measured.

    A model under another runtime is compared with itself under LiteRT.
    """
    own = candidates[index]
    others = {c.name: i for i, c in enumerate(candidates) if c.runtime == "litert" and i != index}
    if own.runtime != "litert" and own.name in others:
        return {"delta_auroc": others[own.name]}
    measured = [others[name] for name in own.ancestors if name in others]
    found = {}
    if own.parent in others:
        found["delta_auroc"] = others[own.parent]
    if measured:
        found["delta_auroc_baseline"] = measured[-1]
    floor = [i for i, c in enumerate(candidates) if c.arch == "linear" and c.path.is_dir() and c.runtime == "litert"]
    if floor and own.arch != "linear":
        found["delta_auroc_floor"] = floor[0]
    return found


def _curves(died: np.ndarray, risk: np.ndarray) -> dict[str, Any]:
    """Return the figures behind the calibration curve, the decision curve and the risk histogram."""
    edges = np.linspace(0, 1, RISK_BINS + 1)
    bins = scores.calibration_bins(died, risk)
    return {
        "calibration": [
            {"risk": part.mean_risk, "death_rate": part.death_rate, "stays": part.stays, "deaths": part.deaths}
            for part in bins
        ],
        "net_benefit": scores.net_benefit(died, risk, THRESHOLDS),
        "histogram": {
            "edges": edges,
            "survived": np.histogram(risk[died == 0], edges)[0],
            "died": np.histogram(risk[died == 1], edges)[0],
        },
    }


def decision_references(died: np.ndarray) -> dict[str, Any]:
    """Return the thresholds of the decision curves and what acting on every stay comes to at each."""
    return plain({"thresholds": THRESHOLDS, "act_on_all": scores.net_benefit_of_all(died, THRESHOLDS)})


def plain(value: Any) -> Any:
    """Return `value` with numpy's numbers and arrays as plain ones and NaN as None, so that JSON can hold it."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
