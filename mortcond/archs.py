"""The architectures: ONE table. A row says what a network is made of, how it is trained, and how it looks in a plot.

Comes in: an architecture's name and its sizes. Goes out: a network without weights, settings, recipes for the search.
Only the standard library is imported here at first: the command line reads the names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mortcond.core.errors import UsageError

if TYPE_CHECKING:
    from mortcond.dataset import Dataset
    from mortcond.network import Network, Node

ENSEMBLE = "ensemble"  # the teacher that `training.teacher` makes of a training split
SUMMARIES = ("mean", "full", "measured")
GRADIENT, LOGISTIC = "gradient", "logistic"  # how weights are found


@dataclass(frozen=True)
class Shape:
    """The sizes of a network; None stands for the architecture's own value."""

    width: int | None = None  # units of a recurrent layer; dnn: of the first layer, then halved
    layers: int | None = None  # recurrent layers, or hidden dense layers
    hidden_width: int | None = None  # hidden units of each gate (hlstm): as wide as the LSTM
    hidden_depth: int | None = None  # hidden layers of each gate (hlstm)
    summary: str | None = None  # what dnn and linear see of a stay: one of SUMMARIES
    dropout: float | None = None  # before the output


@dataclass(frozen=True)
class Inputs:
    """What a network reads."""

    features: int
    hours: int
    mask_columns: tuple[int, ...] = ()  # for each feature, the column that says whether it was measured; -1: none
    names: tuple[str, ...] = ()  # of the features: tell numbers from categories and masks


@dataclass(frozen=True)
class Arch:
    """One architecture."""

    name: str
    label: str  # in plots and tables
    colour: str
    markers: str  # matplotlib's, for the variants in a plot
    nodes: Callable[[Shape, Inputs], list["Node"]]  # without weights: zeros of the right shapes
    shape: dict[str, Any]  # the paper's sizes; what is not named is no option of the architecture
    best_shape: dict[str, Any] = field(default_factory=dict)  # in its place with --preset best
    best: dict[str, Any] = field(default_factory=dict)  # training settings of --preset best
    fitted: str = GRADIENT
    search: tuple[tuple[int, ...], ...] = ()  # units of the layers that condense tries
    search_full: tuple[tuple[int, ...], ...] = ()  # the same on the full summary
    converts_to: str | None = None  # what hlstm-convert makes of it
    integer: bool = False  # whether it has a form in whole numbers, see `deploy.integer`

    @property
    def trainable(self) -> bool:
        """Say whether it has epochs, and so can be pruned and taught."""
        return self.fitted == GRADIENT


def _recurrent(layer: Callable[[int, int, Shape], Any]) -> Callable[[Shape, Inputs], list["Node"]]:
    """Return what makes the nodes of a stack of recurrent layers that skip hours without any measurement."""

    def nodes(shape: Shape, inputs: Inputs) -> list["Node"]:
        from mortcond.layers import Masking
        from mortcond.network import INPUT, Node

        found, source, width = [Node("masking", Masking())], INPUT, inputs.features
        for index in range(shape.layers):
            made = replace(layer(width, shape.width, shape), sequences=index + 1 < shape.layers)
            found.append(Node(f"recurrent.{index}", made, (source, "masking")))
            source, width = f"recurrent.{index}", shape.width
        return found + _dense([width], source, shape.dropout)

    return nodes


def _lstm(inputs: int, units: int, shape: Shape) -> Any:
    from mortcond.layers import LSTM

    return LSTM(_zeros(inputs, 4 * units), _zeros(units, 4 * units), _zeros(4 * units))


def _both_ways(shape: Shape, inputs: Inputs) -> list["Node"]:
    """Return LSTM layers, all but the last one bidirectional, as in the public benchmark; a single one is too."""
    from mortcond.layers import Masking
    from mortcond.layers.bidirectional import both_ways
    from mortcond.network import INPUT, Node

    found, source, width, half = [Node("masking", Masking())], INPUT, inputs.features, max(shape.width // 2, 1)
    for index in range(shape.layers):
        name, last = f"recurrent-{index}", index + 1 == shape.layers
        if last and index:
            found.append(Node(name, _lstm(width, shape.width, shape), (source, "masking")))
            width = shape.width
        else:
            layer = replace(_lstm(width, half, shape), sequences=not last)
            found += [Node(*entry) for entry in both_ways(name, layer, layer, (source, "masking"))]
            width = 2 * half
        source = name
    return found + _dense([width], source, shape.dropout)


def _gru(inputs: int, units: int, shape: Shape) -> Any:
    from mortcond.layers import GRU

    return GRU(_zeros(inputs, 3 * units), _zeros(units, 3 * units), _zeros(3 * units), _zeros(3 * units))


def hidden_lstm(inputs: int, units: int, shape: Shape) -> Any:
    """Return a hidden-layer LSTM of zeros."""
    from mortcond.layers.hidden_lstm import HiddenGate, HiddenLSTM

    width = shape.hidden_width or units
    hidden = (_zeros(inputs + units, width), *(_zeros(width, width) for _ in range(shape.hidden_depth - 1)))
    return HiddenLSTM(tuple(HiddenGate(hidden, _zeros(width, units), _zeros(units)) for _ in range(4)))


def _on_summary(shape: Shape, inputs: Inputs) -> list["Node"]:
    """Return dense layers, each half as wide as the one before, on a summary of the hours."""
    from mortcond.network import Node

    summary = _summary(shape.summary, inputs)
    widths = [max(shape.width >> index, 1) for index in range(shape.layers)]
    sizes = [summary.width(inputs.features, hours=inputs.hours), *widths]
    return [Node("summary", summary), *_dense(sizes, "summary", shape.dropout)]


def _summary(name: str, inputs: Inputs) -> Any:
    from mortcond.layers import FullSummary, MeasuredMean
    from mortcond.layers.measured import of_features

    masks = inputs.mask_columns or (-1,) * inputs.features
    if name == "measured":
        names = inputs.names or tuple(f"feature {index}" for index in range(inputs.features))
        return of_features(names, masks)
    return FullSummary() if name == "full" else MeasuredMean(masks)


def _linear(shape: Shape, inputs: Inputs) -> list["Node"]:
    return _on_summary(Shape(width=1, layers=0, summary=shape.summary, dropout=0.0), inputs)


def _wide(shape: Shape, inputs: Inputs) -> list["Node"]:
    """Return a wide and deep network: hinges of measured summaries and ReLU units on these, joined at the logit."""
    return _joined_at_logit(shape, inputs, [])


def _with_state(layer: Callable[[int, int, Shape], Any]) -> Callable[[Shape, Inputs], list["Node"]]:
    """Return what makes a wide and deep network that reads the last state of a recurrent layer as well."""

    def nodes(shape: Shape, inputs: Inputs) -> list["Node"]:
        from mortcond.layers import Masking
        from mortcond.network import INPUT, Node

        state = layer(inputs.features, shape.width, shape)
        recurrent = Node("recurrent.0", state, (INPUT, "masking"))
        return [
            Node("masking", Masking()),
            recurrent,
            *_joined_at_logit(shape, inputs, [(recurrent.name, shape.width)]),
        ]

    return nodes


def _joined_at_logit(shape: Shape, inputs: Inputs, states: list[tuple[str, int]]) -> list["Node"]:
    """Return summaries, hinges and units joined with the states of recurrent nodes, (name, width) each."""
    from mortcond.layers import Concatenate, Dense, Dropout, Hinges
    from mortcond.network import Node

    summary, hinges = _summary("measured", inputs), Hinges()
    width = summary.width(inputs.features, hours=inputs.hours)
    units = Dense(_zeros(width, shape.width), _zeros(shape.width), "relu")
    found = [Node("summary", summary), Node("hinges", hinges, ("summary",)), Node("dense.0", units, ("summary",))]
    parts = [("hinges", hinges.width(width, hours=inputs.hours)), ("dense.0", shape.width), *states]
    if shape.dropout:
        found += [Node(f"dropout-{name}", Dropout(shape.dropout), (name,)) for name, _ in parts[1:]]
        parts[1:] = [(f"dropout-{name}", units) for name, units in parts[1:]]
    found.append(Node("joined", Concatenate(), tuple(name for name, _ in parts)))
    output = Dense(_zeros(sum(units for _, units in parts), 1), _zeros(1), "sigmoid")
    return [*found, Node("dense.1", output, ("joined",))]


def _dense(sizes: Sequence[int], source: str, dropout: float) -> list["Node"]:
    """Return dense layers with ReLU of sizes[1:], dropout, and the risk."""
    from mortcond.layers import Dense, Dropout
    from mortcond.network import Node

    found = []
    for index, (width, units) in enumerate(pairwise(sizes)):
        found.append(Node(f"dense.{index}", Dense(_zeros(width, units), _zeros(units), "relu"), (source,)))
        source = f"dense.{index}"
    if dropout:
        found.append(Node("dropout", Dropout(dropout), (source,)))
        source = "dropout"
    output = Dense(_zeros(sizes[-1], 1), _zeros(1), "sigmoid")
    return [*found, Node(f"dense.{len(sizes) - 1}", output, (source,))]


def _zeros(*shape: int) -> Any:
    import numpy as np

    return np.zeros(shape, np.float32)


# Measured on PhysioNet 2012, on folds inside training splits: tests/benchmarks/cross_validation.py
_BEST = {"batch_size": 64, "schedule": "cosine", "weight_decay": 0.1, "clip_norm": 1.0}
_BEST |= {"teacher": ENSEMBLE, "teacher_weight": 0.7}
_BEST_WIDE = _BEST | {"batch_size": 256, "epochs": 50, "learning_rate": 0.004, "weight_decay": 0.05, "clip_norm": 2.0}
_BEST_WIDE |= {"input_dropout": 0.2}
_BEST_RECURRENT = _BEST | {"epochs": 30, "learning_rate": 0.003, "input_dropout": 0.3}

ARCHS: dict[str, Arch] = {  # paper, sections II-E to II-G
    row.name: row
    for row in (
        Arch(
            "lstm",
            "LSTM",
            "#0072b2",
            "ovph",
            _recurrent(_lstm),
            shape={"width": 16, "layers": 2, "dropout": 0.3},
            best_shape={"layers": 1},
            best=_BEST_RECURRENT,
            search=((4,), (8,), (16,), (8, 8), (16, 16)),
            converts_to="hlstm",
        ),
        Arch(
            "gru",
            "GRU",
            "#cc79a7",
            "h8pH",
            _recurrent(_gru),
            shape={"width": 16, "layers": 2, "dropout": 0.3},
            best_shape={"layers": 1},
            best=_BEST_RECURRENT,
            search=((4,), (8,), (16,)),
        ),
        Arch(
            "bilstm",
            "bidirectional LSTM",
            "#56b4e9",
            "1234",
            _both_ways,
            shape={"width": 16, "layers": 2, "dropout": 0.3},
            best_shape={"layers": 1},
            best=_BEST_RECURRENT,
        ),
        Arch(
            "hlstm",
            "hidden-layer LSTM",
            "#d55e00",
            "DdXx",
            _recurrent(hidden_lstm),
            shape={"width": 16, "layers": 1, "hidden_width": None, "hidden_depth": 1, "dropout": 0.3},
            best=_BEST_RECURRENT,
            search=((4,), (8,), (16,)),
        ),
        Arch(
            "dnn",
            "dense network",
            "#009e73",
            "s<>8",
            _on_summary,
            shape={"width": 256, "layers": 3, "summary": "mean", "dropout": 0.5},
            best_shape={"width": 16, "layers": 1, "summary": "full", "dropout": 0.3},
            best=_BEST | {"epochs": 40},
            search=((16,), (32, 16), (64, 32, 16), (128, 64, 32)),
            search_full=((4,), (8,), (16,)),
            integer=True,
        ),
        Arch(
            "wide",
            "wide and deep",
            "#e69f00",
            "Xx*P",
            _wide,
            shape={"width": 16, "dropout": 0.3},
            best=_BEST_WIDE,
            search=((4,), (8,), (16,)),
        ),
        Arch(
            "joined",
            "summaries and LSTM state",
            "#56b4e9",
            ">v<^",
            _with_state(_lstm),
            shape={"width": 8, "dropout": 0.3},
            best=_BEST_WIDE,
            search=((4,), (8,)),
        ),
        Arch(
            "linear",
            "linear",
            "#6a6f76",
            "^",
            _linear,
            shape={"summary": "full"},
            fitted=LOGISTIC,
            search=((),),
        ),
    )
}
Name = StrEnum("Name", {name: name for name in ARCHS})  # the choices of an option
FLOOR = next(name for name, arch in ARCHS.items() if arch.fitted == LOGISTIC)  # that every network must beat
PAPER_CHAIN = ("lstm", "dnn")  # trained and condensed in the paper (Tables II and III)
PRESETS = ("paper", "best")
OTHER = Arch("other", "other", "#a65d99", "P*", lambda shape, inputs: [], shape={})  # a network from elsewhere


def row(name: str | None) -> Arch:
    """Return an architecture's row; OTHER for a name that the table does not have."""
    return ARCHS.get(name, OTHER)


def known(name: str) -> Arch:
    """Return an architecture's row.

    Raises UsageError where there is none.
    """
    if name not in ARCHS:
        raise UsageError(f"There is no architecture {name!r}.", f"Known are {', '.join(ARCHS)}.")
    return ARCHS[name]


def shaped(name: str, preset: str = "paper", **given: Any) -> Shape:
    """Return the sizes of an architecture with a preset, with what was given in their place.

    Raises UsageError where a size is no option of the architecture, or has no possible value.
    """
    arch = known(name)
    given = {option: value for option, value in given.items() if value is not None}
    strange = [option for option in given if option not in arch.shape]
    if strange:
        raise UsageError(f"{_flag(strange[0])} is no option of {name}.", f"Leave out {_flag(strange[0])}.")
    shape = Shape(**(arch.shape | (arch.best_shape if preset == "best" else {}) | given))
    _refuse_impossible(shape)
    return shape


def untrained(name: str, shape: Shape, inputs: Inputs) -> "Network":
    """Return a network of an architecture with weights of zero.

    On 76 features the paper's own have 8,081 (lstm), 6,993 (hlstm) and 60,929 (dnn) parameters.
    """
    from mortcond.network import chain

    return chain(name, inputs.features, inputs.hours, known(name).nodes(shape, inputs))


def inputs_of(data: "Dataset") -> Inputs:
    """Return what a network reads of a data set."""
    from mortcond.dataset import mask_columns

    names = tuple(data.feature_names)
    return Inputs(len(names), data.hours, mask_columns(names), names)


def _refuse_impossible(shape: Shape) -> None:
    for name in ("width", "layers", "hidden_width", "hidden_depth"):
        value = getattr(shape, name)
        if value is not None and value < 1:
            raise UsageError(f"{_flag(name)} is {value}, not at least 1.", "Change or leave it out.")
    if shape.summary not in (None, *SUMMARIES):
        raise UsageError(f"--summary is {shape.summary!r}.", f"Use one of {', '.join(SUMMARIES)}.")
    if shape.dropout is not None and not 0 <= shape.dropout < 1:
        raise UsageError(f"--dropout is {shape.dropout}, not from 0 to below 1.", "Change or leave it out.")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
