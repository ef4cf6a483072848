"""An imported network against its own framework, or against known risks: it gets its name only where they agree.

Comes in: a network, and what the other framework makes of the same stays. Goes out: the largest difference of a risk,
or an InputError that names it.
"""

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.network import INPUT, Network

TOLERANCE = 1e-5  # of a risk: float32 sums in another order differ by less than a tenth of it
RANDOM, SEED = 24, 20
MASKS = ("masks", "mask_columns")  # in the configurations of summaries
ID_COLUMNS, RISK_COLUMNS = ("stay_id", "icustay_id", "id"), ("risk", "published_risk", "prediction")


@dataclass(frozen=True)
class Agreement:
    """How well two evaluations of one network agree."""

    with_what: str  # the framework and its version, or the file of risks
    stays: int
    largest_difference: float  # of a risk

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def probing_stays(network: Network) -> np.ndarray:
    """Return stays (stays, hours, features) float32 that show differences: random, large, empty, with skipped hours.

    Hours are skipped at the beginning, the end, in between and altogether, by every value that a mask takes for none.
    """
    generator = np.random.default_rng(SEED)
    shape = network.hours, network.features
    plain = generator.normal(size=(RANDOM, *shape))
    stays = [plain, 10 * plain[:2], np.zeros((1, *shape)), np.ones((1, *shape)), -np.ones((1, *shape))]
    for missing in {node.layer.config()["value"] for node in network.nodes if node.layer.kind == "masking"} | {0.0}:
        stays.append(_with_skipped_hours(plain, missing))
    one_hour = np.where(np.arange(network.hours)[:, None] == network.hours // 2, plain[:2], 0)
    found = np.concatenate([*stays, one_hour]).astype(np.float32)
    masks = _mask_columns(network)
    found[:, :, masks] = found[:, :, masks] > 0
    return found


def _mask_columns(network: Network) -> list[int]:
    """Return the columns in which a summary finds whether something was measured: they hold 0 and 1."""
    configs = [node.layer.config() for node in network.nodes if INPUT in node.inputs]
    columns = {column for config in configs for name in MASKS for column in config.get(name, ())}
    return sorted(column for column in columns if column >= 0)


def _with_skipped_hours(plain: np.ndarray, missing: float) -> np.ndarray:
    hours = np.arange(plain.shape[1])
    third = max(len(hours) // 3, 1)
    skipped = [hours < third, hours >= len(hours) - third, (hours >= third) & (hours < 2 * third), hours % 2 == 0]
    skipped += [hours >= 0, hours > 0, hours < len(hours) - 1]
    rows = [np.where(hidden[:, None], missing, plain[index]) for index, hidden in enumerate(skipped)]
    some = plain.copy()
    some[:, :, ::2] = missing  # some features of an hour: it counts all the same
    return np.concatenate([np.stack(rows), some[:4]])


def agreement(network: Network, other: Callable[[np.ndarray], np.ndarray], with_what: str) -> Agreement:
    """Return how well the network agrees with what another framework computes, `other`: stays -> risks (stays,).

    Raises InputError where a risk differs by more than TOLERANCE.
    """
    stays = probing_stays(network)
    return agreed(network.predict(stays), np.asarray(other(stays), float), with_what, TOLERANCE)


def agreed(own: np.ndarray, other: np.ndarray, with_what: str, tolerance: float) -> Agreement:
    """Return how well two lists of risks agree.

    Raises InputError where one differs by more than `tolerance`, or is no number.
    """
    if own.shape != other.shape:
        raise InputError(f"{with_what} gives risks of shape {other.shape}, not {own.shape}.", "Check the file.")
    differences = np.abs(own - other)
    if not np.isfinite(differences).all() or differences.max(initial=0) > tolerance:
        worst = int(np.argmax(np.nan_to_num(differences, nan=np.inf)))
        raise InputError(
            f"The network computes {own[worst]:.6g} where {with_what} has {other[worst]:.6g} "
            f"(stay {worst + 1} of {len(own)}); no more than {tolerance:g} is allowed.",
            "It would predict wrongly, so it was not imported.",
        )
    return Agreement(with_what, len(own), float(differences.max(initial=0)))


def known_risks(path: Path) -> dict[int, float]:
    """Read a CSV of risks that a network is known to give: a column of stays (ID_COLUMNS), one of RISK_COLUMNS.

    Raises InputError where a column is missing or a row is no stay with a risk.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}).", "Give stay_id and risk.") from None
    names = list(rows[0]) if rows else []
    stay, risk = (next((name for name in known if name in names), None) for known in (ID_COLUMNS, RISK_COLUMNS))
    if stay is None or risk is None:
        raise InputError(f"{path} has not the columns stay_id and risk.", "Name them so.")
    found = {}
    for number, row in enumerate(rows, 2):
        try:
            found[int(row[stay])] = float(row[risk])
        except (TypeError, ValueError):
            raise InputError(
                f"{path}, row {number}: {row[stay]!r} and {row[risk]!r} are no stay with a risk."
            ) from None
    return found


def agreement_with_risks(
    network: Network, x: np.ndarray, stay_id: np.ndarray, path: Path, tolerance: float
) -> Agreement:
    """Return how well a network agrees with known risks; x: (stays, hours, features), scaled as it reads them.

    Raises InputError where no stay has a known risk, or one differs by more than `tolerance`.
    """
    known = known_risks(path)
    chosen = np.flatnonzero([int(stay) in known for stay in stay_id])
    if len(chosen) == 0:
        raise InputError(f"No stay of {path} is in the data set.", "Check that both have the same stay ids.")
    own = network.predict(x[chosen])
    return agreed(own, np.array([known[int(stay)] for stay in stay_id[chosen]]), path.name, tolerance)
