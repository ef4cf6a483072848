"""Trade-off: what accuracy costs in bytes, or in time; a line from each model to what was made of it.

Comes in: the result of a bench. Goes out: rows of figures, and matplotlib drawings of them.
"""

from typing import Any

from mortcond.measure.plots.bars import bar_rows
from mortcond.measure.plots.style import ARCH_NAMES, INK, MUTED, PAPER, looks

Record = dict[str, Any]
POINTS_A_LETTER = 4.1  # of the names, at their size
NAME_SIZE, LINE_HEIGHT = 7, 8.5  # points
STEPS = (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6)  # lines up or down that a name may move


def rows_of(result: Record) -> list[Record]:
    """Return a row a model whose AUROC is defined: see `bar_rows`."""
    return [row for row in bar_rows(result) if row["auroc"] is not None]


def against_size(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw AUROC against bytes: better is up and to the left."""
    places = {row["model"]: row["size_bytes"] / 1000 for row in rows}
    return _draw(subplots, rows, result, places, "file size, KB (logarithmic)")


def against_latency(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw AUROC against time per stay: better is up and to the left."""
    places = {row["model"]: row["latency_us"] for row in rows}
    return _draw(subplots, rows, result, places, f"time per stay, µs, {rows[0]['batch']} at a time (logarithmic)")


def _draw(subplots: Any, rows: list[Record], result: Record, places: dict[str, float], x_label: str) -> Any:
    figure, axes = subplots(figsize=(5.2, 3.9))
    shapes, heights = looks(result), {row["model"]: row["auroc"] for row in rows}
    axes.set_xscale("log")
    for record in result["models"]:
        child, parent = record["label"], (record["delta_auroc"] or {}).get("vs")
        if child in places and parent in places:
            ends = {"xytext": (places[parent], heights[parent]), "xy": (places[child], heights[child])}
            axes.annotate("", **ends, arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.7, "ls": (0, (1, 2))})
    for row in rows:
        _point(axes, row, places[row["model"]], shapes[row["model"]])
    low, high = min(places.values()), max(places.values())
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.set_xlabel(x_label)
    axes.set_ylabel("AUROC, 95 % interval")
    _plain_ticks(axes)
    _name_points(axes, heights, places)
    _legend(axes, result, shapes)
    return figure


def _point(axes: Any, row: Record, x: float, shape: Any) -> None:
    if row["auroc_low"] is not None:
        ends = [row["auroc_low"], row["auroc_high"]]
        axes.plot([x, x], ends, color=shape.colour, lw=1, alpha=0.55, zorder=2)
    style = {"marker": shape.marker, "mfc": PAPER if shape.hollow else shape.colour, "mec": shape.colour}
    axes.plot(x, row["auroc"], mew=1.5, ms=7, ls="none", zorder=3, **style)


def _name_points(axes: Any, heights: dict[str, float], places: dict[str, float]) -> None:
    """Write each model's name beside its point, moved up or down where it would cover a point or another name."""
    axes.figure.canvas.draw()
    to_points = 72 / axes.figure.dpi
    points = {n: axes.transData.transform((places[n], heights[n])) * to_points for n in heights}
    middle = (axes.bbox.x0 + 0.55 * axes.bbox.width) * to_points
    taken = [(x - 5, x + 5, y) for x, y in points.values()]
    for name in sorted(points, key=lambda name: -heights[name]):
        x, y = points[name]
        left, width = x > middle, POINTS_A_LETTER * len(name)
        span = (x - width - 7, x - 7) if left else (x + 7, x + width + 7)
        free = (y + step * LINE_HEIGHT for step in STEPS if not _covers(span, y + step * LINE_HEIGHT, taken))
        level = next(free, y)
        taken.append((*span, level))
        style = {"textcoords": "offset points", "ha": "right" if left else "left", "va": "center", "zorder": 4}
        style["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.4, "alpha": 0.8}
        if level != y:  # a thin line leads from a name that was moved to its point
            style["arrowprops"] = {"arrowstyle": "-", "lw": 0.6, "color": INK, "alpha": 0.6, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(name, (places[name], heights[name]), (-7 if left else 7, level - y), size=NAME_SIZE, **style)


def _covers(span: tuple[float, float], y: float, taken: list[tuple[float, float, float]]) -> bool:
    return any(span[0] < right and left < span[1] and abs(y - level) < LINE_HEIGHT for left, right, level in taken)


def _legend(axes: Any, result: Record, shapes: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D

    first = {}
    for record in result["models"]:
        first.setdefault(record["arch"], shapes[record["label"]])
    style = {"ls": "none", "ms": 6, "mew": 1.4}
    handles = [
        Line2D([], [], marker=shape.marker, color=shape.colour, label=ARCH_NAMES.get(arch, arch), **style)
        for arch, shape in first.items()
    ]
    if any(shape.hollow for shape in shapes.values()):
        handles.append(Line2D([], [], marker="o", mfc=PAPER, mec=INK, label="8- or 16-bit weights", **style))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, columnspacing=1.2)


def _plain_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
