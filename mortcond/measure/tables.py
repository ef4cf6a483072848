"""Tables: the columns of the paper's Tables II and III, measured, with the published rows beside them.

Comes in: the records of `evaluate`. Goes out: a table for the terminal that leaves columns out where it is narrow, and
rows for a CSV file.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

NONE = "–"
PAPER_NOTE = "paper: Tables II and III as published, another machine and other data"
Record = dict[str, Any]


@cache
def published() -> tuple[Record, ...]:
    """Return the rows of the paper's Tables II and III; None where it prints NA."""
    with files("mortcond.measure").joinpath("paper.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers = ("parameters", "size_kb", "latency_us", "training_seconds", "auroc")
    return tuple(row | {name: float(row[name]) if row[name] else None for name in numbers} for row in rows)


@dataclass(frozen=True)
class Column:
    """One column: its heading, how a record fills it, what a published row has there, and who makes way first."""

    heading: str
    cell: Callable[[Record], str]
    published: str | None  # the column of paper.csv
    rank: int  # the higher, the sooner it is left out
    align: str = "right"
    form: str = ",.0f"  # of the published figure

    def of_paper(self, row: Record) -> str:
        if self.published is None or row[self.published] is None:
            return NONE
        value = row[self.published]
        return value if isinstance(value, str) else format(value, self.form)


def columns(batches: list[str]) -> tuple[Column, ...]:
    """Return all columns, in their order; the first batch size stands for the paper's time per sample."""
    return (
        Column("model", lambda r: r["label"], "model", 0, "left"),
        Column("params", lambda r: number(r["parameters"]), "parameters", 1),
        Column("MACs", lambda r: number(r["macs"]), None, 9),
        Column("KB", lambda r: f"{r['size_bytes'] / 1000:,.1f}", "size_kb", 1),
        Column(f"µs ({batches[0]})", lambda r: latency(r, batches[0]), "latency_us", 1),
        Column(f"p95 ({batches[0]})", lambda r: latency(r, batches[0], "p95"), None, 12),
        *(Column(f"µs ({batch})", lambda r, batch=batch: latency(r, batch), None, 8) for batch in batches[1:]),
        Column("load ms", lambda r: number(r["load_ms"], ".2f"), None, 13),
        Column("RSS MB", lambda r: number(r["peak_rss_mb"], ".0f"), None, 14),
        Column("train s", lambda r: number(r["training_seconds"], ",.1f"), "training_seconds", 3),
        Column(
            "AUROC [95 % CI]", lambda r: with_interval(r["auroc"]["value"], r["auroc"]["ci95"]), "auroc", 1, form=".3f"
        ),
        Column("AP", lambda r: number(r["auprc"], ".3f"), None, 10),
        Column("Brier", lambda r: number(r["brier"], ".3f"), None, 10),
        Column("slope", lambda r: number(r["calibration"]["slope"], ".2f"), None, 11),
        Column("Δ to parent [95 % CI]", lambda r: difference(r["delta_auroc"]), None, 6),
        Column("verdict", lambda r: verdict(r["delta_auroc"]), None, 7, "left"),
        Column("max Δrisk", lambda r: number(r["max_abs_dp"], ".3f"), None, 12),
    )


def number(value: float | None, form: str = ",.0f") -> str:
    """Return a number in the given form, a dash for None."""
    return NONE if value is None else format(value, form)


def latency(record: Record, batch: str, which: str = "p50") -> str:
    """Return a time in µs with about three digits."""
    value = record["latency_us_per_stay"][batch][which]
    return format(value, ".1f" if value < 100 else ",.0f")


def with_interval(value: float | None, ci95: list[float] | None) -> str:
    """Return `0.812 [0.790, 0.834]`, the number alone where there is no interval."""
    if value is None:
        return NONE
    return f"{value:.3f}" + (f" [{ci95[0]:.3f}, {ci95[1]:.3f}]" if ci95 else "")


def signed(value: float) -> str:
    """Return a difference with its sign, none where it rounds to nothing."""
    return f"{value:+.3f}" if abs(value) >= 0.0005 else "0.000"


def difference(compared: Record | None) -> str:
    """Return a signed difference with its interval, without leading zeros that say nothing."""
    if compared is None or compared["value"] is None:
        return NONE
    ci95 = compared["ci95"]
    return signed(compared["value"]) + (f" [{signed(ci95[0])}, {signed(ci95[1])}]" if ci95 else "")


def verdict(compared: Record | None) -> str:
    return NONE if compared is None else compared["verdict"]


@dataclass(frozen=True)
class ResultTable:
    """The table of a bench for a terminal: as many columns as its width holds, none of them broken."""

    result: Record

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich import box
        from rich.table import Table

        rows, shown = self._rows(), self._columns()
        chosen = fitting(shown, rows, options.max_width)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        for column in chosen:
            table.add_column(column.heading, justify=column.align, no_wrap=True)
        for kind, record in rows:
            style = "dim" if kind == "paper" else None
            if kind == "paper" and record is published()[0]:
                table.add_section()
            table.add_row(*(_cell(column, kind, record) for column in chosen), style=style)
        yield table

    def _columns(self) -> tuple[Column, ...]:
        return columns([str(batch) for batch in self.result["settings"]["batches"]])

    def _rows(self) -> list[tuple[str, Record]]:
        return [("measured", r) for r in self.result["models"]] + [("paper", r) for r in published()]


def _cell(column: Column, kind: str, record: Record) -> str:
    if kind == "measured":
        return column.cell(record)
    text = column.of_paper(record)
    return f"paper: {text}" if column.published == "model" else text


def fitting(shown: tuple[Column, ...], rows: list[tuple[str, Record]], width: int) -> tuple[Column, ...]:
    """Leave out columns, the highest rank first, until the rest fits into `width` characters."""
    gap = 2  # one space of padding and one between columns
    widths = {c.heading: max(len(c.heading), *(len(_cell(c, kind, record)) for kind, record in rows)) for c in shown}
    while len(shown) > 2 and sum(widths[c.heading] + gap for c in shown) - gap > width:
        last = max(shown, key=lambda column: column.rank)
        shown = tuple(column for column in shown if column is not last)
    return shown


def write_csv(path: Path, result: Record) -> None:
    """Write a row a model, a column a figure, in SI-like units; empty where there is none."""
    rows = [flat(record) for record in result["models"]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def flat(record: Record) -> Record:
    """Return the figures of a record under plain column names, intervals as two columns."""
    row = {}
    for name in ("name", "path", "kind", "arch", "quantization", "runtime", "parent", "parameters", "macs"):
        row[name] = record[name]
    for name in ("size_bytes", "training_seconds", "load_ms", "peak_rss_mb"):
        row[name] = record[name]
    for batch, times in record["latency_us_per_stay"].items():
        row |= {f"latency_us_batch{batch}_{which}": value for which, value in times.items()}
    row |= _with_ends("auroc", record["auroc"]["value"], record["auroc"]["ci95"])
    row |= _with_ends("auprc", record["auprc"], record["auprc_ci95"])
    row |= _with_ends("brier", record["brier"], record["brier_ci95"])
    calibration = record["calibration"]
    row |= _with_ends("calibration_slope", calibration["slope"], calibration["slope_ci95"])
    row |= _with_ends("calibration_intercept", calibration["intercept"], calibration["intercept_ci95"])
    row["ece"] = calibration["ece"]
    for name, key in (("parent", "delta_auroc"), ("baseline", "delta_auroc_baseline"), ("floor", "delta_auroc_floor")):
        row |= _compared(name, record[key])
    change = record["risk_change"] or {}
    row |= {name: change.get(name) for name in ("max_abs_dp", "p999_abs_dp", "mean_abs_dp", "threshold", "crossing")}
    return row


def _compared(name: str, compared: Record | None) -> Record:
    compared = compared or {"vs": None, "value": None, "ci95": None, "verdict": None}
    row = {f"{name}_compared": compared["vs"]}
    row |= _with_ends(f"delta_auroc_{name}", compared["value"], compared["ci95"])
    return row | {f"delta_auroc_{name}_verdict": compared["verdict"]}


def _with_ends(name: str, value: float | None, ci95: list[float] | None) -> Record:
    low, high = ci95 or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
