"""The report: one self-contained HTML file that a clinician can read and a reviewer can check.

Comes in: the result of a bench and the folder of its plots. Goes out: the page, light and dark, for screen, phone and
print; nothing in it is fetched from anywhere.
"""

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from mortcond.measure import sections
from mortcond.measure.answer import cautions
from mortcond.measure.markup import paragraph, text

Record = dict[str, Any]

SECTIONS = (
    ("models", "Models", sections.models),
    ("loss", "What condensation changed", sections.comparisons),
    ("tradeoff", "Accuracy against size and time", sections.tradeoffs),
    ("bars", "Accuracy, size and time", sections.bars),
    ("learning", "Learning and decisions", sections.learning),
    ("calibration", "Are the risks right?", sections.calibration),
    ("subgroups", "Subgroups", sections.subgroups),
    ("cohort", "Who is in the data", sections.cohort),
    ("lineage", "How each model was made", sections.lineage),
    ("methods", "How it was measured", sections.methods),
    ("limits", "Limits", sections.limits),
)


def html(result: Record, plots: Path) -> str:
    """Return the page; sections that have nothing to show are left out."""
    parts = [(key, title, body(result, plots)) for key, title, body in SECTIONS]
    shown = [(key, title, body) for key, title, body in parts if body]
    package = files("mortcond.measure")
    return Template(package.joinpath("report.html").read_text(encoding="utf-8")).substitute(
        css=package.joinpath("report.css").read_text(encoding="utf-8"),
        headline=text(result["answer"]["model"] or "measurements"),
        measured_on=text(result["measured_at"][:10]),
        question=text(result["answer"]["question"]),
        answer=text(result["answer"]["sentence"]),
        cards=sections.cards(result),
        cautions=_cautions(result),
        contents=" ".join(f'<a href="#{key}">{text(title)}</a>' for key, title, _ in shown),
        sections="\n".join(f'<section id="{key}"><h2>{text(title)}</h2>{body}</section>' for key, title, body in shown),
        version=text(result["machine"]["versions"]["mortcond"]),
    )


def _cautions(result: Record) -> str:
    return '<div class="cautions" role="note">' + "".join(paragraph(line) for line in cautions(result)) + "</div>"
