"""Drawings as files: one look for all of them, PNG and SVG, with the figures they show as CSV beside.

Comes in: rows of figures and a function that draws them. Goes out: files. Without matplotlib only the CSV files.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mortcond.measure.plots.style import GRID, INK, MUTED, PAPER

Record = dict[str, Any]
STYLE = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "mortcond",
}
NO_MATPLOTLIB = "matplotlib is not installed: the plots are left out (their figures stand as CSV in their place)."


def subplots(down: int = 1, across: int = 1, *, figsize: tuple[float, float], layout: str | None = None, **shared: Any):
    """Return a figure and its axes, as pyplot's function of that name, without pyplot's window and global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(down, across, **shared)


def save(stem: Path, draw: Callable[[], Any]) -> list[str]:
    """Draw and save as PNG and SVG; return the names of the files, none where matplotlib is not installed."""
    try:
        from matplotlib import rc_context
    except ImportError:
        return []
    with rc_context(STYLE):
        figure = draw()
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # it is laid out now; each saving would do it again
        common = {"bbox_inches": figure.get_tightbbox().padded(0.06)}
        figure.savefig(stem.with_suffix(".png"), dpi=160, metadata={"Software": "mortcond"}, **common)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": "mortcond"}, **common)
    return [f"{stem.name}.png", f"{stem.name}.svg"]


def write_csv(path: Path, rows: Sequence[Record]) -> None:
    """Write rows that all have the same keys."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
