"""The result of a cross-validation: for each form its scores, its differences and verdicts; the answer in a sentence.

Comes in: what every form said of every stay while it was held out. Goes out: results.json, results.csv and the plot of
the verdicts; sentences and a table.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.artifacts import atomic_file
from mortcond.deploy.check import TOLERANCE
from mortcond.measure import crossval, simultaneous
from mortcond.measure.comparison import Comparison, Pair
from mortcond.measure.crossval import HeldOut, Resampled
from mortcond.measure.intervals import interval, too_few
from mortcond.measure.records import plain
from mortcond.measure.tables import Column, difference, fitting, number, signed, with_interval
from mortcond.measure.typography import rounded

Record = dict[str, Any]
FOLDER, RESULTS = "validate", "results.json"
AGAINST = ("parent", "baseline", "linear", "trees")  # what a form is compared with
CONDENSED = ("parent", "baseline")  # one family of verdicts: what condensation costs
REFERENCES = ("linear", "trees")  # and two more: what a form is worth


@dataclass(frozen=True)
class Member:
    """What is known of a form beside what it said."""

    name: str
    arch: str
    quantization: str
    parent: str | None
    baseline: str | None  # the uncondensed network; None for that itself
    facts: list[Record]  # of each training: size_bytes, parameters, seconds, max_abs_dp


@dataclass(frozen=True)
class FormRecord:
    """One form, as results.json holds it."""

    name: str
    arch: str
    quantization: str
    parent: str | None
    baseline: str | None
    trainings: int
    size_bytes: int | None  # median over the trainings; without the table of variables of a real file's metadata
    parameters: int | None  # median
    training_seconds: float  # mean, of this step alone
    auroc: float
    auroc_ci95: list[float] | None
    auroc_by_fold: np.ndarray  # (repeats, folds), mean over seeds
    auroc_sd_seeds: float | None  # standard deviation over seeds of the mean over folds
    auprc: float
    brier: float
    mean_risk: float
    calibration_slope: float
    calibration_intercept: float
    max_abs_dp: float | None  # of a rounded form: the largest change of any held-out stay's risk in any training
    tolerance: float | None
    against: dict[str, Comparison | None]  # parent, baseline, linear, trees


def judged(
    held: HeldOut, members: Sequence[Member], margin: float, resamples: int, seed: int, trained: str = ""
) -> Record:
    """Return `forms`, `answer`, `cautions` and what the verdicts are, all plain; `trained`: how, in a word."""
    found = crossval.resample(held, resamples, seed)
    compared = _compared(held, found, members, margin)
    forms = [plain(_record(held, found, index, member, compared)) for index, member in enumerate(members)]
    told = {family: sum(record["against"][key] is not None for record in forms for key in keys)
            for family, keys in (("condensed", CONDENSED), ("linear", ("linear",)), ("trees", ("trees",)))}  # fmt: skip
    result = {"forms": forms, "stays": len(held.died), "deaths": int(held.died.sum()), "margin": margin}
    verdicts = simultaneous.told(told["condensed"], found.degrees is not None)
    result |= {"caution": too_few(held.died), "verdicts": verdicts, "families": told}
    result["trained"] = trained
    result["runs"] = {"repeats": held.risks.shape[1], "folds": held.folds, "seeds": held.risks.shape[2]}
    return result | {"answer": answer(result), "cautions": list(cautions(result))}


def _compared(
    held: HeldOut, found: Resampled, members: Sequence[Member], margin: float
) -> dict[tuple[int, str], Comparison]:
    """Compare every form with what it has to be compared with, a family of verdicts at a time."""
    places = {member.name: index for index, member in enumerate(members)}
    made: dict[tuple[int, str], Comparison] = {}
    for family in (CONDENSED, *((name,) for name in REFERENCES)):
        keys, pairs = [], []
        for index, member in enumerate(members):
            for key in family:
                other = {"parent": member.parent, "baseline": member.baseline}.get(key, key)
                wanted = other in places and places[other] != index and not (key in REFERENCES and member.arch == key)
                if wanted and not (key in REFERENCES and member.arch in REFERENCES):
                    keys.append((index, key))
                    pairs.append(Pair(index, places[other], other))
        made |= dict(zip(keys, crossval.compare(held, found, pairs, margin), strict=True))
    return made


def _record(
    held: HeldOut, found: Resampled, index: int, member: Member, compared: dict[tuple[int, str], Comparison]
) -> FormRecord:
    moved = [fact["max_abs_dp"] for fact in member.facts if fact["max_abs_dp"] is not None]
    seeds = found.by_seed[index]
    return FormRecord(
        name=member.name,
        arch=member.arch,
        quantization=member.quantization,
        parent=member.parent,
        baseline=member.baseline,
        trainings=len(member.facts),
        size_bytes=_median(member.facts, "size_bytes"),
        parameters=_median(member.facts, "parameters"),
        training_seconds=float(np.mean([fact["seconds"] for fact in member.facts])),
        auroc=float(found.auroc[index]),
        auroc_ci95=interval(found.resampled[index]),
        auroc_by_fold=found.by_fold[index],
        auroc_sd_seeds=float(seeds.std(ddof=1)) if len(seeds) > 1 else None,
        **crossval.pooled(held, index),
        max_abs_dp=max(moved, default=None),
        tolerance=TOLERANCE[member.quantization] if moved else None,
        against={key: compared.get((index, key)) for key in AGAINST},
    )


def _median(facts: Sequence[Record], name: str) -> int | None:
    known = [fact[name] for fact in facts if fact[name] is not None]
    return int(np.median(known)) if known else None


def answer(result: Record) -> Record:
    """Return the sentence that answers whether condensation loses accuracy, and the form that it speaks of.

    It is asked of the uncondensed network with the highest AUROC, and answered by its smallest form that is not
    inferior to it; the verdicts hold for all forms together, so that this choice costs nothing.
    """
    forms = {record["name"]: record for record in result["forms"]}
    condensed = [record for record in forms.values() if record["against"]["baseline"]]
    baselines = {record["baseline"] for record in condensed if record["arch"] not in REFERENCES}
    if not baselines:
        return {"sentence": "No condensed form was validated.", "form": None, "baseline": None}
    best = max((forms[name] for name in baselines), key=lambda record: record["auroc"] or 0.0)
    own = [record for record in condensed if record["baseline"] == best["name"] and not exceeds(record)]
    verdicts = {verdict: [r for r in own if r["against"]["baseline"]["noninferior"] is verdict]
                for verdict in (True, None, False)}  # fmt: skip
    verdict = next((key for key, group in verdicts.items() if group), False)
    chosen = min(verdicts[verdict], key=lambda record: record["size_bytes"], default=None)
    told = {"form": chosen and chosen["name"], "baseline": best["name"]}
    return told | {"sentence": _sentence(result, verdict, chosen, best, verdicts)}


def exceeds(record: Record) -> bool:
    """Say whether rounding changed any held-out stay's risk by more than it may."""
    return record["max_abs_dp"] is not None and record["max_abs_dp"] > record["tolerance"]


def _sentence(
    result: Record, verdict: bool | None, chosen: Record | None, best: Record, verdicts: dict[Any, list[Record]]
) -> str:
    once = "" if _several(result["runs"]) else "one training of each"
    how = "".join(f", {told}" for told in (result["trained"], once) if told)
    on = f"Cross-validated on all {result['stays']:,} stays ({result['deaths']:,} deaths){how}"
    if chosen is None:
        return f"{on}: every form of {best['name']} changes a stay's risk by more than rounding may."
    count = f"of {sum(map(len, verdicts.values()))} condensed forms of {best['name']}"
    margin, compared = result["margin"], chosen["against"]["baseline"]
    opening = {
        True: f"yes: {count} {len(verdicts[True])} lost no more than {margin:g} of AUROC",
        None: f"it cannot be told yet: {count} none is shown to lose no more than {margin:g} of AUROC",
        False: f"no: {count} each lost more than {margin:g} of AUROC",
    }[verdict]
    smaller = best["size_bytes"] / chosen["size_bytes"]
    size = f"{smaller:.1f} times smaller" if smaller >= 1 else f"{1 / smaller:.1f} times larger"
    change = f"AUROC {chosen['auroc']:.3f} against {best['auroc']:.3f}, a difference of {signed(compared['value'])}"
    if compared["ci95"]:
        change += f" (95 % interval {signed(compared['ci95'][0])} to {signed(compared['ci95'][1])})"
    return f"{on}: {opening}; the smallest, {chosen['name']}, is {size}, {change}{_missing(compared)}."


def _missing(compared: Record) -> str:
    """Say what would decide a comparison that is not decided."""
    if compared["noninferior"] is not None:
        return ""
    if compared["stays_needed"]:
        return f"; about {rounded(compared['stays_needed']):,} stays would decide it"
    if compared["training_share"]:
        return "; its trainings differ too much for more stays alone to decide it: more of them (--seeds) would help"
    return ""


def _several(runs: Record) -> bool:
    """Say whether anything was trained more than once, so that the spread over trainings is counted."""
    return runs["seeds"] > 1 or runs["repeats"] > 1


def cautions(result: Record) -> Iterator[str]:
    """Yield what a reader of the figures has to know."""
    runs = result["runs"]
    times = f"{runs['folds']} folds by patient"
    times += f", {runs['repeats']} times dealt out" if runs["repeats"] > 1 else ""
    times += f", {runs['seeds']} trainings of each" if runs["seeds"] > 1 else ""
    yield f"{times}; differences are paired within folds, and the verdicts are {result['verdicts']}."
    if result["caution"]:
        yield f"These stays are too few for the AUROC to mean anything ({result['caution']})."
    if not _several(runs):
        yield (
            "One training of each: intervals and verdicts are of these very networks, and do not count what other "
            "random numbers would change (--seeds 3 does)."
        )
    for record in result["forms"]:
        if exceeds(record):
            yield (
                f"{record['name']} changes a held-out stay's risk by up to {record['max_abs_dp']:.3f}, more than the "
                f"{record['tolerance']:g} that rounding may."
            )


def write(folder: Path, result: Record) -> None:
    """Write results.json, results.csv and the plot of the verdicts into a folder that may hold trainings."""
    from mortcond.measure.plots import verdicts

    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / RESULTS) as partial:
        partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    rows = [flat(record) for record in result["forms"]]
    with atomic_file(folder / "results.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    verdicts.write(folder, result)


def read(folder: Path, digest: str) -> Record | None:
    """Return the validation in a folder, if there is one and it is of the data set with this SHA-256."""
    path = folder / RESULTS
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        return result if result["dataset"]["sha256"] == digest else None
    except (ValueError, KeyError, TypeError):
        return None


def flat(record: Record) -> Record:
    """Return the figures of a form under plain column names."""
    row = {key: value for key, value in record.items() if key not in ("against", "auroc_ci95", "auroc_by_fold")}
    row["auroc_low"], row["auroc_high"] = record["auroc_ci95"] or (None, None)
    for key in AGAINST:
        compared = record["against"][key] or {}
        low, high = compared.get("ci95") or (None, None)
        row |= {f"delta_{key}": compared.get("value"), f"delta_{key}_low": low, f"delta_{key}_high": high}
        row |= {f"delta_{key}_bound": compared.get("low"), f"delta_{key}_verdict": compared.get("verdict")}
    return row


def columns() -> tuple[Column, ...]:
    """Return the columns of the table for the terminal; those of the highest rank make way first."""
    return (
        Column("form", lambda r: r["name"], None, 0, "left"),
        Column("params", lambda r: number(r["parameters"]), None, 6),
        Column("KB", lambda r: number(r["size_bytes"] and r["size_bytes"] / 1000, ",.1f"), None, 2),
        Column("AUROC [95 % CI]", lambda r: with_interval(r["auroc"], r["auroc_ci95"]), None, 4),
        Column("Δ to baseline [95 % CI]", lambda r: difference(r["against"]["baseline"]), None, 1),
        Column("verdict", lambda r: _verdict(r["against"]["baseline"]), None, 1, "left"),
        Column("Δ to parent [95 % CI]", lambda r: difference(r["against"]["parent"]), None, 8),
        Column("to linear", lambda r: difference(r["against"]["linear"]), None, 7),
        Column("to trees", lambda r: difference(r["against"]["trees"]), None, 7),
        Column("max Δrisk", lambda r: number(r["max_abs_dp"], ".3f"), None, 9),
    )


@dataclass(frozen=True)
class FormTable:
    """The forms as a table for a terminal: as many columns as its width holds, none of them broken."""

    result: Record

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.table import Table

        rows = [("measured", record) for record in self.result["forms"]]
        chosen = fitting(columns(), rows, options.max_width)
        table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False)
        for column in chosen:
            table.add_column(column.heading, justify=column.align, no_wrap=True)
        for _, record in rows:
            table.add_row(*(column.cell(record) for column in chosen))
        yield table


def _verdict(compared: Record | None) -> str:
    return "–" if compared is None else compared["verdict"].split(" with ")[0]
