"""Bars: the paper's Fig. 4, measured: AUROC, size and time of every model.

Comes in: the result of a bench. Goes out: rows of figures, and matplotlib drawings of them.
"""

from typing import Any

from mortcond.measure.plots.style import INK, MUTED, PAPER, looks

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


def bars(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw the paper's Fig. 4: AUROC, size and time of every model, side by side."""
    height = 0.9 + BAR_HEIGHT * len(rows)
    figure, axes = subplots(1, 3, figsize=(9.6, height), sharey=True, layout="constrained")
    for place, draw, letter in zip(axes, (_draw_auroc, _draw_size, _draw_latency), "abc", strict=True):
        draw(place, rows, result)
        place.set_title(f"({letter}) {place.get_title(loc='left')}", loc="left")
    return figure


def bars_auroc(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw panel (a) of the paper's Fig. 4 alone."""
    return _single(subplots, rows, result, _draw_auroc)


def bars_size(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw panel (b) of the paper's Fig. 4 alone."""
    return _single(subplots, rows, result, _draw_size)


def bars_latency(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw panel (c) of the paper's Fig. 4 alone."""
    return _single(subplots, rows, result, _draw_latency)


def _single(subplots: Any, rows: list[Record], result: Record, draw: Any) -> Any:
    figure, axes = subplots(figsize=(4.6, 0.9 + BAR_HEIGHT * len(rows)), layout="constrained")
    draw(axes, rows, result)
    return figure


def _draw_auroc(axes: Any, rows: list[Record], result: Record) -> None:
    shapes = looks(result)
    for place, row in enumerate(rows):
        if row["auroc"] is None:
            axes.text(0.02, place, "not defined", va="center", color=MUTED, transform=axes.get_yaxis_transform())
            continue
        _bar(axes, place, row["auroc"] - 0.5, shapes[row["model"]], left=0.5)
        end = row["auroc"]
        if row["auroc_low"] is not None:
            end = row["auroc_high"]
            axes.plot([row["auroc_low"], row["auroc_high"]], [place] * 2, color=INK, lw=1.2, solid_capstyle="butt")
        axes.text(max(end, 0.5) + 0.008, place, f"{row['auroc']:.3f}", va="center", fontsize=8)
    highest = max(row["auroc_high"] or row["auroc"] or 0.5 for row in rows)
    lowest = min(row["auroc_low"] or row["auroc"] or 0.5 for row in rows)
    axes.set_xlim(min(0.5, lowest), max(highest, 0.6) + 0.09)
    _finish_bars(axes, rows, "AUROC, 95 % interval")


def _draw_size(axes: Any, rows: list[Record], result: Record) -> None:
    _draw_amounts(axes, rows, result, [row["size_bytes"] / 1000 for row in rows], "file size, KB")


def _draw_latency(axes: Any, rows: list[Record], result: Record) -> None:
    title = f"µs a stay, {rows[0]['batch']} at a time"
    _draw_amounts(axes, rows, result, [row["latency_us"] for row in rows], title)


def _draw_amounts(axes: Any, rows: list[Record], result: Record, values: list[float], title: str) -> None:
    shapes, largest = looks(result), max(values)
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        _bar(axes, place, value, shapes[row["model"]])
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
