"""Reading a table of variables. Comes in: a CSV. Goes out: `Variables`, or one error that names every fault in it."""

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from mortcond.core import forms
from mortcond.core.errors import InputError

SHIPPED = ("paper76", "extended")
SOURCES = ("mimic3", "mimic4", "physionet2012", "benchmark", "events", "meds")
STATIC = ("age", "sex", "icu_type")  # the facts of a stay that every source may give
DERIVED = ("delta", "min", "max", "mean")  # columns that can be derived from a number's own past

RULES = {
    "": "the number as written; other text is no measurement. A category: its text, else no measurement",
    "benchmark_text": "as text, and of several at one time the largest in text order; no number or category: an error",
    "benchmark_systolic": "the number, or the first of `120/80`; other text is an error",
    "benchmark_diastolic": "the number, or the second of `120/80`; other text is an error",
    "benchmark_fio2": "divided by 100, whatever its size, unless the unit has torr; other text is an error",
    "benchmark_digits": "digits with at most one point; anything else is no measurement",
    "benchmark_saturation": "as benchmark_digits; up to 1 it is a fraction and becomes percent",
    "benchmark_temperature": "from 79 on Fahrenheit, becomes Celsius; other text is an error",
    "benchmark_weight": "kilograms from ounces (unit has oz) or pounds (lb); other text is an error",
    "benchmark_height": "whole centimetres from inches (unit has in); other text is an error",
    "fraction": "above 1 it is percent and becomes a fraction",
    "percent": "up to 1 it is a fraction and becomes percent",
    "ph": "735 or 73.5 becomes 7.35",
    "celsius": "from 79 on Fahrenheit, becomes Celsius",
    "kilograms": "from ounces (unit has oz) or pounds (lb)",
    "centimetres": "from inches (unit has in); up to 3 from metres, above 300 from what was twice made of inches",
    "limit": "the number; of `<0.01`, `>500` or `LESS THAN 0.4` the limit of detection",
    "presence": "1 wherever the item was recorded, whatever its value",
    "gcs_eye": "points of the eye opening: categories whose names begin with the points",
    "gcs_motor": "points of the motor response: categories whose names begin with the points",
    "gcs_verbal": "points of the verbal response: categories whose names begin with the points",
    "gcs_total": "the number; where it is not measured, the sum of the three components of the same time",
}

_REQUIRED = ("name", "kind")
_CHOICES = {
    "kind": ("number", "category", "static"),
    "aggregate": ("last", "sum"),
    "scale": ("linear", "log"),
    "flagged": ("drop", "keep"),
}
_COLUMNS = ("name", "kind", "unit", "normal", "categories", "low", "high", "aggregate", "scale", "rule", "flagged")
_COLUMNS += ("early_hours",)


@dataclass(frozen=True)
class Variable:
    """One row of a table of variables; see the package's docstring for the meaning of each field."""

    name: str
    kind: str  # number, category or static
    unit: str = ""
    normal: float | str | None = None  # a category's name for a category; None: the median of the training split
    categories: tuple[str, ...] = ()
    spellings: tuple[tuple[str, ...], ...] = ()  # for each category, the texts of the sources that mean it
    low: float | None = None
    high: float | None = None
    aggregate: str = "last"
    scale: str = "linear"
    rule: str = ""
    flagged: str = "drop"
    early_hours: float = 0.0
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)  # source -> ids or names
    item_units: dict[str, str] = field(default_factory=dict)  # id -> the unit that its source does not write
    citation: str = ""

    def category_index(self, text: str) -> int | None:
        """Return the index of the category with this name or spelling, None where there is none."""
        if text in self.categories:
            return self.categories.index(text)
        return next((i for i, texts in enumerate(self.spellings) if text in texts), None)

    def items(self, source: str) -> tuple[str, ...]:
        """Return the ids or names under which a source keeps this variable, () where it lacks it."""
        return self.sources.get(source, ())

    @property
    def normal_value(self) -> float | None:
        """The normal value as the number that the grid holds: a category's index."""
        if self.normal is None or not self.categories:
            return self.normal
        return float(self.categories.index(self.normal))


@dataclass(frozen=True)
class Column:
    """One column of X: what it shows of which variable."""

    name: str
    part: str  # value, category, mask, static, or one of DERIVED
    variable: int  # index in Variables
    category: int = -1  # the category whose one-hot column this is
    scaled: bool = False


@dataclass(frozen=True)
class Variables:
    """A whole table of variables, in column order."""

    name: str
    sha256: str  # of the CSV
    variables: tuple[Variable, ...]

    def __iter__(self) -> Iterator[Variable]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def __getitem__(self, index: int) -> Variable:
        return self.variables[index]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(variable.name for variable in self.variables)

    @property
    def measured(self) -> tuple[int, ...]:
        """Indices of the variables that are measured over time: all but the static ones."""
        return tuple(i for i, variable in enumerate(self.variables) if variable.kind != "static")

    def items(self, source: str) -> dict[str, int]:
        """Return the index of the variable for each id or name of a source."""
        return {item: index for index, variable in enumerate(self) for item in variable.items(source)}

    def columns(self, derive: tuple[str, ...] = ()) -> tuple[Column, ...]:
        """Return the columns of X: values and one-hots in table order, masks, derived columns, static columns."""
        static = [i for i, variable in enumerate(self) if variable.kind == "static"]
        columns = [column for i in self.measured for column in _value_columns(i, self[i], "value", "")]
        columns += [Column(f"mask->{self[i].name}", "mask", i) for i in self.measured]
        for part in derive:
            numbers = [i for i in self.measured if self[i].kind == "number"]
            columns += [Column(f"{part}->{self[i].name}", part, i, scaled=True) for i in numbers]
        columns += [column for i in static for column in _value_columns(i, self[i], "static", "static->")]
        return tuple(columns)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of X without derived ones: `Heart Rate`, `channel->category`, `mask->channel`."""
        return tuple(column.name for column in self.columns())

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Variables":
        """Read what `to_dict` gave, also after a trip through JSON.

        Raises ValueError where it has not that form.
        """
        forms.fit_keys(record, {"name": str, "sha256": str, "variables": list[dict]}, "variables")
        rows = tuple(_from_dict(row) for row in record["variables"])
        faults = [f"{row.name}: {fault}" for row in rows for fault in (*_choice_faults(row), *_row_faults(row))]
        if faults or not rows:
            raise ValueError("; ".join(faults[:3]) or "no variables")
        return cls(record["name"], record["sha256"], rows)


def load(name_or_path: str | Path) -> Variables:
    """Read a table of variables: "paper76", "extended", or the path of a CSV.

    Raises InputError that names every fault of the table with its row and column.
    """
    name, content = _read(str(name_or_path))
    table = list(csv.DictReader(io.StringIO(content, newline=""), restkey=""))
    faults: list[str] = _header_faults(table[0].keys() if table else ())
    rows = []
    if not faults:
        rows = [_variable(row, f"row {number}", faults) for number, row in enumerate(table, 2)]
        faults += _duplicates(rows)
    if faults:
        remedy = "Mend the table; the columns are described in the help of mortcond.variables."
        raise InputError(f"{name_or_path} is no table of variables: {'; '.join(faults)}.", remedy)
    return Variables(name, hashlib.sha256(content.encode()).hexdigest(), tuple(rows))


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path in SHIPPED:
        file = resources.files("mortcond.variables") / f"{name_or_path}.csv"
        return name_or_path, file.read_text(encoding="utf-8")
    path = Path(name_or_path)
    try:
        return path.stem, path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        remedy = f"Name {' or '.join(SHIPPED)}, or a CSV file of your own."
        raise InputError(f"There is no table of variables {name_or_path}.", remedy) from None
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, row {row}: a byte that is no UTF-8.", "Save the table as UTF-8.") from None


def _header_faults(header) -> list[str]:
    if not header:
        return ["it has no rows"]
    known = (*_COLUMNS, *SOURCES, "citation")
    missing = [f"column {name!r} is missing" for name in _REQUIRED if name not in header]
    return missing + [f"column {name!r} is unknown" for name in header if name not in known]


def _variable(row: dict[str, str | None], where: str, faults: list[str]) -> Variable:
    """Make a Variable of a row, adding what is wrong with it to `faults`."""
    if None in row or isinstance(row.get(""), list):
        faults.append(f"{where}: it has more cells than the header")
        row = {key: value for key, value in row.items() if key}
    cell = {key: (value or "").strip() for key, value in row.items()}
    choices = {name: cell.get(name) or allowed[0] for name, allowed in _CHOICES.items() if name != "kind"}
    choices["kind"] = cell["kind"]
    for name, value in choices.items():
        if value not in _CHOICES[name]:
            faults.append(f"{where}, column {name}: {value!r} is none of {', '.join(_CHOICES[name])}")
    names, spellings = _categories(cell.get("categories", ""))
    sources, units = _sources(cell)
    numbers = {name: _number(cell, name, where, faults) for name in ("low", "high")}
    variable = Variable(
        name=cell["name"],
        unit=cell.get("unit", ""),
        normal=(cell.get("normal") or None) if names else _number(cell, "normal", where, faults),
        categories=names,
        spellings=spellings,
        rule=cell.get("rule", ""),
        early_hours=_number(cell, "early_hours", where, faults) or 0.0,
        sources=sources,
        item_units=units,
        citation=cell.get("citation", ""),
        **(choices | numbers),
    )
    faults += [f"{where}, {fault}" for fault in _row_faults(variable)]
    return variable


def _row_faults(variable: Variable) -> Iterator[str]:
    if not variable.name or "->" in variable.name:
        yield f"column name: {variable.name!r} is empty or contains '->'"
    if variable.rule not in RULES:
        yield f"column rule: {variable.rule!r} is none of {', '.join(filter(None, RULES))}"
    if variable.kind == "category" and not variable.categories:
        yield "column categories: a category needs them"
    if variable.kind == "number" and variable.categories:
        yield "column categories: a number has none"
    if variable.kind == "static" and variable.name not in STATIC:
        yield f"column name: a static variable is one of {', '.join(STATIC)}"
    texts = [text for group in variable.spellings for text in group]
    if len(set(variable.categories)) < len(variable.categories) or len(set(texts)) < len(texts):
        yield "column categories: a category or its text appears twice"
    if variable.kind == "category" and variable.normal not in variable.categories:
        yield f"column normal: {variable.normal!r} is none of its categories"
    if variable.low is not None and variable.high is not None and variable.low >= variable.high:
        yield f"columns low and high: {variable.low:g} is not below {variable.high:g}"
    if variable.early_hours < 0:
        yield f"column early_hours: {variable.early_hours:g} is below 0"
    if variable.kind == "category" and variable.aggregate == "sum":
        yield "column aggregate: categories cannot be summed"


def _choice_faults(variable: Variable) -> Iterator[str]:
    for name, allowed in _CHOICES.items():
        if getattr(variable, name) not in allowed:
            yield f"column {name}: {getattr(variable, name)!r} is none of {', '.join(allowed)}"
    if len(variable.spellings) != len(variable.categories):
        yield f"column categories: {len(variable.categories)} with {len(variable.spellings)} groups of texts"


def _duplicates(rows: list[Variable]) -> list[str]:
    faults, seen = [], {}
    for row in rows:
        keys = [("name", row.name)] + [(source, item) for source, items in row.sources.items() for item in items]
        for key in keys:
            if key in seen:
                faults.append(f"column {key[0]}: {key[1]!r} is in two rows, {seen[key]!r} and {row.name!r}")
            seen[key] = row.name
    return faults


def _categories(text: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    if not text:
        return (), ()
    groups = [category.split("=") for category in text.split("|")]
    return tuple(group[0] for group in groups), tuple(tuple(group[1:] or group) for group in groups)


def _sources(cell: dict[str, str]) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    units, sources = {}, {}
    for source in SOURCES:
        parts = [item.strip().partition("@") for item in cell.get(source, "").split(";") if item.strip()]
        if parts:
            sources[source] = tuple(item for item, _, _ in parts)
            units |= {item: unit for item, _, unit in parts if unit}
    return sources, units


def _number(cell: dict[str, str], column: str, where: str, faults: list[str]) -> float | None:
    if not cell.get(column):
        return None
    try:
        return float(cell[column])
    except ValueError:
        faults.append(f"{where}, column {column}: {cell[column]!r} is no number")
        return None


def _from_dict(row: dict[str, Any]) -> Variable:
    forms.fit_fields(row, Variable, "variable")
    known = {entry.name for entry in fields(Variable)}
    kept = {key: value for key, value in row.items() if key in known}
    kept["categories"] = tuple(kept.get("categories", ()))
    kept["spellings"] = tuple(tuple(texts) for texts in kept.get("spellings", ()))
    kept["sources"] = {source: tuple(items) for source, items in kept.get("sources", {}).items()}
    return Variable(**kept)


def _value_columns(index: int, variable: Variable, part: str, prefix: str) -> list[Column]:
    name = f"{prefix}{variable.name}"
    if not variable.categories:
        return [Column(name, part, index, scaled=True)]
    return [Column(f"{name}->{text}", part, index, category) for category, text in enumerate(variable.categories)]
