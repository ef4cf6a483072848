"""A row a stay: its risk, what was never measured, what to be wary of; or why it has no risk.

Comes in: batches of stays with their risks, and the stays that cannot be predicted. Goes out: rows in the order of
their ids. numpy only: it starts quickly.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mortcond.deploy.stays import Stays, measured_hours
from mortcond.variables import Variables
from mortcond.variables.plausible import Doubts

COLUMNS = ("stay_id", "risk", "never_measured", "warning", "reason")
NO_NUMBER = "the network gave no number"


def doubts_of(metadata: dict[str, Any] | None, margin: float = 0.0) -> Doubts | None:
    """Return what can be compared with plausible ranges, None where the model does not say what it reads."""
    inputs = (metadata or {}).get("inputs") or {}
    try:
        variables = Variables.from_dict(inputs["variables"])
        scaling = (inputs["mean"], inputs["std"], inputs.get("scaled", True))
        doubts = Doubts.of(variables, tuple(inputs["derive"]), *scaling, margin)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None
    return doubts if len(doubts.names) else None


def of_batch(
    batch: Stays, risks: np.ndarray, feature_names: tuple[str, ...], doubts: Doubts | None
) -> Iterator[dict[str, Any]]:
    """Yield the row of each stay; a risk that is no number is None, with the reason.

    Parameters
    ----------
    risks
        (stays,)
    doubts
        What can be compared with plausible ranges; None: nothing.
    """
    names, measured = measured_hours(batch.x, feature_names)
    told = doubts.of_stays(batch.x) if doubts else [""] * len(batch.stay_id)
    for index, (stay_id, risk) in enumerate(zip(batch.stay_id, risks, strict=True)):
        row = _row(stay_id, round(float(risk), 6) if np.isfinite(risk) else None)
        row["reason"] = "" if np.isfinite(risk) else NO_NUMBER
        if measured is not None:
            ever = measured[index].any(axis=0)
            row["never_measured"] = [name for name, known in zip(names, ever, strict=True) if not known]
            row["warning"] = _warning(measured[index].any(axis=1))
        row["warning"] = "; ".join(filter(None, [row["warning"], told[index]]))
        yield row


def with_dropped(rows: Iterator[list[dict[str, Any]]], dropped: dict[int, str]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each batch, with those of stays without a risk among them; both come sorted by stay_id."""
    waiting = iter(dropped.items())
    following = next(waiting, None)
    for batch in rows:
        merged = []
        for row in batch:
            while following is not None and following[0] < row["stay_id"]:
                merged.append(_row(following[0], None, following[1]))
                following = next(waiting, None)
            merged.append(row)
        yield merged
    rest = [following, *waiting] if following is not None else []
    if rest:
        yield [_row(stay, None, reason) for stay, reason in rest]


def _row(stay_id: int, risk: float | None, reason: str = "") -> dict[str, Any]:
    return {"stay_id": int(stay_id), "risk": risk, "never_measured": [], "warning": "", "reason": reason}


def _warning(hours: np.ndarray) -> str:
    missing = int(np.sum(~hours))
    return f"nothing was measured in {missing} of {len(hours)} hours" if 2 * missing > len(hours) else ""
