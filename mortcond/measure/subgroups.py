"""Who a model serves worse: its scores by sex, age band and kind of unit, with stays and deaths.

Comes in: stays and risks. Goes out: a row a subgroup. A subgroup whose members are unknown is left out.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mortcond import scores
from mortcond.measure.comparison import Z_TWO_SIDED, placements
from mortcond.measure.intervals import FEWEST

AGE_BANDS = ((18, 45), (45, 65), (65, 80), (80, np.inf))
SEXES = {"F": "women", "M": "men"}


def by_subgroup(stays: Any, risk: np.ndarray) -> list[dict[str, Any]]:
    """Return a row for each subgroup that has a stay: by what, which, stays, deaths, AUROC with interval, mean risk."""
    return [_row(by, name, stays.died[members], risk[members]) for by, name, members in members_of(stays)]


def members_of(stays: Any) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield each subgroup that has a member: by what, its name, and which stays are in it (stays,)."""
    for code, name in SEXES.items():
        yield from _where("sex", name, stays.sex == code)
    for low, high in AGE_BANDS:
        name = f"{low} to {high - 1}" if high < np.inf else f"{low} and older"
        yield from _where("age", name, (stays.age >= low) & (stays.age < high))
    for kind in sorted(set(np.asarray(stays.icu_type).tolist()) - {""}):
        yield from _where("unit", kind, stays.icu_type == kind)


def _where(by: str, name: str, members: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    if members.any():
        yield by, name, members


def _row(by: str, name: str, died: np.ndarray, risk: np.ndarray) -> dict[str, Any]:
    deaths = int(died.sum())
    value = scores.auroc(died, risk)
    row = {"by": by, "name": name, "stays": len(died), "deaths": deaths, "auroc": value, "ci95": None}
    row |= {"mean_risk": float(risk.mean()), "death_rate": deaths / len(died)}
    if min(deaths, len(died) - deaths) >= 2:
        row["ci95"] = delong_interval(died, risk)
    return row | {"too_few": min(deaths, len(died) - deaths) < FEWEST}


def delong_interval(died: np.ndarray, risk: np.ndarray) -> list[float]:
    """Return DeLong's 95 % interval of the AUROC, on the logit scale so that it stays within 0 and 1."""
    over_deaths, over_survivors = placements(died == 1, risk)
    value = float(over_deaths.mean())
    if not 0 < value < 1:
        return [value, value]
    variance = over_deaths.var(ddof=1) / len(over_deaths) + over_survivors.var(ddof=1) / len(over_survivors)
    half = Z_TWO_SIDED * float(np.sqrt(variance)) / (value * (1 - value))
    logit = np.log(value / (1 - value))
    return [float(1 / (1 + np.exp(-(logit - half)))), float(1 / (1 + np.exp(-(logit + half))))]
