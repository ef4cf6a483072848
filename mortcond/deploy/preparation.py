"""What turns the raw measurements of a stay into a network's input, as plain data that any language can follow.

Comes in: an `InputSpec`. Goes out: a JSON-able `Preparation`, from which the C source and the web page are written, so
that both do what `predict` does with a table of events: reading and cleaning of a value (`tables.long.own_units`), the
settling of several values (`tables.long`), the hours (`grid`), and the columns with their scaling (`dataset.features`).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mortcond.core.errors import InputError
from mortcond.dataset.spec import InputSpec
from mortcond.tables.cells import MISSING
from mortcond.tables.event_columns import Layout
from mortcond.tables.events import SEX
from mortcond.tables.gcs import COMPONENTS
from mortcond.tables.long import TOLERANCE_HOURS, names_of, own_units
from mortcond.variables import Variable
from mortcond.variables.cleaning import LARGEST, number, points

RULES = ("", "fraction", "percent", "ph", "celsius", "centimetres", "limit")  # those that matter where units are right
MOST_POINTS = 15  # of the Glasgow coma scale
MOST_PLACES = 200  # names of one variable: C keeps a place in a byte


@dataclass(frozen=True)
class Measure:
    """One variable, as it is read, cleaned and kept."""

    name: str
    unit: str
    static: bool
    rule: str  # of RULES
    low: float | None
    high: float | None
    summed: bool  # within the hour, and not carried forward
    normal: float | None
    categories: tuple[str, ...]
    texts: tuple[tuple[str, int, int], ...]  # a text, the category it means, its tier: 0 names, 1 spellings
    numbers: tuple[tuple[float, int, int], ...]  # the same for texts that are numbers (15.0 is 15); tier 2: points


@dataclass(frozen=True)
class Source:
    """One name under which a table of events may keep a variable."""

    name: str
    variable: int
    place: int  # of several values at one time the one with the lowest place counts


@dataclass(frozen=True)
class Total:
    """The total of the Glasgow coma scale from its components."""

    variable: int
    components: tuple[int, ...]  # variables
    points: tuple[tuple[int, ...], ...]  # for each component the points of each category


@dataclass(frozen=True)
class Feature:
    """One column of the input."""

    name: str
    part: str  # value, mask, static, or one of variables.DERIVED
    variable: int
    category: int  # -1: not a column of a category
    log: bool
    mean: float
    std: float


@dataclass(frozen=True)
class Preparation:
    """The whole way from events to the input."""

    hours: int
    tolerance_hours: float
    missing: tuple[str, ...]  # texts that say that there is no value, in any case, with blanks around
    largest: float  # no value is larger
    measures: tuple[Measure, ...]  # the facts of a stay last
    sources: tuple[Source, ...]
    total: Total | None
    features: tuple[Feature, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def uses(self, *parts: str) -> bool:
        """Say whether any column shows one of these parts of a variable."""
        return any(feature.part in parts for feature in self.features)


def of(spec: InputSpec) -> Preparation:
    """Return how raw measurements become the input of a network.

    Raises InputError where the table of variables cannot be exported.
    """
    order = sorted(range(len(spec.variables)), key=lambda index: spec.variables[index].kind == "static")
    measures = tuple(_measure(spec.variables[index], spec.normals[index]) for index in order)
    named = names_of(spec.variables, "events", own=True)
    sources = tuple(Source(name, order.index(index), place) for name, (index, place) in named.items())
    if any(source.place >= MOST_PLACES for source in sources):
        raise InputError(f"A variable has more than {MOST_PLACES} names.", "Give it fewer in the table of variables.")
    return Preparation(
        spec.window_hours,
        TOLERANCE_HOURS,
        MISSING,
        LARGEST,
        measures,
        sources,
        _total(spec, order),
        tuple(_features(spec, order)),
    )


def _measure(variable: Variable, normal: float | None) -> Measure:
    texts = [(name, index, 0) for index, name in enumerate(variable.categories)]
    texts += [(text, index, 1) for index, group in enumerate(variable.spellings) for text in group]
    if variable.kind == "static" and variable.name == "sex":
        meant = {text: index for text, index, _ in texts}
        forms = [(form, SEX[word]) for word in SEX for form in (word, word.title(), word.upper())]
        texts += [(form, meant[sex], 1) for form, sex in forms]
    texts = list(dict.fromkeys(texts))
    numbers = [(number(text), index, tier) for text, index, tier in texts]
    return Measure(
        name=variable.name,
        unit=variable.unit,
        static=variable.kind == "static",
        rule=variable.rule if variable.rule in RULES else "",  # the others only repair the units of other sources
        low=variable.low,
        high=variable.high,
        summed=variable.aggregate == "sum",
        normal=normal,
        categories=variable.categories,
        texts=tuple(texts),
        numbers=tuple(dict.fromkeys([entry for entry in numbers if entry[0] is not None] + _points(variable))),
    )


def _points(variable: Variable) -> list[tuple[float, int, int]]:
    """Return the points that stand for words of the coma scale, and no category by themselves."""
    layout, found = Layout("hours", frozenset(), ()), []
    for value in range(MOST_POINTS + 1) if variable.categories and variable.kind != "static" else ():
        reading = layout.reading(variable, str(value))
        if reading.value is not None and own_units(variable, str(value)).value is None:
            found.append((float(value), int(reading.value), 2))
    return found


def _total(spec: InputSpec, order: list[int]) -> Total | None:
    rules = [variable.rule for variable in spec.variables]
    if "gcs_total" not in rules or not set(COMPONENTS) <= set(rules):
        return None
    components = tuple(rules.index(rule) for rule in COMPONENTS)
    scores = tuple(tuple(points(name) for name in spec.variables[index].categories) for index in components)
    return Total(order.index(rules.index("gcs_total")), tuple(map(order.index, components)), scores)


def _features(spec: InputSpec, order: list[int]) -> Iterator[Feature]:
    for column, mean, std in zip(spec.columns, spec.mean.tolist(), spec.std.tolist(), strict=True):
        logged = spec.variables[column.variable].scale == "log" and column.scaled and column.part != "delta"
        own = order.index(column.variable)
        yield Feature(column.name, column.part, own, column.category, spec.scaled and logged, mean, std)
