"""The plots of a bench: which there are, and all of them written.

Comes in: the result of a bench. Goes out: PNG, SVG and CSV of each plot that has something to show.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mortcond.measure.plots import bars, curves, tradeoff, verdicts
from mortcond.measure.plots.files import NO_MATPLOTLIB, save, subplots, write_csv

Record = dict[str, Any]
Plot = tuple[Callable[[Record], list[Record]], Callable[[Any, list[Record], Record], Any]]

PLOTS: dict[str, Plot] = {
    "verdicts": (verdicts.rows_beside, verdicts.beside),
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


def write_all(folder: Path, result: Record) -> tuple[list[str], str | None]:
    """Write every plot that has something to show.

    Returns
    -------
    Their names, and why there are none (None: nothing is missing).
    """
    folder.mkdir()
    drawn, shown = [], []
    for name, (rows_of, draw) in PLOTS.items():
        rows = rows_of(result)
        if rows:
            write_csv(folder / f"{name}.csv", rows)
            drawn += save(folder / name, lambda draw=draw, rows=rows: draw(subplots, rows, result))
            shown.append(name)
    return (shown, None) if drawn or not shown else ([], NO_MATPLOTLIB)
