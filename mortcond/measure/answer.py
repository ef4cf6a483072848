"""The question and its answer in one sentence, and what a reader has to be warned of.

Comes in: the records of the models and of the stays. Goes out: sentences.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mortcond.archs import row
from mortcond.measure.drift import in_words
from mortcond.measure.tables import PAPER_NOTE, signed
from mortcond.measure.typography import rounded

QUESTION = "Can a mortality model be made small and fast without losing accuracy?"
LARGE_NOISE = 0.05  # of the time: beyond it, small differences between models are not to be read
BEST_FIRST = {True: 0, None: 1, False: 2}  # not inferior, cannot tell, inferior


def answer(
    models: list[dict[str, Any]], dataset: dict[str, Any], validation: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the question, the sentence that answers it, and the model it speaks of (None: there is none to speak of).

    It is asked of the uncondensed network with the highest AUROC: to be no worse than a poor one is no news. The
    model is the smallest file among its condensed forms that are not inferior to it; where there is none such, the
    smallest of which it cannot be told, then the smallest of the inferior ones. The verdicts are simultaneous, so that
    this picking costs nothing; and a file that changes any stay's risk by more than rounding may is never picked.
    `validated`: what a cross-validation of the same data says, which counts more: it has all stays.
    """
    compared = [m for m in models if m["delta_auroc_baseline"] and m["runtime"] == "litert"]
    names = {m["delta_auroc_baseline"]["vs"] for m in compared}
    baselines = [m for m in models if m["label"] in names and row(m["arch"]).trainable]
    reply = {"question": QUESTION, "model": None, "validated": validation and validation["answer"]["sentence"]}
    if not baselines:
        return reply | {"sentence": "No condensed model was measured beside the model it comes from."}
    if dataset["caution"]:
        return reply | {"sentence": f"These data cannot tell ({dataset['caution']})."}
    baseline = max(baselines, key=lambda m: m["auroc"]["value"])
    forms = [m for m in compared if m["delta_auroc_baseline"]["vs"] == baseline["label"]]
    safe = [m for m in forms if not (m["rounding"] and m["rounding"]["exceeds"])]
    if not safe:
        return reply | {"sentence": f"No: each of {len(forms)} files changes a stay's risk by more than rounding may."}
    forms = safe
    chosen = min(forms, key=lambda m: (BEST_FIRST[m["delta_auroc_baseline"]["noninferior"]], m["size_bytes"]))
    alone = f"On the {dataset['split']} split alone: " if validation else ""
    count = _count(chosen, forms)
    count = count[0].lower() + count[1:] if alone else count
    sentence = f"{alone}{count}, {chosen['label']}, is {_gain(chosen, baseline)}, {_change(chosen, dataset)}"
    return reply | {"model": chosen["label"], "sentence": f"{sentence} against {_difference(chosen, baseline)}."}


def _count(chosen: dict[str, Any], forms: list[dict[str, Any]]) -> str:
    """Say how many condensed forms there are of the kind that the chosen one is the smallest of."""
    compared = chosen["delta_auroc_baseline"]
    margin, verdict = compared["margin"], compared["noninferior"]
    same = sum(m["delta_auroc_baseline"]["noninferior"] is verdict for m in forms)
    all_forms = f"{len(forms)} condensed form{'s' if len(forms) > 1 else ''} of {compared['vs']}"
    if verdict is True:
        return f"Yes: of {all_forms} {same} lost no more than {margin:g} of AUROC; the smallest of these"
    if verdict is None:
        shown = f"none is shown to lose no more than {margin:g} of AUROC"
        return f"It cannot be told yet: of {all_forms} {shown}; the smallest"
    return f"No: of {all_forms} each lost more than {margin:g} of AUROC; the smallest"


def _gain(chosen: dict[str, Any], baseline: dict[str, Any]) -> str:
    batch = next(iter(chosen["latency_us_per_stay"]))
    before, after = (m["latency_us_per_stay"][batch]["p50"] for m in (baseline, chosen))
    smaller = _times(baseline["size_bytes"], chosen["size_bytes"], "smaller", "larger")
    return f"{smaller} and {_times(before, after, 'faster', 'slower')} than {baseline['label']}"


def _change(chosen: dict[str, Any], dataset: dict[str, Any]) -> str:
    value = f"{chosen['auroc']['value']:.3f}"
    return f"with an AUROC on {dataset['n']:,} stays ({dataset['events']:,} deaths) of {value}"


def _difference(chosen: dict[str, Any], baseline: dict[str, Any]) -> str:
    compared = chosen["delta_auroc_baseline"]
    low, high = (signed(end) for end in compared["ci95"])
    change = f"{baseline['auroc']['value']:.3f}, a difference of {signed(compared['value'])}"
    change += f" (95 % interval {low} to {high})"
    needed = compared.get("stays_needed")
    return change + (f"; about {rounded(needed):,} stays would decide it" if needed else "")


def _times(before: float, after: float, less: str, more: str) -> str:
    ratio = before / after
    if 0.95 < ratio < 1.05:
        return f"no {less}"
    return f"{ratio:.1f} times {less}" if ratio > 1 else f"{1 / ratio:.1f} times {more}"


def _floor(result: dict[str, Any]) -> Iterator[str]:
    """Say how the networks stand to the linear model, which each of them has to beat to be worth its trouble."""
    networks = [m for m in result["models"] if m["delta_auroc_floor"] and m["delta_auroc_floor"]["value"] is not None]
    floors = [m for m in result["models"] if networks and m["label"] == networks[0]["delta_auroc_floor"]["vs"]]
    for floor in floors:
        above = [m for m in networks if (m["delta_auroc_floor"]["low"] or 0) > 0]
        value, kilobytes = floor["auroc"]["value"], floor["size_bytes"] / 1000
        yield (
            f"The linear floor has an AUROC of {value:.3f} in {kilobytes:.1f} KB; "
            f"{len(above)} of {len(networks)} networks are above it beyond chance."
        )


def cautions(result: dict[str, Any]) -> Iterator[str]:
    """Yield what a reader of the figures has to know."""
    dataset = result["dataset"]
    if dataset.get("external"):
        yield from filter(None, (_level(result), in_words(result["drift"])))
    if dataset.get("recalibrated_here"):
        named = ", ".join(dataset["recalibrated_here"])
        yield f"The level of {named} was fitted to these very stays: its calibration here is no test of it."
    yield f"Measured on {dataset['n']:,} stays of the {dataset['split']} split, {dataset['events']:,} of them deaths."
    if dataset["caution"]:
        yield f"The {dataset['split']} split is too small for the AUROC to mean anything ({dataset['caution']})."
    for record in result["models"]:
        if record["parent_is_current"] is False:
            yield f"{record['label']} was made from an earlier {record['parent']} than the one measured here."
    yield from _rounding(result)
    undecided = [m for m in result["models"] if m["delta_auroc"] and m["delta_auroc"]["noninferior"] is None]
    if undecided and not dataset["caution"]:
        needed = [m["delta_auroc"]["stays_needed"] for m in undecided if m["delta_auroc"].get("stays_needed")]
        span = (
            " to ".join(dict.fromkeys(f"{rounded(stays):,}" for stays in (min(needed), max(needed)))) if needed else ""
        )
        most = f"; about {span} stays would do" if span else ""
        margin = result["settings"]["margin"]
        yield f"{len(undecided)} of the comparisons with a parent cannot be decided at a margin of {margin:g}{most}."
    if not dataset["caution"]:
        yield from _floor(result)
    worst = max((result["noise"]["relative_difference"] or {"": 0}).values())
    if worst > LARGE_NOISE:
        of = result["noise"]["of"]
        yield f"Times are noisy: {of}, measured twice, differs from itself by {100 * worst:.0f} %."
    yield f"{PAPER_NOTE[0].upper()}{PAPER_NOTE[1:]}."


def _level(result: dict[str, Any]) -> str | None:
    """Say of another hospital's stays whose risks are shown to be too high or too low there, and what mends it."""
    died = result["dataset"]["prevalence"]
    off = [m for m in result["models"] if _excludes(m["calibration"]["intercept_ci95"], 0.0)]
    if not off:
        return None
    told = []
    for record in off[:3]:
        direction = "low" if record["calibration"]["intercept"] > 0 else "high"
        told.append(f"of {record['label']} {100 * record['calibration']['mean_risk']:.1f} % (too {direction})")
    more = f" and {len(off) - 3} more" if len(off) > 3 else ""
    means = f"{100 * died:.1f} % of these stays died; mean risks are: {', '.join(told)}{more}"
    return f"{means}. mortcond recalibrate MODEL {Path(result['dataset']['path']).name} brings a model to this level."


def _excludes(ends: list[float] | None, value: float) -> bool:
    return ends is not None and not ends[0] <= value <= ends[1]


def _rounding(result: dict[str, Any]) -> Iterator[str]:
    """Name the files whose fewer bits change a stay's risk by more than was allowed when they were written."""
    for record in result["models"]:
        found = record["rounding"]
        if found and found["exceeds"]:
            yield (
                f"{record['label']} changes a risk by up to {found['max_abs_dp']:.3f} against {found['vs']}, more than "
                f"the {found['tolerance']:g} that rounding may: make it again in a finer mode."
            )
