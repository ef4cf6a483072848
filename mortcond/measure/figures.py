"""Figures of whole models: what accuracy costs in bytes, and the paper's Fig. 4, measured.

Comes in: the result of a bench. Goes out: rows of figures, and matplotlib drawings of them.
"""

from typing import Any

from mortcond.measure.style import ARCH_NAMES, INK, MUTED, PAPER, look

Record = dict[str, Any]
BAR_HEIGHT = 0.27  # inches a model


def bar_rows(result: Record) -> list[Record]:
    """Return a row a model: AUROC with its interval, bytes, and µs per stay at the first batch size."""
    batch = str(result["settings"]["batches"][0])
    rows = []
    for record in result["models"]:
        low, high = record["auroc"]["ci95"] or (None, None)
        row = {"model": record["label"], "auroc": record["auroc"]["value"], "auroc_low": low, "auroc_high": high}
        row |= {"size_bytes": record["size_bytes"], "latency_us": record["latency_us_per_stay"][batch]["p50"]}
        rows.append(row | {"batch": batch})
    return rows


def tradeoff_rows(result: Record) -> list[Record]:
    """Return the rows of the trade-off: as for the bars, models whose AUROC is defined."""
    return [row for row in bar_rows(result) if row["auroc"] is not None]


def tradeoff(pyplot: Any, rows: list[Record], result: Record) -> Any:
    """Draw AUROC against bytes on a logarithmic axis; the arrow of progress points up and left."""
    figure, axes = pyplot.subplots(figsize=(5.2, 3.9))
    looks = _looks(result)
    for row in rows:
        shape, kilobytes = looks[row["model"]], row["size_bytes"] / 1000
        face = PAPER if shape.hollow else shape.colour
        if row["auroc_low"] is not None:
            axes.plot(
                [kilobytes] * 2, [row["auroc_low"], row["auroc_high"]], color=shape.colour, lw=1, alpha=0.55, zorder=2
            )
        style = {"marker": shape.marker, "mfc": face, "mec": shape.colour, "mew": 1.6, "ms": 7.5, "ls": "none"}
        axes.plot(kilobytes, row["auroc"], zorder=3, **style)
    axes.set_xscale("log")
    axes.set_xlabel("file size, KB (logarithmic)")
    axes.set_ylabel("AUROC, 95 % interval")
    _plain_log_ticks(axes)
    _name_points(axes, rows)
    _legend(axes, result)
    return figure


def _name_points(axes: Any, rows: list[Record]) -> None:
    """Write each model's name beside its point, moved down where two names would cover each other."""
    axes.figure.canvas.draw()
    taken = []
    for row in sorted(rows, key=lambda row: -row["auroc"]):
        x, y = axes.transData.transform((row["size_bytes"] / 1000, row["auroc"]))
        width, height = 5.4 * len(row["model"]), 11.0
        left = x > axes.bbox.x0 + 0.6 * axes.bbox.width
        for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5):
            top = y + step * height
            box = (x - width - 8, x - 8, top) if left else (x + 8, x + width + 8, top)
            if not any(box[0] < t[1] and t[0] < box[1] and abs(box[2] - t[2]) < height for t in taken):
                break
        taken.append(box)
        offset = (-7 if left else 7, (box[2] - y) * 72 / axes.figure.dpi)
        style = {"textcoords": "offset points", "ha": "right" if left else "left", "va": "center", "fontsize": 7}
        axes.annotate(row["model"], (row["size_bytes"] / 1000, row["auroc"]), offset, color=INK, **style)


def _legend(axes: Any, result: Record) -> None:
    from matplotlib.lines import Line2D

    looks = {}
    for record in result["models"]:
        looks.setdefault(record["arch"], look(record))
    style = {"ls": "none", "ms": 6, "mew": 1.4}
    handles = [
        Line2D(
            [], [], marker=shape.marker, mfc=shape.colour, mec=shape.colour, label=ARCH_NAMES.get(arch, arch), **style
        )
        for arch, shape in looks.items()
    ]
    if any(look(record).hollow for record in result["models"]):
        handles.append(Line2D([], [], marker="o", mfc=PAPER, mec=MUTED, label="8-bit or 16-bit", **style))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, columnspacing=1.2)


def _plain_log_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def bars(pyplot: Any, rows: list[Record], result: Record) -> Any:
    """Draw the paper's Fig. 4: AUROC, size and time of every model, side by side."""
    height = 0.9 + BAR_HEIGHT * len(rows)
    figure, axes = pyplot.subplots(1, 3, figsize=(9.6, height), sharey=True, layout="constrained")
    for place, draw, letter in zip(axes, (_draw_auroc, _draw_size, _draw_latency), "abc", strict=True):
        draw(place, rows, result)
        place.set_title(f"({letter}) {place.get_title(loc='left')}", loc="left")
    return figure


def bars_auroc(pyplot: Any, rows: list[Record], result: Record) -> Any:
    """Draw panel (a) of the paper's Fig. 4 alone."""
    return _single(pyplot, rows, result, _draw_auroc)


def bars_size(pyplot: Any, rows: list[Record], result: Record) -> Any:
    """Draw panel (b) of the paper's Fig. 4 alone."""
    return _single(pyplot, rows, result, _draw_size)


def bars_latency(pyplot: Any, rows: list[Record], result: Record) -> Any:
    """Draw panel (c) of the paper's Fig. 4 alone."""
    return _single(pyplot, rows, result, _draw_latency)


def _single(pyplot: Any, rows: list[Record], result: Record, draw: Any) -> Any:
    figure, axes = pyplot.subplots(figsize=(4.6, 0.9 + BAR_HEIGHT * len(rows)), layout="constrained")
    draw(axes, rows, result)
    return figure


def _draw_auroc(axes: Any, rows: list[Record], result: Record) -> None:
    looks = _looks(result)
    for place, row in enumerate(rows):
        if row["auroc"] is None:
            axes.text(0.02, place, "not defined", va="center", color=MUTED, transform=axes.get_yaxis_transform())
            continue
        _bar(axes, place, row["auroc"] - 0.5, looks[row["model"]], left=0.5)
        end = row["auroc"]
        if row["auroc_low"] is not None:
            end = row["auroc_high"]
            axes.plot([row["auroc_low"], row["auroc_high"]], [place] * 2, color=INK, lw=1.2, solid_capstyle="butt")
        axes.text(max(end, 0.5) + 0.008, place, f"{row['auroc']:.3f}", va="center", fontsize=8)
    highest = max([row["auroc_high"] or row["auroc"] or 0.5 for row in rows])
    lowest = min([row["auroc_low"] or row["auroc"] or 0.5 for row in rows])
    axes.set_xlim(min(0.5, lowest), max(highest, 0.6) + 0.09)
    _finish_bars(axes, rows, "AUROC, from 0.5 (chance); line: 95 % interval")


def _draw_size(axes: Any, rows: list[Record], result: Record) -> None:
    _draw_amounts(axes, rows, result, [row["size_bytes"] / 1000 for row in rows], "file size, KB")


def _draw_latency(axes: Any, rows: list[Record], result: Record) -> None:
    title = f"time per stay, µs, {rows[0]['batch']} at a time"
    _draw_amounts(axes, rows, result, [row["latency_us"] for row in rows], title)


def _draw_amounts(axes: Any, rows: list[Record], result: Record, values: list[float], title: str) -> None:
    looks, largest = _looks(result), max(values)
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        _bar(axes, place, value, looks[row["model"]])
        text = format(value, ".1f" if value < 100 else ",.0f")
        axes.text(value + 0.02 * largest, place, text, va="center", fontsize=8)
    axes.set_xlim(0, 1.2 * largest)
    _finish_bars(axes, rows, title)


def _bar(axes: Any, place: int, value: float, shape: Any, left: float = 0.0) -> None:
    style = {"facecolor": PAPER if shape.hollow else shape.colour, "edgecolor": shape.colour, "linewidth": 1.2}
    axes.barh(place, value, left=left, height=0.66, hatch=shape.hatch if shape.hollow else "", **style)
    if shape.hatch and not shape.hollow:  # hatch lines in the colour of the page over the filled bar
        axes.barh(place, value, left=left, height=0.66, fill=False, hatch=shape.hatch, edgecolor=PAPER, linewidth=0)


def _finish_bars(axes: Any, rows: list[Record], title: str) -> None:
    axes.set_yticks(range(len(rows)), [row["model"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left")


def _looks(result: Record) -> dict[str, Any]:
    return {record["label"]: look(record) for record in result["models"]}
