"""The sections of the report, in words that a clinician knows.

Comes in: the result of a bench and the folder of its plots. Goes out: markup; an empty string where there is nothing to
show.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mortcond.measure.answer import rounded
from mortcond.measure.markup import estimate, facts, number, paragraph, plot_grid, table, text, verdict
from mortcond.measure.tables import PAPER_NOTE, latency, published

Record = dict[str, Any]
SHORT_HASH = 10
LIMITS = (
    "This is research software. It is not a medical device, has not been certified as one, and must not decide about "
    "the care of a patient.",
    "A model is measured on stays like those it was trained on. At another hospital, in another year, or for patients "
    "who are rare here, it can be worse; measure it there before anything else (mortcond preprocess --apply).",
    "The models see what was charted in the first 48 hours. What is measured, and how often, is itself a decision of "
    "the staff: a model can learn habits of care instead of illness.",
    "Patients who died or left within the 48 hours are not among the stays; the risks say nothing about them.",
    "“Not inferior” is said of this margin and these stays. It does not say that no patient's risk changed: see the "
    "largest change and the stays that cross the threshold.",
    "Subgroups are small; differences between them are to be looked into, not concluded from.",
)


def cards(result: Record) -> str:
    """Return three headline numbers of the model that the answer speaks of, beside the model it comes from."""
    chosen = _named(result, result["answer"]["model"])
    if chosen is None:
        return ""
    baseline, batch = _named(result, chosen["delta_auroc_baseline"]["vs"]), _first_batch(result)
    entries = (
        ("File size", f"{chosen['size_bytes'] / 1000:,.1f} KB", f"{baseline['size_bytes'] / 1000:,.1f} KB"),
        ("Time per stay", f"{latency(chosen, batch)} µs", f"{latency(baseline, batch)} µs"),
        ("AUROC", number(chosen["auroc"]["value"], ".3f"), number(baseline["auroc"]["value"], ".3f")),
        ("Largest change of a risk", number(chosen["max_abs_dp"], ".3f"), None),
    )
    cells = (_card(name, value, _beside(was, chosen, baseline)) for name, value, was in entries)
    return f'<dl class="cards">{"".join(cells)}</dl>'


def _card(name: str, value: str, beside: str) -> str:
    shown = f'<dd class="figure">{text(value)}</dd><dd class="beside">{beside}</dd>'
    return f"<div><dt>{text(name)}</dt>{shown}</div>"


def _beside(was: str | None, chosen: Record, baseline: Record) -> str:
    if was is None:
        return f"against {text(chosen['delta_auroc']['vs'])}" if chosen["delta_auroc"] else ""
    return f"{text(baseline['label'])}: {text(was)}"


def models(result: Record, plots: Path) -> str:
    """Return the columns of the paper's Tables II and III, measured and as published."""
    batches = [str(batch) for batch in result["settings"]["batches"]]
    headings = ["Model", "AUROC [95 % interval]", "Size, KB", f"µs per stay, {batches[0]} at a time"]
    headings += [f"{batch} at a time" for batch in batches[1:]]
    headings += ["Parameters", "MACs", "Training, s", "Load, ms", "Peak memory, MB"]
    rows = [(_chosen(result, record), _model_cells(record, batches)) for record in result["models"]]
    rows.append(("group", [text(f"{PAPER_NOTE[0].upper()}{PAPER_NOTE[1:]}")]))
    for row in published():
        cells = [text(row["model"]), number(row["auroc"], ".3f"), number(row["size_kb"]), number(row["latency_us"])]
        cells += ["–"] * (len(batches) - 1)
        rows.append(("paper", [*cells, number(row["parameters"]), "–", number(row["training_seconds"]), "–", "–"]))
    words = "Each model ran from its .tflite file in a process of its own. AUROC: the chance that a stay that ended in "
    words += "death has the higher risk of a pair; 0.5 is a coin, 1 is perfect. MACs: multiply-accumulates of one stay."
    return paragraph(words, "lead") + table(headings, rows)


def _model_cells(record: Record, batches: list[str]) -> list[str]:
    cells = [text(record["label"]), estimate(record["auroc"]["value"], record["auroc"]["ci95"])]
    cells += [number(record["size_bytes"] / 1000, ",.1f")] + [latency(record, batch) for batch in batches]
    cells += [number(record["parameters"]), number(record["macs"]), number(record["training_seconds"], ",.1f")]
    return [*cells, number(record["load_ms"], ",.1f"), number(record["peak_rss_mb"], ",.0f")]


def comparisons(result: Record, plots: Path) -> str:
    """Return what was lost against the parent, the uncondensed model and the linear floor, and whose risk changed."""
    margin = result["settings"]["margin"]
    rows = [(_chosen(result, r), _comparison_cells(r)) for r in result["models"] if _compared(r)]
    if not rows:
        return ""
    words = f"Differences of AUROC on the same stays, with 95 % intervals. A loss of {margin:g} would be accepted. "
    words += "Not inferior: the whole interval lies above that loss. Inferior: the whole of it lies below. "
    words += "Otherwise these stays cannot tell, and the last column says how many would show that nothing was lost."
    headings = ["Model", "Against its parent", "Against the uncondensed model", "Against linear"]
    headings += ["Largest change of a risk", "Stays crossing the threshold", "Stays needed"]
    return paragraph(words, "lead") + table(headings, rows, textual=(1, 2, 3))


def _compared(record: Record) -> bool:
    return any(record[key] for key in ("delta_auroc", "delta_auroc_baseline", "delta_auroc_floor"))


def _comparison_cells(record: Record) -> list[str]:
    parent, baseline, floor = (record[k] for k in ("delta_auroc", "delta_auroc_baseline", "delta_auroc_floor"))
    change = record["risk_change"]
    crossing = "–"
    if change:
        crossing = f"{change['crossing']:,} <span class='ci'>at {number(change['threshold'], '.2f')}</span>"
    same = parent and baseline and parent["vs"] == baseline["vs"]
    cells = [text(record["label"]), _difference(parent), "the same" if same else _difference(baseline)]
    cells += [_difference(floor, named=False), number(record["max_abs_dp"], ".3f"), crossing]
    needed = (parent or {}).get("stays_needed") or (baseline or {}).get("stays_needed")
    return [*cells, f"about {number(rounded(needed))}" if needed else "–"]


def _difference(compared: Record | None, named: bool = True) -> str:
    if compared is None:
        return "–"
    words = verdict(compared) + (f" <span class='ci'>to {text(compared['vs'])}</span>" if named else "")
    return f"{estimate(compared['value'], compared['ci95'], '+.3f')}<small>{words}</small>"


def tradeoffs(result: Record, plots: Path) -> str:
    """Return the trade-off plots."""
    words = "Each mark is a model, with its 95 % interval; dotted lines lead from a model to what was made of it. "
    shown = (
        ("tradeoff", "AUROC against file size", words + "Better is up and to the left."),
        ("tradeoff_latency", "AUROC against time per stay", words + "Better is up and to the left."),
    )
    return plot_grid(plots, shown)


def bars(result: Record, plots: Path) -> str:
    """Return the paper's Fig. 4, measured."""
    shown = (
        ("fig4a_auroc", "AUROC", "Bars begin at 0.5, a coin; the line is the 95 % interval."),
        ("fig4b_size", "File size", "Bytes of the file that is deployed, in KB (1,000 bytes)."),
        ("fig4c_latency", "Time per stay", "Median, one thread unless said otherwise."),
    )
    words = "The paper's Fig. 4, measured here. Hatched: pruned. Hollow: weights of fewer than 32 bits."
    grid = plot_grid(plots, shown, "three")
    return paragraph(words, "lead") + grid if grid else ""


def learning(result: Record, plots: Path) -> str:
    """Return the paper's Fig. 3, measured, and the decision curves with what decisions at the threshold come to."""
    words = "The paper's Fig. 3, measured: AUROC on the test split after each epoch. It was looked at, not chosen by."
    benefit = (
        "Net benefit of acting on stays above a risk threshold: true alarms per stay, less false alarms weighed by "
    )
    benefit += (
        "the threshold's odds. A model is of use where it lies above the dashed line (act on all) and above zero "
    )
    benefit += "(act on none)."
    shown = (
        ("fig3_learning_curves", "Test AUROC by epoch", words),
        ("decision", "Is it useful for decisions?", benefit),
    )
    headings = ["Model", "Threshold", "Sensitivity", "Specificity", "Positive predictive value"]
    headings += ["Negative predictive value"]
    rows = [(_chosen(result, r), _threshold_cells(r)) for r in result["models"]]
    return plot_grid(plots, shown) + table(headings, rows)


def _threshold_cells(record: Record) -> list[str]:
    names = ("value", "sensitivity", "specificity", "ppv", "npv")
    return [text(record["label"]), *(number(record["threshold"][name], ".2f") for name in names)]


def calibration(result: Record, plots: Path) -> str:
    """Return calibration curves, the risks by outcome, and the scores of the risks as probabilities."""
    words = "On the dashed line a risk means what it says: of the stays given 20 %, 20 % end in death. "
    words += "Points hold equal numbers of stays, with 95 % intervals."
    apart = "Upwards, hollow: stays that survived; downwards, filled: stays that ended in death; each as shares of "
    apart += "their own group. The further apart the two, the better."
    shown = (
        ("calibration", "Deaths against predicted risk", words),
        ("risk_histograms", "Predicted risk by outcome", apart),
    )
    bins = result["models"][0]["calibration"]["ece_bins"]
    prevalence = number(result["dataset"]["prevalence"], ".3f")
    headings = ["Model", "Slope [95 % interval]", "Intercept [95 % interval]", "Brier score", f"ECE, {bins} bins"]
    headings += [f"Average precision (prevalence {prevalence})"]
    rows = [(_chosen(result, r), _calibration_cells(r)) for r in result["models"]]
    note = "Slope 1 and intercept 0 are right; a slope below 1 means risks that are too extreme, an intercept below 0 "
    note += "risks that are too high on average. Brier score: mean squared error, less is better. ECE: mean distance "
    note += "from the dashed line."
    return plot_grid(plots, shown) + table(headings, rows) + paragraph(note, "lead")


def _calibration_cells(record: Record) -> list[str]:
    own = record["calibration"]
    cells = [text(record["label"]), estimate(own["slope"], own["slope_ci95"], ".2f")]
    cells += [estimate(own["intercept"], own["intercept_ci95"], ".2f")]
    cells += [estimate(record["brier"], record["brier_ci95"]), number(own["ece"], ".3f")]
    return [*cells, estimate(record["auprc"], record["auprc_ci95"])]


def subgroups(result: Record, plots: Path) -> str:
    """Return the AUROC by sex, age and unit: of the answer's model and its baseline, then of all."""
    if not result["models"][0]["subgroups"]:
        return ""
    chosen = _named(result, result["answer"]["model"])
    baseline = _named(result, chosen["delta_auroc_baseline"]["vs"]) if chosen else None
    first = [baseline, chosen] if chosen and baseline else result["models"][:1]
    words = "AUROC with DeLong's 95 % interval. Numbers from fewer than 10 deaths or survivors are set in grey."
    every = table(*_subgroup_table(result["models"], intervals=False))
    more = f"<details><summary>All models</summary>{every}</details>"
    return paragraph(words, "lead") + table(*_subgroup_table(first, intervals=True)) + more


def _subgroup_table(records: list[Record], intervals: bool) -> tuple[list[str], list[tuple[str, list[str]]]]:
    headings = ["Subgroup", "Stays", "Deaths", *(record["label"] for record in records)]
    rows: list[tuple[str, list[str]]] = []
    seen = set()
    for groups in zip(*(record["subgroups"] for record in records), strict=True):
        one = groups[0]
        if one["by"] not in seen:
            seen.add(one["by"])
            rows.append(("group", [text({"sex": "Sex", "age": "Age, years", "unit": "Unit"}[one["by"]])]))
        cells = [estimate(group["auroc"], group["ci95"] if intervals else None) for group in groups]
        if one["too_few"]:
            cells = [f"<span class='ci'>{cell}</span>" for cell in cells]
        rows.append(("", [text(one["name"]), number(one["stays"]), number(one["deaths"]), *cells]))
    return headings, rows


def cohort(result: Record, plots: Path) -> str:
    """Return where the stays come from and who was left out."""
    dataset = result["dataset"]
    pairs = [("Source", dataset["source"]), ("Split measured", f"{dataset['split']} ({dataset['split_rule']})")]
    pairs += [("Stays, patients", f"{dataset['n']:,}, {dataset['patients']:,}")]
    pairs += [("Deaths", f"{dataset['events']:,} ({100 * dataset['prevalence']:.1f} %)")]
    steps = dataset["attrition"] or []
    rows = [("", _attrition_cells(step)) for step in steps]
    headings = ["Step", "Rule", "Stays left", "Admissions", "Patients", "Stays dropped"]
    return facts(pairs) + (table(headings, rows, textual=(1,)) if rows else "")


def _attrition_cells(step: Record) -> list[str]:
    counts = [number(step.get(name)) for name in ("stays", "admissions", "patients", "dropped")]
    return [text(step.get("step")), text(step.get("rule")), *counts]


def lineage(result: Record, plots: Path) -> str:
    """Return the steps that led to each model, from the raw records on."""
    headings = ["Model", "Steps, oldest first", "SHA-256"]
    rows = [("", [text(r["label"]), _steps(r["lineage"]), _digest(r)]) for r in result["models"] if r["lineage"]]
    return table(headings, rows, textual=(1, 2)) if rows else ""


def _steps(steps: list[Record]) -> str:
    return " → ".join(_step(step) for step in steps)


def _step(step: Record) -> str:
    told = {"train": ("arch", "epochs", "preset"), "prune": ("quantile",), "quantize": ("mode",)}
    options = step.get("options") or {}
    words = [f"{name} {options[name]}" for name in told.get(step["command"], ()) if options.get(name) is not None]
    return text(step["command"] + (f" ({', '.join(words)})" if words else ""))


def _digest(record: Record) -> str:
    return f"<code>{text(record['sha256'][:SHORT_HASH])}</code>"


def methods(result: Record, plots: Path) -> str:
    """Return machine, settings, versions and the noise of the measurement."""
    machine, settings = result["machine"], result["settings"]
    pairs: list[tuple[str, Any]] = [
        ("Processor", f"{machine['cpu']}, {machine['cores_usable']} of {machine['cores']} cores usable"),
        ("Memory", f"{machine['memory_gb']} GB"),
        ("System", f"{machine['os']}, {machine['kernel']}, {machine['architecture']}"),
        ("Frequency governor", machine["governor"] or "not known"),
        ("Threads", settings["threads"]),
        ("Timing", f"{settings['rounds']} rounds in changing order over all models, each in its own process; medians"),
        ("Noise", _noise(result)),
        ("Energy", _energy(result)),
        ("Load time", f"{settings['load_ms']}; one cold start each"),
        ("Memory of a process", "peak resident, Python and runtime included"),
        ("Intervals", f"{settings['interval']}, {settings['resamples']:,} resamples, seed {settings['seed']}"),
        ("Check", "DeLong's interval of each difference stands beside the bootstrap's in results.json"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())),
        ("Data set", f"{result['dataset']['path']}, SHA-256 {result['dataset']['sha256'][:SHORT_HASH]}"),
    ]
    left_out = "; ".join(f"{entry['name']} ({entry['why']})" for entry in result["left_out"])
    return facts(pairs + ([("Left out", left_out)] if left_out else []))


def _noise(result: Record) -> str:
    noise = result["noise"]
    if noise["relative_difference"] is None:
        return "not measured"
    parts = [f"{100 * share:.1f} % at {batch} a call" for batch, share in noise["relative_difference"].items()]
    return f"{noise['of']} measured twice differs from itself by {', '.join(parts)}"


def _energy(result: Record) -> str:
    batch = _first_batch(result)
    found = [(r["label"], (r["energy_uj_per_stay"] or {}).get(batch)) for r in result["models"]]
    parts = [f"{label} {value:,.0f}" for label, value in found if value is not None]
    return f"µJ per stay, whole processor: {', '.join(parts)}" if parts else "not measured: no readable counter"


def limits(result: Record, plots: Path) -> str:
    """Return what must not be concluded."""
    return "<ul>" + "".join(f"<li>{text(limit)}</li>" for limit in limits_of(result)) + "</ul>"


def limits_of(result: Record) -> Iterator[str]:
    """Yield the limits as sentences."""
    yield LIMITS[0]
    if result["dataset"]["caution"]:
        yield f"These data are too few to judge any model ({result['dataset']['caution']})."
    yield from LIMITS[1:]


def _first_batch(result: Record) -> str:
    return str(result["settings"]["batches"][0])


def _named(result: Record, label: str | None) -> Record | None:
    return next((record for record in result["models"] if record["label"] == label), None)


def _chosen(result: Record, record: Record) -> str:
    return "chosen" if record["label"] == result["answer"]["model"] else ""
