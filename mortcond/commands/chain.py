"""The chain of one fold: a network trained, condensed and written as files, all in memory, by the commands' own steps.

Comes in: the data set of a fold, the forms that are wanted, how to train. Goes out: for each form the risk of every
held-out stay, as its `.tflite` file gives it, and what the form costs. What the commands would read from a model
directory stands in a temporary folder here; nothing is chosen by the held-out stays.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import archs
from mortcond.core.choices import Backend
from mortcond.core.console import Console
from mortcond.core.errors import UsageError
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.dataset import Dataset

TREES, LINEAR = "trees", archs.FLOOR
REFERENCES = (LINEAR, TREES)  # what no network is made of: fitted whole, and not condensed
NAME = re.compile(
    r"(?P<arch>[a-z]+)(-pruned(?P<share>\d{1,2}))?(?P<hlstm>-hlstm)?(-(?P<mode>float16|dynamic|int8|integer))?"
)
PAPERS = ("lstm", "lstm-pruned50", "lstm-hlstm", "dnn", "dnn-pruned50")


@dataclass(frozen=True)
class Form:
    """One form, by the name that its artifact would have: lstm, lstm-pruned50, lstm-pruned50-hlstm-int8, trees."""

    arch: str
    pruned: int | None = None  # percent of the channels of each layer
    converted: bool = False  # one hidden-layer LSTM in the place of the LSTM's layers
    mode: str = "float32"

    @property
    def network(self) -> str:
        """The name of the network, in float32."""
        cut = f"-pruned{self.pruned}" if self.pruned is not None else ""
        return self.arch + cut + ("-hlstm" if self.converted else "")

    @property
    def name(self) -> str:
        return self.network + ("" if self.mode == "float32" else f"-{self.mode}")

    @property
    def parent(self) -> "Form | None":
        """The form that this one is made of."""
        if self.mode != "float32":
            return replace(self, mode="float32")
        if self.converted:
            return replace(self, converted=False)
        return None if self.pruned is None else replace(self, pruned=None)

    @property
    def baseline(self) -> "Form | None":
        """The uncondensed network; None for that itself."""
        return None if self.parent is None else Form(self.arch)


def read(name: str) -> Form:
    """Return the form of a name.

    Raises UsageError where there is no such form.
    """
    found = NAME.fullmatch(name)
    if found is None or not _can_be(**found.groupdict()):
        raise UsageError(
            f"There is no form {name!r}.",
            f"Use names as of artifacts: {', '.join(archs.ARCHS)}, {TREES}; lstm-pruned50, lstm-hlstm, "
            "dnn-pruned50-int8 ...",
        )
    share = None if found["share"] is None else int(found["share"])
    return Form(found["arch"], share, bool(found["hlstm"]), found["mode"] or "float32")


def _can_be(arch: str, share: str | None, hlstm: str | None, mode: str | None) -> bool:
    """Say whether the commands can make this form."""
    if arch == TREES:
        return not (share or hlstm or mode)
    if arch == LINEAR:
        return not (share or hlstm or mode == "integer")
    row = archs.row(arch)
    return row is not archs.OTHER and bool(row.converts_to or not hlstm) and (row.integer or mode != "integer")


def with_parents(forms: Sequence[Form]) -> list[Form]:
    """Return forms with everything that they are compared with, each once, parents before their children."""
    found: dict[str, Form] = {}

    def add(form: Form) -> None:
        if form.parent is not None:
            add(form.parent)
        found.setdefault(form.name, form)

    for form in forms:
        add(form)
    return list(found.values())


@dataclass(frozen=True)
class HowToTrain:
    """What decides how the networks of a chain are trained."""

    preset: str = "paper"
    epochs: int | None = None  # in the place of the preset's
    calibrate: bool = False
    backend: str = Backend.auto


def described(arch: str, how: HowToTrain) -> dict[str, Any]:
    """Return sizes and settings of an architecture in full: what a preset's name stands for today."""
    from mortcond.training import teacher
    from mortcond.training.settings import preset

    if arch == TREES:
        return dict(teacher.TREES)
    told = asdict(archs.shaped(arch, how.preset))
    return told | asdict(preset(how.preset, arch)) if archs.known(arch).trainable else told


@dataclass(frozen=True)
class Outcome:
    """What one form said and cost in one fold."""

    risk: np.ndarray  # (held-out stays,)
    size_bytes: int | None
    parameters: int | None
    seconds: float  # of training, this step alone
    max_abs_dp: float | None  # to its parent, where the step is rounding


@dataclass
class Chain:
    """The networks of one fold and one seed, each made once, when the first form asks for it."""

    data: Dataset
    how: HowToTrain
    seed: int
    folder: Path
    console: Console = field(default_factory=lambda: Console(quiet=True))
    made: dict[str, Any] = field(default_factory=dict)  # children.Parent by the name of the network
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def outcome(self, form: Form) -> Outcome:
        """Return what a form says of the held-out stays."""
        if form.name not in self.outcomes:
            self.outcomes[form.name] = self._trees() if form.arch == TREES else self._file(form)
        return self.outcomes[form.name]

    def _file(self, form: Form) -> Outcome:
        from mortcond.deploy import metadata
        from mortcond.deploy.runtime import Predictor
        from mortcond.deploy.tflite import build
        from mortcond.deploy.weights import EIGHT_BITS

        started = time.monotonic()
        network = self.network(form).network
        seconds = time.monotonic() - started
        converted = build(network, form.mode, self.data.train.X if form.mode in EIGHT_BITS else None)
        facts = {"inputs": self.data.meta.get("inputs"), "prevalence": self.data.meta["prevalence"]}
        path = self.folder / f"{form.name}.tflite"
        path.write_bytes(metadata.attach(converted.bytes, metadata.described(facts)))
        risk = Predictor(path).predict(self.data.test.X)
        rounded = form.mode != "float32"
        moved = np.abs(risk - self.outcome(form.parent).risk).max() if rounded else None
        size = path.stat().st_size
        return Outcome(risk, size, network.parameters, 0.0 if rounded else seconds, float(moved) if rounded else None)

    def network(self, form: Form) -> Any:
        """Return the trained network behind a form, as a `children.Parent`."""
        if form.network not in self.made:
            if form.arch == LINEAR:
                shape = archs.shaped(LINEAR, self.how.preset)
                made = self._linear(archs.untrained(LINEAR, shape, archs.inputs_of(self.data)))
            elif form.converted:
                made = self._converted(self.network(replace(form, converted=False)))
            elif form.pruned is not None:
                made = self._pruned(self.network(Form(form.arch)), form.pruned / 100)
            else:
                made = self._trained(form.arch)
            self.made[form.network] = made
        return self.made[form.network]

    def _trained(self, arch: str) -> Any:
        from mortcond.training.settings import preset

        given = {} if self.how.epochs is None else {"epochs": self.how.epochs}
        network = archs.untrained(arch, archs.shaped(arch, self.how.preset), archs.inputs_of(self.data))
        return self._fit(arch, network, preset(self.how.preset, arch, **given))

    def like(self, parent: Any) -> Any:
        """Return a network of the same kind as another, trained as it was, on these data; see `network`."""
        if parent.network.arch == LINEAR:
            return self._linear(parent.network)
        return self._fit(parent.network.arch, parent.network, parent.settings)

    def _fit(self, name: str, network: Any, settings: Any) -> Any:
        from mortcond.training.backends import ready
        from mortcond.training.initial import initial
        from mortcond.training.training import fit

        checkpoints = self._checkpoints(name)
        backend = ready(self.how.backend)
        trained = fit(
            initial(network.fitted(self.data.train.X), self.seed, backend),
            self._without_test(),
            settings,
            seed=self.seed,
            console=self.console,
            checkpoints=checkpoints,
            backend=backend,
        )
        return self._parent(name, trained.network, trained.history, settings)

    def _pruned(self, parent: Any, quantile: float) -> Any:
        from mortcond.commands import prune
        from mortcond.condense.select import Amount

        recipe = prune.Recipe(Amount(quantile))
        name = f"{parent.manifest.name}-{recipe.suffix}"
        course = recipe.plan(parent)
        pruned = prune._train_in_stages(self._session("prune"), parent, recipe, course, self._checkpoints(name))
        return self._parent(name, pruned.network, pruned.history, pruned.settings)

    def _converted(self, parent: Any) -> Any:
        from mortcond.commands import children, hlstm_convert

        name = f"{parent.manifest.name}-hlstm"
        start = hlstm_convert.converted(parent, "scratch", None, 1, self.seed, self.how.backend)
        trained = children.train(
            self._session("hlstm-convert"), parent, start, parent.settings, self._checkpoints(name)
        )
        return self._parent(name, trained.network, trained.history, parent.settings)

    def _linear(self, network: Any) -> Any:
        from mortcond.training.linear import fit_linear
        from mortcond.training.settings import TrainSettings

        train = self.data.train
        empty = network.fitted(train.X)
        fitted = fit_linear(train.X, train.y, train.subject_id, self.seed, self.console, empty)
        return self._parent(LINEAR, fitted.network, [], TrainSettings())

    def _trees(self) -> Outcome:
        """Fit boosted trees on the summaries that the linear model sees, as the teacher's are."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        from mortcond.training import teacher
        from mortcond.training.linear import summaries_of

        started = time.monotonic()
        trees = HistGradientBoostingClassifier(random_state=self.seed, **teacher.TREES)
        trees.fit(summaries_of(self.data.train.X), self.data.train.y)
        seconds = time.monotonic() - started
        risk = trees.predict_proba(summaries_of(self.data.test.X))[:, 1]
        return Outcome(risk, None, None, seconds, None)

    def _parent(self, name: str, network: Any, history: list, settings: Any) -> Any:
        """Return a trained network as what the commands make children of; calibrated where that was asked for."""
        from mortcond.commands.children import Parent, calibrated_as_parent
        from mortcond.core.manifest import Manifest

        extra = {"calibration": {}} if self.how.calibrate and network.arch != LINEAR else {}
        manifest = Manifest("model", name, "validate", {}, self.seed, {}, arch=network.arch, extra=extra)
        made = Parent(self.folder / name, manifest, network, history, settings, self._without_test(), self.folder)
        return replace(made, network=calibrated_as_parent(made, network, {})[0])

    def _without_test(self) -> Dataset:
        """Return the data without the held-out stays: what is not there cannot be looked at."""
        return replace(self.data, test=None)

    def _checkpoints(self, name: str) -> Path:
        folder = self.folder / name / "checkpoints"
        folder.mkdir(parents=True)
        return folder

    def _session(self, command: str) -> Session:
        return Session(self.folder, self.seed, console=self.console, command=command, backend=self.how.backend)


def run(data: Dataset, forms: Sequence[Form], how: HowToTrain, seed: int) -> dict[str, Outcome]:
    """Return the outcome of every form in one fold, by its name."""
    with scratch_folder() as folder:
        chain = Chain(data, how, seed, folder)
        return {form.name: chain.outcome(form) for form in forms}
