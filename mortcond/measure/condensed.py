"""Figures of condensation: learning curves by share pruned (the paper's Fig. 3), and the trade-off of a search.

Comes in: histories, or the records of candidates. Goes out: PNG, SVG, and the figures they show as CSV.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mortcond.core.artifacts import atomic_directory
from mortcond.measure.plots import NO_MATPLOTLIB, STYLE
from mortcond.measure.style import COLOURS, INK, MARKERS, MUTED, PAPER

Record = dict[str, Any]


def write_learning_curves(folder: Path, parent: str, curves: dict[str, list[Record]]) -> list[str]:
    """Write `folder` with the AUROC by epoch of one model pruned to several degrees.

    Parameters
    ----------
    folder
        Replaced where it exists.
    parent
        Name of the unpruned model.
    curves
        The history of each, by the share that was pruned; "none" is the unpruned one.

    Returns
    -------
    The paths of the files that show it.
    """
    rows = [
        {"model": parent, "pruned": pruned} | {name: row.get(name) for name in ("epoch", "auroc_val", "auroc_test")}
        for pruned, history in curves.items()
        for row in history
    ]
    with atomic_directory(folder) as partial:
        write_csv(partial / "curves.csv", rows)
        drawn = save(partial / "curves", lambda pyplot: _learning(pyplot, parent, curves))
    return [str(folder / name) for name in ("curves.csv", *drawn)]


def _learning(pyplot: Any, parent: str, curves: dict[str, list[Record]]) -> Any:
    figure, axes = pyplot.subplots(figsize=(5.6, 3.5), layout="constrained")
    shades = pyplot.get_cmap("viridis")
    pruned = [name for name in curves if name != "none"]
    for name, history in curves.items():
        points = [(row["epoch"], row["auroc_test"]) for row in history if row.get("auroc_test") is not None]
        if not points:
            continue
        style = {"color": INK, "lw": 2.0, "ls": (0, (4, 2)), "label": f"{parent}, not pruned"}
        if name != "none":
            shade = shades(0.85 * pruned.index(name) / max(1, len(pruned) - 1))
            style = {"color": shade, "lw": 1.4, "label": f"{name} pruned"}
        axes.plot(*zip(*points, strict=True), **style)
    axes.set_xlabel("epoch")
    axes.set_ylabel("test AUROC")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=2.6)
    return figure


def write_tradeoff(folder: Path, records: list[Record], facts: Record) -> list[str]:
    """Write the trade-off of a search into `folder`, which exists: size against AUROC, latency as colour.

    Parameters
    ----------
    records
        Of candidates that were trained: name, arch, mode, bytes, latency_us, auroc, on_front.
    facts
        `baseline` (its name, bytes and auroc), `margin`, `max_bytes`, `chosen` (a name or None), `stays`.

    Returns
    -------
    The names of the files that show it.
    """
    columns = ("name", "arch", "mode", "parameters", "bytes", "latency_us", "auroc", "low", "verdict", "on_front")
    rows = [{name: record.get(name) for name in columns} for record in sorted(records, key=lambda r: r["bytes"])]
    write_csv(folder / "tradeoff.csv", rows)
    drawn = save(folder / "tradeoff", lambda pyplot: _tradeoff(pyplot, records, facts))
    return ["tradeoff.csv", *drawn]


def _tradeoff(pyplot: Any, records: list[Record], facts: Record) -> Any:
    from matplotlib.colors import LogNorm

    figure, axes = pyplot.subplots(figsize=(6.6, 4.2), layout="constrained")
    times = [record["latency_us"] for record in records]
    norm = LogNorm(min(times), max(max(times), 1.01 * min(times)))
    for arch in dict.fromkeys(record["arch"] for record in records):
        own = [record for record in records if record["arch"] == arch]
        points = ([r["bytes"] / 1000 for r in own], [r["auroc"] for r in own])
        style = {"marker": MARKERS.get(arch, "P")[0], "norm": norm, "cmap": "viridis", "s": 30, "label": arch}
        shown = axes.scatter(*points, c=[r["latency_us"] for r in own], edgecolors=PAPER, linewidths=0.5, **style)
    front = sorted((record["bytes"] / 1000, record["auroc"]) for record in records if record["on_front"])
    axes.step(*zip(*front, strict=True), where="post", color=MUTED, lw=1.0, zorder=0)
    _mark_limits(axes, records, facts)
    axes.set_xscale("log")
    _plain_log_ticks(axes)
    axes.set_xlabel("file size, KB (logarithmic)")
    axes.set_ylabel(f"AUROC on the validation split ({facts['stays']:,} stays)")
    figure.colorbar(shown, ax=axes, label="µs a stay, one at a time")
    axes.legend(loc="lower right", fontsize=8)
    return figure


def _mark_limits(axes: Any, records: list[Record], facts: Record) -> None:
    baseline = facts["baseline"]
    axes.axhline(baseline["auroc"], color=INK, lw=0.9)
    axes.axhline(baseline["auroc"] - facts["margin"], color=INK, lw=0.9, ls=(0, (3, 2)))
    place = {"textcoords": "offset points", "fontsize": 7, "color": INK}
    corner = (axes.get_xlim()[0], baseline["auroc"])
    axes.annotate(f"{baseline['name']}; dashed: less the margin {facts['margin']:g}", corner, (4, 3), **place)
    if facts["max_bytes"]:
        axes.axvline(facts["max_bytes"] / 1000, color=COLOURS["hlstm"], lw=1.0, ls=(0, (3, 2)))
    for record in records:
        if record["name"] == facts["chosen"]:
            point = (record["bytes"] / 1000, record["auroc"])
            axes.plot(*point, marker="o", ms=14, mfc="none", mec=COLOURS["hlstm"], mew=1.8)
            axes.annotate(record["name"], point, (10, 10), **(place | {"fontsize": 8, "fontweight": "bold"}))


def _plain_log_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def save(stem: Path, draw: Callable[[Any], Any]) -> list[str]:
    """Draw and save as PNG and SVG; return the names of the files, none where matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        stem.with_suffix(".txt").write_text(NO_MATPLOTLIB + "\n", encoding="utf-8")
        return []
    mpl.use("agg")
    from matplotlib import pyplot

    with mpl.rc_context(STYLE):
        figure = draw(pyplot)
        figure.savefig(stem.with_suffix(".png"), dpi=160, bbox_inches="tight", metadata={"Software": "mortcond"})
        figure.savefig(stem.with_suffix(".svg"), bbox_inches="tight", metadata={"Date": None, "Creator": "mortcond"})
        pyplot.close(figure)
    return [f"{stem.name}.png", f"{stem.name}.svg"]


def write_csv(path: Path, rows: list[Record]) -> None:
    """Write rows that all have the same keys."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
