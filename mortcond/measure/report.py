"""The report: one self-contained HTML file that a clinician can read and a reviewer can check; and the model card.

Comes in: the result of a bench and the folder of its plots. Goes out: the page, light and dark, for screen, phone and
print, in which nothing is fetched from anywhere; the card as Markdown, in the order of Mitchell et al. 2019. Both are
jinja2 templates (templates/), a file a section, with everything escaped; what they show is computed here or before.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mortcond.deploy.metadata import INTENDED_USE
from mortcond.measure import typography
from mortcond.measure.answer import cautions
from mortcond.measure.plots.drawing import inline
from mortcond.measure.tables import PAPER_NOTE, difference, latency, verdict, with_interval

Record = dict[str, Any]
SECTIONS = (  # key, which is the template's name and the anchor on the page; title
    ("validation", "Cross-validated"),
    ("models", "Models"),
    ("loss", "What condensation changed"),
    ("tradeoff", "Accuracy against size and time"),
    ("bars", "Accuracy, size and time"),
    ("learning", "Learning and decisions"),
    ("calibration", "Are the risks right?"),
    ("subgroups", "Subgroups"),
    ("drift", "How these stays differ from the training stays"),
    ("cohort", "Who is in the data"),
    ("lineage", "How each model was made"),
    ("methods", "How it was measured"),
    ("limits", "Limits"),
)
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
TOLD = {"train": ("arch", "epochs", "preset"), "prune": ("quantile",), "quantize": ("mode",)}  # options worth naming


def html(result: Record, plots: Path) -> str:
    """Return the page; sections that have nothing to show are left out."""
    facts = result | _facts(result) | {"plots": plots}
    bodies = ((key, title, _render(f"report/{key}.html.j2", facts)) for key, title in SECTIONS)
    shown = [{"key": key, "title": title, "body": body} for key, title, body in bodies if body]
    cards = _render("report/cards.html.j2", facts)
    return _render("report.html.j2", facts | {"sections": shown, "cards": cards}) + "\n"


def model_card(result: Record) -> str:
    """Return the card as Markdown."""
    return _render("model-card.md.j2", result | _facts(result)) + "\n"


def _render(template: str, facts: Record) -> Markup:
    return Markup(_environment().get_template(template).render(facts).strip())  # it is escaped already


@cache
def _environment() -> Environment:
    loader = PackageLoader("mortcond.measure")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"words": typography.words, "number": typography.number, "rounded": typography.rounded}
    made.filters |= {"latency": latency, "step": _step, "drawing": _drawing, "cell": _cell}
    made.filters |= {"interval": with_interval, "difference": difference, "verdict": verdict}
    made.tests |= {"compared": _is_compared}
    return made


def _facts(result: Record) -> Record:
    """Return what the templates show beside the result itself."""
    chosen = _named(result, result["answer"]["model"])
    baseline = _named(result, chosen["delta_auroc_baseline"]["vs"]) if chosen else None
    versions = ", ".join(f"{name} {version}" for name, version in result["machine"]["versions"].items())
    left_out = "; ".join(f"{entry['name']} ({entry['why']})" for entry in result["left_out"])
    return {
        "chosen": chosen,
        "baseline": baseline,
        "cautions": list(cautions(result)),
        "limits": list(limits(result)),
        "intended_use": INTENDED_USE,
        "paper_note": f"{PAPER_NOTE[0].upper()}{PAPER_NOTE[1:]}",
        "later_batches": [f"{batch} at a time" for batch in result["settings"]["batches"][1:]],
        "noise_told": _noise(result),
        "energy_told": _energy(result),
        "versions_told": versions,
        "left_out_told": left_out,
    }


def limits(result: Record) -> Iterator[str]:
    """Yield what must not be concluded, as sentences."""
    yield LIMITS[0]
    if result["dataset"]["caution"]:
        yield f"These data are too few to judge any model ({result['dataset']['caution']})."
    yield from LIMITS[1:]


def _named(result: Record, label: str | None) -> Record | None:
    return next((record for record in result["models"] if record["label"] == label), None)


def _is_compared(record: Record) -> bool:
    return any(record[key] for key in ("delta_auroc", "delta_auroc_baseline", "delta_auroc_floor"))


def _noise(result: Record) -> str:
    noise = result["noise"]
    if noise["relative_difference"] is None:
        return "not measured"
    parts = [f"{100 * share:.1f} % at {batch} a call" for batch, share in noise["relative_difference"].items()]
    return f"{noise['of']} measured twice differs from itself by {', '.join(parts)}"


def _energy(result: Record) -> str:
    batch = str(result["settings"]["batches"][0])
    found = [(record["label"], (record["energy_uj_per_stay"] or {}).get(batch)) for record in result["models"]]
    parts = [f"{label} {value:,.0f}" for label, value in found if value is not None]
    return f"µJ per stay, whole processor: {', '.join(parts)}" if parts else "not measured: no readable counter"


def _step(step: Record) -> str:
    """Return a step of a lineage in words: the command and the options that made the difference."""
    options = step.get("options") or {}
    named = (name for name in TOLD.get(step["command"], ()) if options.get(name) is not None)
    words = ", ".join(f"{name} {options[name]}" for name in named)
    return step["command"] + (f" ({words})" if words else "")


def _drawing(plots: Path, name: str, title: str) -> str:
    """Return a plot as an element of the page; nothing where it was not drawn."""
    path = plots / f"{name}.svg"
    return Markup(inline(path.read_text(encoding="utf-8"), name, title)) if path.is_file() else ""


def _cell(value: Any) -> str:
    """Return a text from data for Markdown: no bar begins a cell, no line a heading, no bracket a link or a picture."""
    text = " ".join(str(value).split()).replace("|", "/").replace("`", "'")
    return re.sub(r"([\[\]\\])", r"\\\1", text)
