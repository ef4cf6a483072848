"""What the library returns: small frozen objects, each a path with what is known of it, which show themselves.

Comes in: the result of a command, or a path. Goes out: `Dataset`, `Model`, `TFLiteFile`, `Report`, `Records`, `Facts`.
"""

import io
import weakref
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mortcond.core.scratch import scratch_folder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

WIDTH = 110  # characters, in a notebook


class Folder:
    """A temporary folder that is there as long as somebody holds this object."""

    def __init__(self):
        stack = ExitStack()
        self.path: Path = stack.enter_context(scratch_folder())
        weakref.finalize(self, stack.close)


@dataclass(frozen=True, repr=False)
class Artifact:
    """Something that a command made."""

    path: Path | None
    facts: dict[str, Any] = field(default_factory=dict, compare=False)  # what the command told of it
    command: str = field(default="inspect", compare=False)  # which one: it knows how to show the facts
    folders: tuple[Folder, ...] = field(default=(), compare=False)  # temporary ones that it lives in

    def __repr__(self) -> str:
        words = ", ".join(word for word in self.words() if word)
        return f"{type(self).__name__}({str(self.path)!r}{': ' if words else ''}{words})"

    def words(self) -> list[str]:
        """Return in a few words what it is."""
        return []

    def _repr_html_(self) -> str:
        """Show in a notebook what the command line would have printed."""
        from rich.console import Console

        console = Console(record=True, file=io.StringIO(), width=WIDTH, highlight=False)
        for part in import_module(f"mortcond.commands.{self.command}").render(self.facts):
            console.print(part, markup=False) if isinstance(part, str) else console.print(part)
        return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.3">{code}</pre>')

    @property
    def manifest(self) -> Any:
        """Its record: command, options, inputs, lineage, versions (`core.manifest.Manifest`)."""
        from mortcond.commands.manifests import read_any_manifest

        return read_any_manifest(self.path)


@dataclass(frozen=True, repr=False)
class Dataset(Artifact):
    """A `dataset.npz`; a split is read when it is asked for."""

    @cached_property
    def _head(self) -> Any:
        return self._read(())

    @cached_property
    def train(self) -> Any:
        """The training split: `X` (stays, hours, features), `y`, `stay_id`, `subject_id` (`mortcond.dataset.Split`)."""
        return self._read(("train",)).train

    @cached_property
    def val(self) -> Any:
        """The validation split."""
        return self._read(("val",)).val

    @cached_property
    def test(self) -> Any:
        """The test split."""
        return self._read(("test",)).test

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of X's last axis."""
        return self._head.feature_names

    @property
    def meta(self) -> dict[str, Any]:
        """Source, split rule, attrition, prevalence, how raw records are prepared, and the manifest."""
        return self._head.meta

    def prepared(self, X: "np.ndarray") -> "np.ndarray":
        """Return new stays, (stays, hours, features) in the units of the arrays this was made of, scaled as it is."""
        import numpy as np

        from mortcond.dataset.arrays import standardised

        scaled = self.meta.get("inputs", {}).get("scaled")
        return standardised(X, self._head.mean, self._head.std) if scaled else np.asarray(X, np.float32)

    def _read(self, splits: tuple[str, ...]) -> Any:
        from mortcond.dataset import load

        return load(self.path, splits)

    def words(self) -> list[str]:
        return [f"{len(self.feature_names)} features"]


@dataclass(frozen=True, repr=False)
class Predicting(Artifact):
    """What can predict."""

    def predict(self, X: Any, threads: int = 1) -> "np.ndarray":
        """Return the risk of death in hospital of each stay, (stays,) float32, without TensorFlow.

        Parameters
        ----------
        X
            (stays, hours, features), prepared and scaled as in the data set it was trained on; or a split of one.
        threads
            Calls side by side.
        """
        from mortcond.deploy.runtime import Predictor

        return Predictor(self.path, threads).predict(getattr(X, "X", X))

    @property
    def arch(self) -> str | None:
        """The architecture."""
        return self.manifest.arch

    @property
    def parameters(self) -> int | None:
        """The number of parameters."""
        return self.manifest.parameters

    @property
    def metrics(self) -> dict[str, Any]:
        """Losses and AUROC by split, as measured when it was made."""
        return self.manifest.metrics


@dataclass(frozen=True, repr=False)
class Model(Predicting):
    """A model directory."""

    @property
    def history(self) -> "pd.DataFrame":
        """A row an epoch: losses, AUROC and seconds."""
        import pandas as pd

        return pd.read_csv(self.path / "history.csv")

    def words(self) -> list[str]:
        return [self.arch or "", f"{self.parameters:,} parameters" if self.parameters else ""]


@dataclass(frozen=True, repr=False)
class TFLiteFile(Predicting):
    """A `.tflite` file."""

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""
        return self.path.stat().st_size

    def words(self) -> list[str]:
        return [f"{self.size_bytes:,} bytes"]


@dataclass(frozen=True, repr=False)
class Report(Artifact):
    """The folder of bench: report.html, results.json, results.csv, plots."""

    @cached_property
    def results(self) -> dict[str, Any]:
        """What results.json holds."""
        import json

        return json.loads((self.path / "results.json").read_text(encoding="utf-8"))

    @property
    def models(self) -> list[dict[str, Any]]:
        """A record an artifact: size, time, AUROC with its interval, difference to its parent with the verdict."""
        return self.results["models"]

    @property
    def table(self) -> "pd.DataFrame":
        """A row an artifact."""
        import pandas as pd

        return pd.read_csv(self.path / "results.csv")

    @property
    def answer(self) -> str:
        """The finding in a sentence."""
        return self.results["answer"]["sentence"]

    def words(self) -> list[str]:
        return [f"{len(self.models)} artifacts"]


@dataclass(frozen=True, repr=False)
class Records(Artifact):
    """A folder of records, which `preprocess` reads."""


@dataclass(frozen=True, repr=False)
class Predictions(Artifact):
    """A file with a risk a stay."""


@dataclass(frozen=True, repr=False)
class Facts(Artifact):
    """What inspect says."""
