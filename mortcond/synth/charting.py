"""synth: who writes down what, when, and with which mistakes.

Comes in: stays and their signals. Goes out: events, a row a measurement, as arrays of codes, for one table. Items are
charted in panels (all vital signs at once); the sicker the patient, the more often, and some panels only if there is a
cause (a ventilator, an arterial line), so that what is missing says something too.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

import numpy as np

from mortcond.synth.csvbytes import FIRST_DAY, quoted
from mortcond.synth.people import ORGANS, Stays


@dataclass(frozen=True)
class Item:
    """One item that is charted; a row of items.csv."""

    table: str  # chart, lab, output
    system: str  # carevue, metavision, both
    itemid: int
    label: str
    category: str  # of a laboratory item: the fluid
    unit: str
    panel: str
    stay_share: float  # of stays in which it is charted at all
    row_share: float  # of its panel's occasions
    signal: str  # empty: a constant
    scale: float  # value = scale * signal + offset + noise
    offset: float
    noise: float
    format: str  # 0, 1, 2 decimals, third, or a set of texts


@dataclass(frozen=True)
class Panel:
    """How often items are charted together, in an hour of average severity; each step of severity multiplies it."""

    rate: float
    gain: float = 1.0
    on_the_hour: float = 0.0  # share of occasions at a full hour
    only: str = ""  # a signal (1 or 0) or a mark of the stay that must hold


PANELS = {
    "vitals": Panel(0.9, 1.05, 0.85),
    "arterial_pressure": Panel(0.9, 1.05, 0.85, "arterial_line"),
    "cuff_pressure": Panel(0.85, 1.05, 0.8, "no_arterial_line"),
    "temperature": Panel(0.24, 1.05, 0.9),
    "neurology": Panel(0.24, 1.15, 0.9),
    "ventilator": Panel(0.22, 1.2, 0.6, "ventilated"),
    "finger_stick": Panel(0.12, 1.15, 0.3),
    "serum_glucose": Panel(0.06, 1.25),
    "blood_gas": Panel(0.05, 1.7),
    "perfusion": Panel(0.2, 1.1, 0.8),
    "daily_weight": Panel(0.03, 1.0, 0.7),
    "chemistry": Panel(0.065, 1.25),
    "blood_count": Panel(0.055, 1.2),
    "coagulation": Panel(0.04, 1.25),
    "lab_gas": Panel(0.05, 1.7),
    "lactate": Panel(0.025, 1.8),
    "liver": Panel(0.016, 1.35),
    "troponin": Panel(0.012, 1.2),
    "lipids": Panel(0.004, 0.8),
    "urinalysis": Panel(0.006, 1.1),
    "urine": Panel(0.6, 1.05, 0.9),
    "void": Panel(0.1, 0.9, 0.5),
    "stool": Panel(0.02),
}
SYSTEMS = ("carevue", "metavision")
ONCE, OTHER = "admission", "other"  # panels of their own kind: in the first hour; what fills the rest of a chart


@dataclass(frozen=True)
class Events:
    """Measurements of one table, each array `(events,)`, ordered by stay and time."""

    stay: np.ndarray  # row of the stays
    minute: np.ndarray  # whole minutes since FIRST_DAY
    item: np.ndarray  # index in items()
    value: np.ndarray  # index in the vocabulary

    def __len__(self) -> int:
        return len(self.stay)

    def take(self, rows: np.ndarray) -> "Events":
        return Events(*(getattr(self, field.name)[rows] for field in fields(self)))


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of one of this room's CSV files."""
    text = resources.files("mortcond.synth").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def items() -> tuple[Item, ...]:
    """Return all items that can be charted."""
    kinds = {field.name: field.type for field in fields(Item)}
    return tuple(Item(**{name: kinds[name](text) for name, text in row.items()}) for row in read_table("items.csv"))


LARGEST = {"0": 15_000, "1": 9_999, "2": 90_000, "third": 900}  # numbers by their form, in units of the last place
DIVISOR = {"0": 1, "1": 10, "2": 100, "third": 3}


class Vocabulary:
    """All texts that can stand in VALUE, each with its VALUENUM: numbers by place, then the texts of texts.csv."""

    def __init__(self) -> None:
        texts, self.start = [], {}
        for name, largest in LARGEST.items():
            self.start[name] = len(texts)
            places = {"third": 4}.get(name) or int(name)
            texts += [f"{k / DIVISOR[name]:.{places}f}" for k in range(largest + 1)]
        values, self.size = list(texts), {}
        for row in read_table("texts.csv"):
            self.start.setdefault(row["format"], len(texts))
            self.size[row["format"]] = self.size.get(row["format"], 0) + 1
            texts.append(row["value"])
            values.append(row["number"])
        self.value = np.array([quoted(text) for text in texts], "S")
        self.number = np.array(values, "S")

    def encode(self, form: str, values: np.ndarray) -> np.ndarray:
        """Return the indices of numbers in the given form, or of the texts of a set by their place, rounded."""
        if form in self.size:
            return self.start[form] + np.clip(np.rint(values), 0, self.size[form] - 1).astype(np.int32)
        places = np.rint(values * DIVISOR[form])
        return self.start[form] + np.clip(places, 0, LARGEST[form]).astype(np.int32)


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary()


class Chart:
    """The charts of some stays: which hours exist, what is measured in them, and what is written down."""

    def __init__(self, stays: Stays, signals: dict[str, np.ndarray], generator: np.random.Generator, density: float):
        self.stays, self.signals, self.generator, self.density = stays, signals, generator, density
        self.hours = signals["severity"].shape[1]
        self.exists = np.arange(self.hours) < np.ceil(stays.hours)[:, None]
        self.exists &= (generator.random(len(stays)) > 0.005)[:, None]  # some stays have no events at all
        circulation = stays.organs[:, ORGANS.index("circulation")] + 0.6 * stays.severity
        line = circulation + generator.standard_normal(len(stays)) > 0.4
        self.marks = {"arterial_line": line[:, None], "no_arterial_line": ~line[:, None]}
        self.carevue = stays.carevue
        first = (stays.entered - FIRST_DAY.astype("datetime64[s]")).astype(np.int64) // 60
        self.first_hour = (first + 59) // 60 * 60  # nurses chart by the clock, not by the time since admission

    def events(self, table: str, rows_wanted: int = 0) -> Events:
        """Return the events of one table; other items fill the chart table up to about `rows_wanted` rows."""
        found = [part for panel in self._panels(table) for part in self._panel(table, panel)]
        if table == "chart":
            found += self._filling(rows_wanted - sum(len(part) for part in found))
        joined = Events(*(np.concatenate([getattr(part, f.name) for part in found]) for f in fields(Events)))
        order = np.argsort(joined.stay.astype(np.int64) << 32 | joined.minute, kind="stable")
        return joined.take(order)

    def _panels(self, table: str) -> list[str]:
        return list(dict.fromkeys(item.panel for item in items() if item.table == table and item.panel != OTHER))

    def _panel(self, table: str, name: str) -> Iterator[Events]:
        stay, hour = np.nonzero(self.generator.random(self.exists.shape, np.float32) < self._chance(name))
        minute = self._minutes(stay, hour, PANELS.get(name, Panel(1)).on_the_hour)
        for index, item in enumerate(items()):
            if item.table == table and item.panel == name:
                yield self._item(index, item, stay, hour, minute)

    def _chance(self, name: str) -> np.ndarray:
        """Return the probability `(stays, hours)` that a panel is charted; frequent ones thin out most."""
        if name == ONCE:
            return self.exists & (np.arange(self.hours) == 0)
        panel = PANELS[name]
        only = self.marks[panel.only] if panel.only in self.marks else self.signals.get(panel.only, True)
        thinned = panel.rate * self.density ** (0.35 + 0.65 * panel.rate)
        return self.exists * only * thinned * panel.gain ** self.signals["severity"]

    def _minutes(self, stay: np.ndarray, hour: np.ndarray, on_the_hour: float) -> np.ndarray:
        minute = self.generator.integers(0, 60, len(stay))
        minute *= self.generator.random(len(stay), np.float32) >= on_the_hour
        return self.first_hour[stay] + 60 * hour + minute

    def _item(self, index: int, item: Item, stay: np.ndarray, hour: np.ndarray, minute: np.ndarray) -> Events:
        """Return the events of one item at its panel's occasions."""
        charted = self.generator.random(len(self.stays)) < item.stay_share
        if item.system != "both":
            charted &= self.carevue == (item.system == "carevue")
        rows = np.flatnonzero(charted[stay] & (self.generator.random(len(stay), np.float32) < item.row_share))
        stay, hour = stay[rows], hour[rows]
        value = self._values(item, stay, hour)
        return Events(stay, minute[rows], np.full(len(rows), index, np.int16), value)

    def _values(self, item: Item, stay: np.ndarray, hour: np.ndarray) -> np.ndarray:
        """Return the vocabulary indices of what is written down, slips included."""
        values = np.full(len(stay), item.offset)
        if item.signal:
            values += item.scale * self.signals[item.signal][stay, hour]
        if item.noise:
            values += item.noise * self.generator.standard_normal(len(stay))
        if item.format in vocabulary().size and not item.signal:
            values = self._choices(item, stay)
        code = vocabulary().encode(item.format, values)
        return self._slips(item, code, values) if item.noise else code

    def _choices(self, item: Item, stay: np.ndarray) -> np.ndarray:
        """Return places in a set of texts: mostly the stay's usual one."""
        size = vocabulary().size[item.format]
        usual = self.generator.integers(0, size, len(self.stays))[stay]
        now = self.generator.integers(0, size, len(stay))
        return np.where(self.generator.random(len(stay), np.float32) < 0.85, usual, now)

    def _slips(self, item: Item, code: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the codes with a few decimal points slipped, a few zeros, and what a laboratory writes instead."""
        slip = self.generator.random(len(code), np.float32)
        code = np.where(slip < 0.0004, vocabulary().encode(item.format, values * 10), code)
        code = np.where((slip > 0.0004) & (slip < 0.0006), vocabulary().encode(item.format, values * 0), code)
        if item.signal in ("glucose", "ph"):
            faults = vocabulary().start["fault"] + self.generator.integers(0, vocabulary().size["fault"], len(code))
            code = np.where(slip > 0.996, faults, code)
        return code.astype(np.int32)

    def _filling(self, rows: int) -> list[Events]:
        """Return events that no variable uses: most of a real chart, and as many as are wanted here."""
        others = [(index, item) for index, item in enumerate(items()) if item.panel == OTHER]
        hours = {system: self.exists[self.carevue == (system == "carevue")].sum() for system in SYSTEMS}
        an_hour = sum(hours[item.system] * item.stay_share * item.row_share for _, item in others)
        chance = max(rows, 0) / max(an_hour, 1)
        found = []
        while chance > 0:  # more than one an hour: the further ones come between the hours
            now = self.exists * min(chance, 1.0)
            for index, item in others:
                stay, hour = np.nonzero(self.generator.random(now.shape, np.float32) < now)
                found.append(self._item(index, item, stay, hour, self._minutes(stay, hour, 0.9 * (not found))))
            chance -= 1
        return found
