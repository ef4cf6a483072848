"""The record of each model: what it is, what it costs, how well it predicts, and what was lost against its parent.

Comes in: candidates, their costs and risks, and the stays they were run on. Goes out: JSON-able dicts, the `models` of
results.json (DESIGN section 2), and the figures of the curves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond import archs, scores
from mortcond.core.artifacts import sha256
from mortcond.deploy.check import TOLERANCE
from mortcond.measure import comparison, subgroups
from mortcond.measure.candidates import Candidate
from mortcond.measure.comparison import Comparison, Pair, RiskChange
from mortcond.measure.intervals import RESAMPLES, Resampled, bootstrap, interval, too_few
from mortcond.measure.latency import Cost
from mortcond.measure.records import Calibration, Curves, Interval, ModelRecord, Rounding, plain

THRESHOLDS = np.round(np.arange(0.01, 0.601, 0.01), 2)  # of the decision curve
RISK_BINS = 20  # of the histogram
CONDENSED = ("delta_auroc", "delta_auroc_baseline")  # comparisons that ask what condensation cost: one family
FLOOR = ("delta_auroc_floor",)  # those that ask what a network is worth: another


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
    found = [references(index, candidates) for index in range(len(candidates))]
    compared = _compared(found, candidates, stays, risks, resampled, question)
    records = []
    for index, (candidate, cost) in enumerate(zip(candidates, costs, strict=True)):
        risk, threshold = risks[index], threshold_of(candidate, question)
        change = None
        if "delta_auroc" in found[index]:
            change = comparison.risk_change(stays.died, risk, risks[found[index]["delta_auroc"]], threshold)
        record = ModelRecord(
            **_identity(candidate),
            parent_is_current=_parent_is_current(index, candidates),
            **_cost(candidate, cost),
            **_accuracy(stays, risk, resampled, index),
            threshold={"value": threshold, **scores.at_threshold(stays.died, risk, threshold)},
            **{key: compared.get((index, key)) for key in (*CONDENSED, *FLOOR)},
            max_abs_dp=change and change.max_abs_dp,
            risk_change=change,
            rounding=_rounding(candidate, change, compared.get((index, "delta_auroc"))),
            subgroups=subgroups.by_subgroup(stays, risk),
            curves=_curves(stays.died, risk),
            history=candidate.history,
        )
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


def _parent_is_current(index: int, candidates: Sequence[Candidate]) -> bool | None:
    """Say whether the parent measured here is the one that the model was made from; None where that is not known."""
    own = candidates[index]
    if own.parent_sha256 in _places(candidates):
        return True
    namesakes = [c for c in candidates if c.name == own.parent and c.own_sha256 and c.path.parent == own.path.parent]
    return False if own.parent_sha256 and namesakes else None


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
    return {
        "auroc": Interval(scores.auroc(died, risk), interval(resampled.auroc[index]), too_few(died)),
        "auprc": scores.average_precision(died, risk),
        "auprc_ci95": interval(resampled.auprc[index]),
        "brier": scores.brier(died, risk),
        "brier_ci95": interval(resampled.brier[index]),
        "calibration": Calibration(
            mean_risk=float(risk.mean()),
            slope=slope,
            slope_ci95=interval(resampled.slope[index]),
            intercept=intercept,
            intercept_ci95=interval(resampled.intercept[index]),
            ece=scores.expected_calibration_error(died, risk),
            ece_bins=min(scores.ECE_BINS, len(died)),
            ece_binning="equal numbers of stays",
        ),
    }


def threshold_of(candidate: Candidate, question: Question) -> float:
    """Return the risk at which a decision is taken: the one asked for, the model's own, or the training prevalence."""
    for value in (question.threshold, candidate.metadata.get("threshold"), question.prevalence):
        if value is not None:
            return float(value)
    return 0.5


def _compared(
    found: Sequence[dict[str, int]],
    candidates: Sequence[Candidate],
    stays: Stays,
    risks: np.ndarray,
    resampled: Resampled,
    question: Question,
) -> dict[tuple[int, str], Comparison]:
    """Compare every model with its references: each family of comparisons at once, so that its verdicts hold together.

    Parent and uncondensed model are one family, the linear floor another: they answer two questions.
    """
    made = {}
    for family in (CONDENSED, FLOOR):
        places = [(index, key) for index, own in enumerate(found) for key in family if key in own]
        pairs = [Pair(index, found[index][key], candidates[found[index][key]].label) for index, key in places]
        compared = comparison.compare(stays.died, risks, resampled.auroc, pairs, question.margin)
        made |= dict(zip(places, compared, strict=True))
    return made


def references(index: int, candidates: Sequence[Candidate]) -> dict[str, int]:
    """Return the positions of what a model is compared with, by the key of the comparison, as far as measured.

    A model and what it was made from are paired by the SHA-256 that its manifest records: another model of the same
    name is another model. A model under another runtime is compared with itself under LiteRT.
    """
    own, places = candidates[index], _places(candidates)
    itself = [i for i, c in enumerate(candidates) if c.path == own.path and c.runtime == "litert"]
    if own.runtime != "litert" and itself:
        return {"delta_auroc": itself[0]}
    found = {}
    if own.parent_sha256 in places:
        found["delta_auroc"] = places[own.parent_sha256]
    measured = [places[digest] for digest in own.ancestors_sha256 if digest in places]
    if measured:
        found["delta_auroc_baseline"] = measured[-1]
    floor = _floor(own, candidates)
    if floor is not None and archs.row(own.arch).trainable:
        found["delta_auroc_floor"] = floor
    return found


def _places(candidates: Sequence[Candidate]) -> dict[str, int]:
    """Return where each model directory stands among the candidates, by its SHA-256."""
    return {c.own_sha256: i for i, c in enumerate(candidates) if c.runtime == "litert" and c.own_sha256}


def _floor(own: Candidate, candidates: Sequence[Candidate]) -> int | None:
    """Return the linear model to stand beside: one that learned from the same data, else the first."""
    linear = [(i, c) for i, c in enumerate(candidates) if c.arch == archs.FLOOR]
    floors = [i for i, c in linear if c.path.is_dir() and c.runtime == "litert"]
    same = [i for i in floors if candidates[i].dataset_sha256 and candidates[i].dataset_sha256 == own.dataset_sha256]
    return next(iter(same or floors), None)


def _rounding(candidate: Candidate, change: RiskChange | None, compared: Comparison | None) -> Rounding | None:
    """Hold what rounding changed on these stays against what it may; None for what is not a rounded form."""
    if change is None or compared is None or candidate.runtime != "litert" or not candidate.is_rounded:
        return None
    check = candidate.manifest.extra.get("check") or {}
    tolerance = check.get("tolerance") or TOLERANCE[candidate.quantization]
    return Rounding(compared.vs, tolerance, change.max_abs_dp, change.max_abs_dp > tolerance)


def _curves(died: np.ndarray, risk: np.ndarray) -> Curves:
    edges = np.linspace(0, 1, RISK_BINS + 1)
    return Curves(
        calibration=[
            {"risk": part.mean_risk, "death_rate": part.death_rate, "stays": part.stays, "deaths": part.deaths}
            for part in scores.calibration_bins(died, risk)
        ],
        net_benefit=scores.net_benefit(died, risk, THRESHOLDS),
        histogram={
            "edges": edges,
            "survived": np.histogram(risk[died == 0], edges)[0],
            "died": np.histogram(risk[died == 1], edges)[0],
        },
    )


def decision_references(died: np.ndarray) -> dict[str, Any]:
    """Return the thresholds of the decision curves and what acting on every stay comes to at each."""
    return plain({"thresholds": THRESHOLDS, "act_on_all": scores.net_benefit_of_all(died, THRESHOLDS)})
