"""Figures of condensation: learning curves by share pruned (the paper's Fig. 3), and the trade-off of a search.

Comes in: histories, or the records of candidates. Goes out: PNG, SVG, and the figures they show as CSV.
"""

from pathlib import Path
from typing import Any

from mortcond.core.artifacts import atomic_directory
from mortcond.measure.plots.files import save, subplots, write_csv
from mortcond.measure.plots.style import ACCENT, ARCH_NAMES, INK, MARKERS, MUTED, PAPER

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
        drawn = save(partial / "curves", lambda: _learning(parent, curves))
    return [str(folder / name) for name in ("curves.csv", *drawn)]


def _learning(parent: str, curves: dict[str, list[Record]]) -> Any:
    from matplotlib import colormaps

    figure, axes = subplots(figsize=(5.6, 3.5), layout="constrained")
    shades = colormaps["viridis"]
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
        `baseline` (its name, bytes and auroc), `margin`, `max_bytes`, `chosen` and `nearest` (a name or None), `stays`.

    Returns
    -------
    The names of the files that show it.
    """
    columns = ("name", "arch", "mode", "parameters", "bytes", "latency_us", "auroc", "low", "verdict", "on_front")
    rows = [{name: record.get(name) for name in columns} for record in sorted(records, key=lambda r: r["bytes"])]
    write_csv(folder / "tradeoff.csv", rows)
    drawn = save(folder / "tradeoff", lambda: _tradeoff(records, facts))
    return ["tradeoff.csv", *drawn]


def _tradeoff(records: list[Record], facts: Record) -> Any:
    figure, axes = subplots(figsize=(6.8, 4.4), layout="constrained")
    axes.set_xscale("log")
    times = [record["latency_us"] for record in records if record["latency_us"] is not None] or [1.0]
    colours = _colours(min(times), max(times))
    for record in records:
        time_us = record["latency_us"]
        colour = MUTED if time_us is None else colours.to_rgba(time_us)
        style = {"marker": MARKERS.get(record["arch"], "P")[0], "mfc": colour, "mec": PAPER, "mew": 0.5, "ms": 6}
        axes.plot(record["bytes"] / 1000, record["auroc"], ls="none", zorder=3, **style)
    front = sorted((record["bytes"] / 1000, record["auroc"]) for record in records if record["on_front"])
    axes.step(*zip(*front, strict=True), where="post", color=MUTED, lw=1.0, zorder=1)
    _mark_baseline(axes, facts)
    if facts["max_bytes"]:
        axes.axvline(facts["max_bytes"] / 1000, color=ACCENT, lw=1.0, ls=(0, (3, 2)))
    _mark_answer(axes, records, facts)
    _plain_ticks(axes.xaxis)
    axes.set_xlabel("file size, KB (logarithmic)")
    axes.set_ylabel(f"AUROC on the validation split ({facts['stays']:,} stays)")
    _plain_ticks(figure.colorbar(colours, ax=axes, label="µs a stay, one at a time (logarithmic)").ax.yaxis)
    _name_shapes(axes, [record["arch"] for record in records])
    return figure


def _colours(low: float, high: float) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    return ScalarMappable(LogNorm(low, max(high, 1.01 * low)), "viridis")


def _mark_baseline(axes: Any, facts: Record) -> None:
    baseline = facts["baseline"]
    axes.plot(baseline["bytes"] / 1000, baseline["auroc"], marker="*", ms=11, mfc=INK, mec=INK, ls="none", zorder=4)
    axes.axhline(baseline["auroc"], color=INK, lw=0.9, zorder=0)
    axes.axhline(baseline["auroc"] - facts["margin"], color=INK, lw=0.9, ls=(0, (3, 2)), zorder=0)
    text = f"baseline {baseline['name']} (star); dashed: {facts['margin']:g} below it"
    text += f"; orange: {facts['max_bytes']:,} bytes" if facts["max_bytes"] else ""
    text += "; bar: 95 % interval of the difference"
    axes.set_title(text, loc="left", fontsize=7, color=INK)  # above the points, where no name can lie on it


def _mark_answer(axes: Any, records: list[Record], facts: Record) -> None:
    """Ring and name the chosen file, or name the nearest, with the interval that decided."""
    for record in records:
        if record["name"] not in (facts["chosen"], facts["nearest"]):
            continue
        size, chosen = record["bytes"] / 1000, record["name"] == facts["chosen"]
        ends = record["difference"]["ci95"] or (0.0, 0.0)
        axes.plot([size] * 2, [facts["baseline"]["auroc"] + end for end in ends], color=INK, lw=1.2, zorder=2)
        if chosen:
            axes.plot(size, record["auroc"], marker="o", ms=14, mfc="none", mec=ACCENT, mew=1.8, zorder=5)
        style = {"fontsize": 8, "fontweight": "bold" if chosen else "normal", "color": INK}
        name = record["name"] if chosen else f"nearest: {record['name']}"
        axes.annotate(name, (size, record["auroc"]), (10, 10), textcoords="offset points", zorder=5, **style)


def _name_shapes(axes: Any, archs: list[str]) -> None:
    from matplotlib.lines import Line2D

    shapes = [(ARCH_NAMES.get(arch, arch), MARKERS.get(arch, "P")[0]) for arch in dict.fromkeys(archs)]
    handles = [Line2D([], [], marker=marker, color=MUTED, ls="none", label=name) for name, marker in shapes]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, columnspacing=1.4)


def _plain_ticks(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
