"""condense: the search for the smallest network that is good enough; its parts that need neither data nor training.

Comes in: what the baseline is, and records of candidates. Goes out: recipes of candidates, the order to try them in,
the front of the trade-off, and the choice.

A file's size and speed depend on the shapes of its weights alone, so both are known before a single epoch: what breaks
a limit is never trained, and what is left is tried from the smallest up, so that the first that is good enough is the
answer. Before them comes what needs no training, the baseline itself in fewer bits: nothing larger is worth a training.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mortcond.archs import ARCHS, known, row

Record = dict[str, Any]
MODES = ("int8", "dynamic", "float16", "float32")  # not integer: larger than int8 and no faster than dynamic
QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Recipe:
    """How one candidate network comes about."""

    origin: str  # baseline: as it is; new: from scratch; pruned: cut from it; converted: a hidden-layer LSTM made of it
    arch: str
    units: tuple[int, ...] = ()  # of the layers of a new one
    quantile: float | None = None  # of the baseline's channels, cut before anything else
    distil: bool = False  # learns from the baseline's risks as well
    summary: str | None = None  # of a new dense network, where it is not the mean

    @property
    def name(self) -> str:
        """What it is, such as lstm16x16, lstm-pruned50, dnn8-full, hlstm8-distil or lstm-pruned50-hlstm."""
        cut = f"-pruned{round(100 * self.quantile)}" if self.quantile is not None else ""
        converted = next((arch.name for arch in ARCHS.values() if arch.converts_to == self.arch), self.arch)
        start = {"new": self.arch + "x".join(map(str, self.units)), "converted": converted}
        end = f"-{self.arch}" if self.origin == "converted" else f"-{self.summary}" if self.summary else ""
        return start.get(self.origin, self.arch) + cut + end + ("-distil" if self.distil else "")

    @property
    def modes(self) -> tuple[str, ...]:
        """Return the modes in which its files are written; the baseline has its own float32 file."""
        return tuple(mode for mode in MODES if not (self.origin == "baseline" and mode == "float32"))

    def to_dict(self) -> Record:
        return asdict(self) | {"name": self.name}


def recipes(baseline_arch: str, archs: Sequence[str]) -> list[Recipe]:
    """Return every candidate network: new ones of many widths, and what the baseline can be made into.

    Parameters
    ----------
    baseline_arch
        lstm, hlstm, dnn or linear.
    archs
        The architectures to consider.
    """
    rows, own = [known(arch) for arch in archs], row(baseline_arch)
    found = [Recipe("baseline", baseline_arch)] if baseline_arch in archs else []
    fresh = [arch for arch in rows if arch.trainable or arch.name != baseline_arch]  # fitted again it would be the same
    found += [Recipe("new", arch.name, units) for arch in fresh for units in arch.search]
    found += [Recipe("new", arch.name, units, distil=True) for arch in rows if arch.trainable for units in arch.search]
    for arch in rows:
        shapes = [(units, taught) for taught in (False, True) for units in arch.search_full]
        found += [Recipe("new", arch.name, units, distil=taught, summary="full") for units, taught in shapes]
    if baseline_arch in archs and own.trainable:
        found += [Recipe("pruned", baseline_arch, (), share, taught) for share in QUANTILES for taught in (False, True)]
    if own.converts_to in archs:
        found += [Recipe("converted", own.converts_to, (), share, True) for share in (None, *QUANTILES)]
    return found


def within(record: Record, max_bytes: int | None, max_latency_us: float | None) -> bool:
    """Say whether a file meets the limits; an unknown latency meets any."""
    small = max_bytes is None or record["bytes"] <= max_bytes
    fast = max_latency_us is None or record.get("latency_us") is None or record["latency_us"] <= max_latency_us
    return small and fast


def smallest_first(records: Sequence[Record]) -> list[str]:
    """Return the names of the networks, from the one with the smallest file up (at equal sizes the faster first).

    What needs no training comes before all others.
    """
    cost: dict[str, tuple[bool, float, float]] = {}
    for record in records:
        own = (record["origin"] != "baseline", record["bytes"], record.get("latency_us") or 0.0)
        cost[record["network"]] = min(own, cost.get(record["network"], own))
    return sorted(cost, key=lambda name: (*cost[name], name))


def chosen(records: Sequence[Record]) -> Record | None:
    """Return the smallest file whose own interval lies above the margin; None where there is none (yet).

    That is a choice, not a verdict: among many files some lie there by chance.
    """
    good = [record for record in records if record.get("qualifies")]
    return min(good, key=lambda record: (record["bytes"], -record["auroc"]), default=None)


def nearest(records: Sequence[Record]) -> Record | None:
    """Return the file that came nearest to being chosen: the one whose interval reaches down least."""
    compared = [record for record in records if record.get("low") is not None]
    return max(compared, key=lambda record: (record["low"], -record["bytes"]), default=None)


def may_still_win(records: Sequence[Record], best: Record | None) -> bool:
    """Say whether a file of `records`, not tried yet, is smaller than the best one found."""
    return any(best is None or record["bytes"] < best["bytes"] for record in records)


def front(records: Sequence[Record]) -> set[str]:
    """Return the names of the files that no other one beats: none as small has a higher AUROC."""
    names, highest = set(), float("-inf")
    for record in sorted(records, key=lambda record: (record["bytes"], -record["auroc"])):
        if record["auroc"] > highest:
            names.add(record["name"])
            highest = record["auroc"]
    return names
