"""Curves: learning (the paper's Fig. 3), calibration, decision, and the risks of those who died and who did not.

Comes in: the result of a bench. Goes out: rows of figures, and matplotlib drawings of them.
"""

from typing import Any

from mortcond.measure.plots.style import INK, MUTED, PAPER, looks

Record = dict[str, Any]
PANELS_A_ROW = 3
SPLITS = ("auroc_train", "auroc_val", "auroc_test")


def learning_rows(result: Record) -> list[Record]:
    """Return a row for each model and epoch: the AUROC of the splits, as training wrote them."""
    rows = []
    for record in result["models"]:
        for epoch in record["history"] if record["runtime"] == "litert" else ():
            if "epoch" in epoch and any(name in epoch for name in SPLITS):
                row = {"model": record["label"], "epoch": int(epoch["epoch"])}
                rows.append(row | {name: epoch.get(name) for name in SPLITS})
    return rows


def learning(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw the paper's Fig. 3: test AUROC by epoch, a line a model."""
    figure, axes = subplots(figsize=(5.2, 3.4), layout="constrained")
    shapes = looks(result)
    for model in dict.fromkeys(row["model"] for row in rows):
        points = [(row["epoch"], row["auroc_test"]) for row in rows if row["model"] == model and row["auroc_test"]]
        if points:
            shape = shapes[model]
            style = {"color": shape.colour, "ls": shape.dash, "marker": shape.marker, "ms": 3.5, "lw": 1.5}
            axes.plot(*zip(*points, strict=True), label=model, mfc=PAPER, **style)
    axes.set_xlabel("epoch")
    axes.set_ylabel("test AUROC")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="best", handlelength=3.2)
    return figure


def calibration_rows(result: Record) -> list[Record]:
    """Return a row for each model and bin."""
    return [
        {"model": record["label"]} | part for record in result["models"] for part in record["curves"]["calibration"]
    ]


def calibration(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw a small panel a model: death rate against mean risk, in bins of equal numbers of stays."""
    shapes = looks(result)
    highest = min(1.0, 1.06 * max(max(row["risk"], row["death_rate"]) for row in rows))
    slopes = {record["label"]: record["calibration"]["slope"] for record in result["models"]}

    def draw(axes: Any, model: str) -> None:
        own = [row for row in rows if row["model"] == model]
        shape = shapes[model]
        axes.plot([0, highest], [0, highest], color=MUTED, lw=0.9, ls=(0, (2, 2)))
        for row in own:
            axes.plot([row["risk"]] * 2, wilson(row["deaths"], row["stays"]), color=shape.colour, lw=0.9, alpha=0.6)
        style = {"color": shape.colour, "marker": shape.marker, "ms": 3.5, "lw": 1.2, "mfc": _face(shape)}
        axes.plot([row["risk"] for row in own], [row["death_rate"] for row in own], **style)
        axes.set_xlim(0, highest)
        axes.set_ylim(0, highest)
        if slopes[model] is not None:
            axes.text(0.05, 0.9, f"slope {slopes[model]:.2f}", transform=axes.transAxes, fontsize=7.5, color=MUTED)

    return _panels(subplots, list(shapes), draw, "mean predicted risk", "deaths, share")


def wilson(deaths: int, stays: int) -> list[float]:
    """Return Wilson's 95 % interval of a share."""
    z, share = 1.959964, deaths / stays
    centre = (share + z * z / (2 * stays)) / (1 + z * z / stays)
    half = z * ((share * (1 - share) + z * z / (4 * stays)) / stays) ** 0.5 / (1 + z * z / stays)
    return [max(0.0, centre - half), min(1.0, centre + half)]


def decision_rows(result: Record) -> list[Record]:
    """Return a row a threshold: net benefit of acting on none, on all, and by each model; no rows where none died."""
    if not result["dataset"]["events"]:
        return []
    reference = result["decision"]
    rows = []
    for index, threshold in enumerate(reference["thresholds"]):
        row = {"threshold": threshold, "act_on_none": 0.0, "act_on_all": reference["act_on_all"][index]}
        rows.append(row | {r["label"]: r["curves"]["net_benefit"][index] for r in result["models"]})
    return rows


def decision(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw a panel for each uncondensed model, with those that come from it."""
    shapes, families = looks(result), _families(result)
    thresholds = [row["threshold"] for row in rows]
    highest = max(max(row[name] for name in row if name != "threshold") for row in rows)

    def draw(axes: Any, family: str) -> None:
        axes.plot(thresholds, [row["act_on_all"] for row in rows], color=MUTED, lw=0.9, ls=(0, (2, 2)))
        axes.axhline(0, color=MUTED, lw=0.9)
        for model in families[family]:
            shape = shapes[model]
            style = {"color": shape.colour, "ls": shape.dash, "lw": 1.8 if model == family else 1.2}
            axes.plot(thresholds, [row[model] for row in rows], label=model, **style)
        axes.set_xlim(0, thresholds[-1])
        axes.set_ylim(-0.15 * highest, 1.1 * highest)
        axes.legend(fontsize=6.5, loc="upper right", handlelength=3, borderpad=0)

    return _panels(subplots, list(families), draw, "risk threshold", "net benefit", size=2.5, a_row=2)


def _families(result: Record) -> dict[str, list[str]]:
    """Return, for each model that nothing measured stands behind, itself and those that come from it."""
    families: dict[str, list[str]] = {}
    for record in result["models"]:
        compared = record["delta_auroc_baseline"] or record["delta_auroc"]
        families.setdefault(compared["vs"] if compared else record["label"], []).append(record["label"])
    return families


def histogram_rows(result: Record) -> list[Record]:
    """Return a row for each model and bin of risk: how many survived and how many died."""
    rows = []
    for record in result["models"]:
        counts = record["curves"]["histogram"]
        ends = zip(counts["edges"], counts["edges"][1:], counts["survived"], counts["died"], strict=False)
        rows += [
            {"model": record["label"], "from": low, "to": high, "survived": survived, "died": died}
            for low, high, survived, died in ends
        ]
    return rows


def histograms(subplots: Any, rows: list[Record], result: Record) -> Any:
    """Draw a small panel a model: the share of survivors (upwards) and of deaths (downwards) at each risk."""
    shapes, dataset = looks(result), result["dataset"]
    deaths, survivors = max(dataset["events"], 1), max(dataset["n"] - dataset["events"], 1)
    highest = max(max(row["survived"] / survivors, row["died"] / deaths) for row in rows)

    def draw(axes: Any, model: str) -> None:
        own = [row for row in rows if row["model"] == model]
        left, width = [row["from"] for row in own], own[0]["to"] - own[0]["from"]
        style = {"width": width, "align": "edge", "linewidth": 0.5, "edgecolor": shapes[model].colour}
        axes.bar(left, [row["survived"] / survivors for row in own], facecolor=PAPER, **style)
        axes.bar(left, [-row["died"] / deaths for row in own], facecolor=shapes[model].colour, **style)
        axes.axhline(0, color=INK, lw=0.7)
        axes.set_xlim(0, 1)
        axes.set_ylim(-1.1 * highest, 1.1 * highest)
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        axes.text(0.97, 0.86, "survived", transform=axes.transAxes, ha="right", fontsize=7, color=MUTED)
        axes.text(0.97, 0.08, "died", transform=axes.transAxes, ha="right", fontsize=7, color=MUTED)

    return _panels(subplots, list(shapes), draw, "predicted risk", "share of stays")


def _panels(
    subplots: Any,
    names: list[str],
    draw: Any,
    x_label: str,
    y_label: str,
    size: float = 1.75,
    a_row: int = PANELS_A_ROW,
) -> Any:
    """Draw one panel a name on common axes."""
    a_row = min(a_row, len(names))
    down = -(-len(names) // a_row)
    shape = {"figsize": (1.08 * size * a_row, size * down), "sharex": True, "sharey": True, "squeeze": False}
    figure, axes = subplots(down, a_row, layout="constrained", **shape)
    places = axes.ravel()
    for place, name in zip(places, names, strict=False):
        draw(place, name)
        place.set_title(name, fontsize=7.5)
        place.tick_params(labelsize=7)
    for place in places[len(names) :]:
        place.set_visible(False)
    for place in places[max(0, len(names) - a_row) : len(names)]:
        place.tick_params(labelbottom=True)  # also above an empty place of the last row
    figure.supxlabel(x_label, fontsize=8.5)
    figure.supylabel(y_label, fontsize=8.5)
    return figure


def _face(shape: Any) -> str:
    return PAPER if shape.hollow else shape.colour
