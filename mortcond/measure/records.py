"""The record of one model, as results.json holds it (DESIGN section 2): what it is, costs, predicts, and lost.

Comes in: nothing; the other modules fill these. Goes out: frozen records, and the plain dicts that JSON can hold.
"""

from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np

from mortcond.measure.comparison import Comparison, RiskChange


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % bootstrap interval (None: not defined) and why it means little (None: it does not)."""

    value: float
    ci95: list[float] | None
    caution: str | None


@dataclass(frozen=True)
class Calibration:
    """Whether the risks mean what they say; see `scores.calibration_of`."""

    mean_risk: float  # beside the share of deaths: calibration in the large
    slope: float
    slope_ci95: list[float] | None
    intercept: float
    intercept_ci95: list[float] | None
    ece: float
    ece_bins: int
    ece_binning: str


@dataclass(frozen=True)
class Rounding:
    """What fewer bits changed, against what is allowed: of files that were made of a network in more bits."""

    vs: str
    tolerance: float  # the largest change of a risk that quantize let pass
    max_abs_dp: float  # on these stays
    exceeds: bool


@dataclass(frozen=True)
class Curves:
    """The figures behind calibration curve, decision curve and histogram."""

    calibration: list[dict[str, Any]]  # a bin: risk, death_rate, stays, deaths
    net_benefit: np.ndarray  # (thresholds,)
    histogram: dict[str, np.ndarray]  # edges, survived, died


@dataclass(frozen=True)
class ModelRecord:
    """One measured model."""

    name: str
    label: str  # unique among those measured
    path: str
    kind: str  # model or tflite
    arch: str | None
    quantization: str
    runtime: str
    parent: str | None
    parent_is_current: bool | None  # False: the parent of that name here is not the one it was made from
    parameters: int | None
    sha256: str
    lineage: list[dict[str, Any]]
    macs: int | None
    size_bytes: int | None
    training_seconds: float | None
    load_ms: float | None
    peak_rss_mb: float | None
    latency_us_per_stay: dict[str, dict[str, float]]
    energy_uj_per_stay: dict[str, float | None] | None
    auroc: Interval
    auprc: float
    auprc_ci95: list[float] | None
    brier: float
    brier_ci95: list[float] | None
    calibration: Calibration
    threshold: dict[str, float]  # value, sensitivity, specificity, ppv, npv
    delta_auroc: Comparison | None  # to its parent
    delta_auroc_baseline: Comparison | None  # to the uncondensed model it goes back to
    delta_auroc_floor: Comparison | None  # to the linear model
    max_abs_dp: float | None
    risk_change: RiskChange | None
    rounding: Rounding | None
    subgroups: list[dict[str, Any]]
    curves: Curves
    history: list[dict[str, float]]


def plain(value: Any) -> Any:
    """Return `value` with records as dicts, numpy's numbers and arrays as plain ones, NaN as None: for JSON."""
    if is_dataclass(value):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
