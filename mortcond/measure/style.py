"""How a model looks in every plot: colour and shape by architecture, hatch and fill by what was done to it.

Comes in: a record. Goes out: colours, markers, hatches. The colours are those of Okabe and Ito, told apart by the
colour-blind; shape, hatch and dash carry the same, so that a black-and-white print can be read. In the report each of
these colours is replaced by a CSS variable, so that it suits a dark page too.
"""

from dataclasses import dataclass
from typing import Any

INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#dfe3e8", "#fefefe"
COLOURS = {"lstm": "#0072b2", "hlstm": "#d55e00", "dnn": "#009e73", "linear": "#6a6f76", None: "#a65d99"}
MARKERS = {"lstm": "o", "hlstm": "D", "dnn": "s", "linear": "^", None: "P"}
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"} | {
    colour: f"--{arch or 'other'}" for arch, colour in COLOURS.items()
}
ARCH_NAMES = {"lstm": "LSTM", "hlstm": "hidden-layer LSTM", "dnn": "dense network", "linear": "linear", None: "other"}


@dataclass(frozen=True)
class Look:
    """How one model is drawn."""

    colour: str
    marker: str
    hatch: str
    dash: Any
    hollow: bool  # 8 bit or 16 bit weights


def look(record: dict[str, Any]) -> Look:
    """Return how a model is drawn: pruned ones hatched and dashed, those of fewer bits hollow and dotted."""
    arch = record["arch"] if record["arch"] in COLOURS else None
    hollow = record["quantization"] != "float32"
    pruned = is_pruned(record)
    hatch = "////" if pruned else ""
    dash = {
        (False, False): "-",
        (True, False): (0, (5, 2)),
        (False, True): (0, (1, 1.2)),
        (True, True): (0, (5, 2, 1, 2)),
    }
    return Look(COLOURS[arch], MARKERS[arch], hatch, dash[pruned, hollow], hollow)


def is_pruned(record: dict[str, Any]) -> bool:
    """Say whether units were cut from the model or from one that it comes from."""
    return any(step.get("command") == "prune" for step in record["lineage"])
