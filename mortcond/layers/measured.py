"""What was measured of each number, and when. Comes in: (stays, hours, features). Goes out: (stays, summaries).

Summaries over all hours begin with normal values that stand where nothing was measured yet. These read only the hours
in which the mask of a number is 1; what never was measured has the median of the training stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.operations import NUMPY

SHRINKAGE = 20.0  # hours squared, added to the spread of the measured hours: few hours give no steep slope
CLIPPED = (1.0, 99.0)  # percentiles of the training stays, beyond which a summary counts as at them
FAR = 1e9  # beyond every scaled value and hour
AT_ONCE = 512  # stays
LEAST_SPREAD = 1e-4  # of a summary over the training stays; less is rounding


@dataclass(frozen=True)
class Measured(Layer):
    """Summaries over measured hours, clipped, standardised, and missing ones filled.

    The statistics are learnt from training stays (`fitted`) and are no weights: nothing trains them.
    """

    numbers: tuple[int, ...]  # columns of the numbers
    masks: tuple[int, ...]  # for each, the column that says in which hours it was measured; -1: it always was
    kinds: tuple[str, ...] = ("last", "least", "largest", "mean", "count")  # of KINDS
    kept: tuple[int, ...] = ()  # which summaries are put out, kind by kind, number by number; none: all
    missing: tuple[float, ...] = ()  # for each summary, what it is where the number never was measured
    low: tuple[float, ...] = ()  # clipped at
    high: tuple[float, ...] = ()
    centre: tuple[float, ...] = ()  # then taken away
    spread: tuple[float, ...] = ()  # and divided by

    kind = "measured"
    hours_out = False

    def width(self, *widths: int, hours: int) -> int:
        return len(self.kept) or len(self.kinds) * len(self.numbers)

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        raw = self._chosen(ops, self._raw(ops, x))
        if not self.missing:
            return raw
        known, missing = self._chosen(ops, self._known(ops, x)), np.array(self.missing, np.float32)
        filled = raw * known + (known * -1.0 + 1.0) * missing
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        centred = ops.minimum(ops.maximum(filled, low), high) - np.array(self.centre, np.float32)
        return centred * (1 / np.array(self.spread, np.float32))

    def fitted(self, x: np.ndarray) -> Self:
        """Return the layer with the statistics of training stays, (stays, hours, features)."""
        bare = replace(self, missing=(), low=(), high=(), centre=(), spread=())
        parts = np.array_split(x, -(-len(x) // AT_ONCE))
        raw = np.concatenate([bare.forward(NUMPY, {}, part) for part in parts]).astype(np.float64)
        known = np.concatenate([bare._chosen(NUMPY, bare._known(NUMPY, part)) for part in parts]) > 0
        held = np.where(known, raw, np.nan)
        never = ~known.any(axis=0)
        held[:, never] = 0.0
        missing = np.nanmedian(held, axis=0)
        filled = np.where(known, raw, missing)
        low, high = np.percentile(filled, CLIPPED, axis=0)
        clipped = np.clip(filled, low, high)
        spread = clipped.std(axis=0)
        statistics = {"missing": missing, "low": low, "high": high, "centre": clipped.mean(axis=0)}
        statistics["spread"] = np.where(spread < LEAST_SPREAD, FAR, spread)  # what never varies says nothing
        return replace(self, **{name: tuple(map(float, np.float32(values))) for name, values in statistics.items()})

    def _chosen(self, ops: Any, columns: Any) -> Any:
        return ops.columns(columns, self.kept) if self.kept else columns

    def _parts(self, ops: Any, x: Any) -> tuple[Any, Any]:
        """Return the numbers and their masks, each (stays, hours, numbers)."""
        masks = np.array(self.masks)
        own = (masks >= 0).astype(np.float32)
        mask = ops.columns(x, np.maximum(masks, 0)) * own + (1 - own)
        return ops.columns(x, self.numbers), mask

    def _raw(self, ops: Any, x: Any) -> Any:
        values, mask = self._parts(ops, x)
        hours = _Hours(ops, values, mask)
        return ops.concatenate([KINDS[name](hours) for name in self.kinds])

    def _known(self, ops: Any, x: Any) -> Any:
        """Return for each summary 1 where its number was measured at all; how often is always known."""
        _, mask = self._parts(ops, x)
        ever = ops.positive(ops.sum(mask))
        return ops.concatenate([ever * 0.0 + 1.0 if name in ALWAYS_KNOWN else ever for name in self.kinds])

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        features = np.tile(origins[0][list(self.numbers)], len(self.kinds))
        return features[list(self.kept)] if self.kept else features

    def to_keras(self, keras: Any, name: str) -> Any:
        from mortcond.layers.keras_layers import Weightless

        return Weightless(self.kind, self.config(), name=name)


class _Hours:
    """The measured hours of each number, and what several summaries need of them."""

    def __init__(self, ops: Any, values: Any, mask: Any):
        self.ops, self.values, self.mask = ops, values, mask
        self.count = ops.sum(mask)  # (stays, numbers)
        self.least_one = ops.maximum(self.count, 1.0)
        self.mean = ops.sum(values * mask) / self.least_one

    def numbered(self) -> Any:
        """Return the number of each hour, (hours, 1), from 1 on."""
        return np.arange(1, self.ops.hours_of(self.values) + 1, dtype=np.float32)[:, None]

    def at(self, hour: Any) -> Any:
        """Return each number in the hour of a given number, (stays, numbers); 0 where that was not measured."""
        apart = self.ops.absolute(self.mask * self.numbered() - self.ops.as_hours(hour))
        there = self.ops.maximum(apart * -1.0 + 1.0, 0.0) * self.mask
        return self.ops.sum(self.values * there)

    def last_hour(self) -> Any:
        return self.ops.largest(self.mask * self.numbered())

    def first_hour(self) -> Any:
        return self.ops.least(self.numbered_or_far())

    def numbered_or_far(self) -> Any:
        return self.mask * self.numbered() + (self.mask * -1.0 + 1.0) * FAR


def _last(hours: _Hours) -> Any:
    return hours.at(hours.last_hour())


def _first(hours: _Hours) -> Any:
    return hours.at(hours.first_hour())


def _least(hours: _Hours) -> Any:
    return hours.ops.least(hours.values * hours.mask + (hours.mask * -1.0 + 1.0) * FAR)


def _largest(hours: _Hours) -> Any:
    return hours.ops.largest(hours.values * hours.mask - (hours.mask * -1.0 + 1.0) * FAR)


def _deviation(hours: _Hours) -> Any:
    apart = (hours.values - hours.ops.as_hours(hours.mean)) * hours.mask
    return hours.ops.sqrt(hours.ops.sum(apart * apart) / hours.least_one)


def _count(hours: _Hours) -> Any:
    return hours.ops.log(hours.count + 1.0)


def _since(hours: _Hours) -> Any:
    """Hours since the last measurement, at the end of the stay's window; all of them where there was none."""
    return hours.last_hour() * -1.0 + float(hours.ops.hours_of(hours.values))


def _slope(hours: _Hours) -> Any:
    """The change in an hour, by least squares, shrunken towards 0."""
    numbered = hours.numbered()
    middle = hours.ops.sum(hours.mask * numbered) / hours.least_one
    apart = (hours.mask * numbered - hours.ops.as_hours(middle)) * hours.mask
    return hours.ops.sum(apart * hours.values) / (hours.ops.sum(apart * apart) + SHRINKAGE)


KINDS: dict[str, Callable[[_Hours], Any]] = {
    "last": _last,
    "least": _least,
    "largest": _largest,
    "mean": lambda hours: hours.mean,
    "count": _count,
    "deviation": _deviation,
    "since": _since,
    "slope": _slope,
    "first": _first,
}
ALWAYS_KNOWN = ("count", "since")
OF_CATEGORIES = ("last", "mean")
MASK = "mask->"


def of_features(names: Sequence[str], mask_columns: Sequence[int], kinds: Sequence[str] = Measured.kinds) -> Measured:
    """Return the layer for a data set's features.

    Of a number every kind is put out; of a category (`variable->category`) how it was last and how often; of what has
    no mask, such as age, what it is. Masks are no numbers.
    """
    numbers = [index for index, name in enumerate(names) if not name.startswith(MASK)]
    wanted = [_kinds_of(names[index], mask_columns[index], kinds) for index in numbers]
    kept = [
        place * len(numbers) + number
        for place, kind in enumerate(kinds)
        for number, own in enumerate(wanted)
        if kind in own
    ]
    return Measured(tuple(numbers), tuple(mask_columns[number] for number in numbers), tuple(kinds), tuple(kept))


def _kinds_of(name: str, mask: int, kinds: Sequence[str]) -> tuple[str, ...]:
    if mask < 0:
        return ("last",)
    return OF_CATEGORIES if "->" in name else tuple(kinds)
