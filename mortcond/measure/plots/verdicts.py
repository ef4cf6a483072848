"""Verdicts of a cross-validation: each form's difference to its baseline, against the loss that would be accepted.

Comes in: the result of a validation. Goes out: verdicts.png, .svg and .csv. A diamond is the difference, a thick line
its own 95 % interval, a tick the lower bound that holds for all forms together: right of the margin is "not inferior".
"""

from pathlib import Path
from typing import Any

from mortcond.measure.plots.files import save, subplots, write_csv
from mortcond.measure.plots.style import COLOURS, INK, MUTED, PAPER

Record = dict[str, Any]
ROW_HEIGHT = 0.27  # inches a form


def write(folder: Path, result: Record) -> list[str]:
    """Write the plot and its figures; return the names of the files, none where nothing was compared."""
    rows = rows_of(result)
    if not rows:
        return []
    write_csv(folder / "verdicts.csv", rows)
    return ["verdicts.csv", *save(folder / "verdicts", lambda: _draw(rows, result))]


def rows_beside(result: Record) -> list[Record]:
    """Return the rows for the report of a bench; none where no validation stands beside it."""
    return rows_of(result["validation"]) if result["validation"] else []


def beside(_: Any, rows: list[Record], result: Record) -> Any:
    """Draw the verdicts for the report of a bench."""
    return _draw(rows, result["validation"])


def rows_of(result: Record) -> list[Record]:
    """Return a row for each form that has a baseline."""
    rows = []
    for record in result["forms"]:
        compared = record["against"]["baseline"]
        if compared and compared["ci95"]:
            low, high = compared["ci95"]
            row = {"form": record["name"], "arch": record["arch"], "baseline": compared["vs"]}
            row |= {"difference": compared["value"], "low": low, "high": high, "bound": compared["low"]}
            rows.append(row | {"rounded": record["quantization"] != "float32", "verdict": compared["verdict"]})
    return rows


def _draw(rows: list[Record], result: Record) -> Any:
    figure, axes = subplots(figsize=(6.4, 1.0 + ROW_HEIGHT * len(rows)), layout="constrained")
    axes.axvline(0, color=MUTED, lw=0.9)
    axes.axvline(-result["margin"], color=INK, lw=1.0, ls=(0, (3, 2)))
    for place, row in enumerate(rows):
        colour = COLOURS.get(row["arch"], COLOURS[None])
        axes.plot([row["low"], row["high"]], [place] * 2, color=colour, lw=2.2, solid_capstyle="butt", zorder=2)
        if row["bound"] is not None:
            axes.plot([row["bound"], row["low"]], [place] * 2, color=colour, lw=0.9, zorder=2)
            axes.plot(row["bound"], place, marker="|", ms=9, mew=1.6, color=colour, zorder=3)
        style = {"mfc": PAPER if row["rounded"] else colour, "mec": colour, "mew": 1.3}
        axes.plot(row["difference"], place, marker="D", ms=5, ls="none", zorder=4, **style)
        axes.annotate(row["verdict"].split(" with ")[0], (1.01, place), xycoords=("axes fraction", "data"), va="center",
                      fontsize=7.5, color=INK, annotation_clip=False)  # fmt: skip
    axes.set_yticks(range(len(rows)), [f"{row['form']} to {row['baseline']}" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"difference of AUROC; dashed: a loss of {result['margin']:g}")
    return figure
