"""How a model looks in every plot: colour and shape by architecture, hatch and fill by what was done to it.

Comes in: a record. Goes out: colours, markers, hatches. The colours are those of Okabe and Ito, told apart by the
colour-blind; shape, hatch and dash carry the same, so that a black-and-white print can be read. In the report each of
these colours is replaced by a CSS variable, so that it suits a dark page too.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from mortcond.archs import ARCHS, OTHER

INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#dfe3e8", "#fefefe"
ACCENT = "#d55e00"  # of lines and rings that mark something
ROWS = {**ARCHS, None: OTHER}
COLOURS = {name: arch.colour for name, arch in ROWS.items()}
MARKERS = {name: arch.markers for name, arch in ROWS.items()}  # for the variants of each
DASHES = {  # by whether it is pruned and has fewer bits; for the variants of each
    (False, False): ("-", (0, (9, 1)), (0, (9, 1, 1, 1))),
    (True, False): ((0, (5, 2)), (0, (3, 1.2)), (0, (2, 1))),
    (False, True): ((0, (1, 1.2)), (0, (1, 2))),
    (True, True): ((0, (5, 2, 1, 2)), (0, (3, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1))),
}
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"} | {
    colour: f"--{arch or 'other'}" for arch, colour in COLOURS.items()
}
ARCH_NAMES = {name: arch.label for name, arch in ROWS.items()}


@dataclass(frozen=True)
class Look:
    """How one model is drawn."""

    colour: str
    marker: str
    hatch: str
    dash: Any
    hollow: bool  # 8 bit or 16 bit weights


def looks(result: dict[str, Any]) -> dict[str, Look]:
    """Return how each model is drawn, by label: pruned hatched and dashed, of fewer bits hollow and dotted."""
    found, variants, treatments = {}, {}, Counter()
    for record in result["models"]:
        arch = record["arch"] if record["arch"] in COLOURS else None
        pruned, hollow = is_pruned(record), record["quantization"] != "float32"
        known = variants.setdefault(arch, [])
        if variant_of(record) not in known:
            known.append(variant_of(record))
        marker = MARKERS[arch][known.index(variant_of(record)) % len(MARKERS[arch])]
        dashes = DASHES[pruned, hollow]
        dash = dashes[treatments[arch, pruned, hollow] % len(dashes)]
        found[record["label"]] = Look(COLOURS[arch], marker, "////" if pruned else "", dash, hollow)
        treatments[arch, pruned, hollow] += 1
    return found


def variant_of(record: dict[str, Any]) -> str:
    """Return the name of the model before it was quantised, so that a model and its 8-bit form share a marker."""
    trained = [step["name"] for step in record["lineage"] if step.get("command") != "quantize"]
    return trained[-1] if trained else record["name"]


def is_pruned(record: dict[str, Any]) -> bool:
    """Say whether units were cut from the model or from one that it comes from."""
    return any(step.get("command") == "prune" for step in record["lineage"])
