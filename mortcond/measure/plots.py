"""Plots: each as PNG and SVG, with the figures it shows as CSV beside it.

Comes in: the result of a bench. Goes out: files in a folder. Without matplotlib only the CSV files are written.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mortcond.measure import bars, curves, tradeoff
from mortcond.measure.style import GRID, INK, MUTED, PAPER

Record = dict[str, Any]
Plot = tuple[Callable[[Record], list[Record]], Callable[[Any, list[Record], Record], Any]]

PLOTS: dict[str, Plot] = {
    "tradeoff": (tradeoff.rows_of, tradeoff.against_size),
    "tradeoff_latency": (tradeoff.rows_of, tradeoff.against_latency),
    "fig3_learning_curves": (curves.learning_rows, curves.learning),
    "fig4_bars": (bars.bar_rows, bars.bars),
    "fig4a_auroc": (bars.bar_rows, bars.bars_auroc),
    "fig4b_size": (bars.bar_rows, bars.bars_size),
    "fig4c_latency": (bars.bar_rows, bars.bars_latency),
    "calibration": (curves.calibration_rows, curves.calibration),
    "decision": (curves.decision_rows, curves.decision),
    "risk_histograms": (curves.histogram_rows, curves.histograms),
}
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
NO_MATPLOTLIB = "matplotlib is not installed: the plots are left out (their figures are in plots/*.csv)."


def write_all(folder: Path, result: Record) -> tuple[list[str], str | None]:
    """Write every plot that has something to show.

    Returns
    -------
    Their names, and why there are none (None: nothing is missing).
    """
    folder.mkdir()
    pending = {}
    for name, (rows_of, draw) in PLOTS.items():
        rows = rows_of(result)
        if rows:
            _write_csv(folder / f"{name}.csv", rows)
            pending[name] = (rows, draw)
    try:
        from matplotlib import rc_context
    except ImportError:
        return [], NO_MATPLOTLIB
    with rc_context(STYLE):
        for name, (rows, draw) in pending.items():
            _save(draw(_subplots, rows, result), folder / name)
    return list(pending), None


def _subplots(
    down: int = 1, across: int = 1, *, figsize: tuple[float, float], layout: str | None = None, **shared: Any
):
    """Return a figure and its axes, as pyplot's function of that name, without pyplot's window and global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(down, across, **shared)


def _save(figure: Any, stem: Path) -> None:
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # it is laid out now; each saving would do it again
    common = {"bbox_inches": figure.get_tightbbox().padded(0.06)}
    figure.savefig(stem.with_suffix(".png"), dpi=160, metadata={"Software": "mortcond"}, **common)
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": "mortcond"}, **common)


def _write_csv(path: Path, rows: Sequence[Record]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
