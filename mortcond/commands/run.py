"""run: the whole chain of the paper in one go, resuming at the first step whose artifact is missing or stale.

Comes in: records (the bundled sample by default). Goes out: every artifact of the chain in the workspace, and the table
of `bench`. A step is one call of the command of that name; nothing is done here that a user could not do by hand.
"""

import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mortcond.commands.bench import render as render_bench
from mortcond.commands.manifests import read_any_manifest
from mortcond.core.artifacts import sha256
from mortcond.core.console import Bar, Console
from mortcond.core.errors import LimitError, MortcondError
from mortcond.core.manifest import Manifest
from mortcond.core.session import Session
from mortcond.core.workspace import DATASET

NEUTRAL = ("out", "threads", "memory_limit")  # options that change no number of the artifact


@dataclass(frozen=True)
class Step:
    """One call of one command: what it reads, what it writes, and the options that differ from the defaults."""

    command: str
    out: Path
    inputs: dict[str, Path] = field(default_factory=dict)  # by their role in the manifest: dataset, model
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        return self.inputs | self.options | {"out": self.out}


def run(
    session: Session,
    source: Path | None = None,
    *,
    epochs: int | None = None,
    quantile: float | None = None,
    preset: str | None = None,
    variables: str | None = None,
    outcomes: Path | None = None,
) -> dict[str, Any]:
    """Run the paper's chain on `source` and measure every artifact of it.

    Parameters
    ----------
    source
        Records of any kind that `preprocess` reads; None: the bundled sample.
    epochs, quantile, preset, variables, outcomes
        As for `train`, `prune` and `preprocess`; None: the default there.

    Returns
    -------
    The result of `bench`, and `steps`: for each step its artifact, the seconds it took, why it ran (None: fresh), and
    why its artifact was refused, if it was.
    """
    given = {"epochs": epochs, "preset": preset, "quantile": quantile, "variables": variables, "outcomes": outcomes}
    steps = list(chain(session.workspace, source, {name: value for name, value in given.items() if value is not None}))
    with session.console.chain("mortcond run", len(steps) + 1) as (console, bar):
        done = [_step(step, session, console, bar) for step in steps]
        bar.update(len(steps), note="bench")
        artifacts = [step.out for step in steps if step.command != "preprocess" and step.out.exists()]
        inputs = {"dataset": session.workspace / DATASET}
        result = _call(Step("bench", session.workspace / "bench", inputs, {"artifacts": artifacts}), session, console)
    return result | {"steps": done}


def chain(workspace: Path, source: Path | None, given: dict[str, Any]) -> Iterator[Step]:
    """Yield the steps of the paper (Tables II and III, section III), the linear floor first, in the order of need."""
    dataset = workspace / DATASET
    chosen = {name: given[name] for name in ("variables", "outcomes") if name in given}
    yield Step("preprocess", dataset, {}, {"source": source} | chosen)

    training = {name: given[name] for name in ("epochs", "preset") if name in given}
    quantile = given.get("quantile", 0.5)
    floor = Step("train", workspace / "linear", {"dataset": dataset}, {"arch": "linear"})
    lstm = Step("train", workspace / "lstm", {"dataset": dataset}, {"arch": "lstm"} | training)
    dnn = Step("train", workspace / "dnn", {"dataset": dataset}, {"arch": "dnn"} | training)
    yield floor
    for model in (lstm, pruned(lstm, quantile), hidden_layer(lstm), dnn, pruned(dnn, quantile)):
        yield model
        name = f"{model.out.name}-int8.tflite"
        yield Step("quantize", workspace / name, {"model": model.out, "dataset": dataset}, {"mode": "int8"})


def pruned(model: Step, quantile: float) -> Step:
    """Return the step that prunes a model (paper, section II-H)."""
    out = model.out.with_name(f"{model.out.name}-pruned{round(100 * quantile)}")
    return Step("prune", out, {"model": model.out, "dataset": model.inputs["dataset"]}, {"quantile": quantile})


def hidden_layer(model: Step) -> Step:
    """Return the step that puts one hidden-layer LSTM in the place of a model's recurrent layers (section II-F)."""
    out = model.out.with_name(f"{model.out.name}-hlstm")
    return Step("hlstm-convert", out, {"model": model.out, "dataset": model.inputs["dataset"]})


def why_stale(step: Step, seed: int) -> str | None:
    """Say why a step must run (again): its artifact is missing, or was made of other inputs or options; None: fresh."""
    if not step.out.exists():
        return "missing"
    try:
        manifest = read_any_manifest(step.out)
    except MortcondError:
        return "unreadable"
    if manifest.seed != seed:
        return f"made with seed {manifest.seed}"
    return _changed_option(step, manifest) or _changed_input(step, manifest)


def _changed_option(step: Step, manifest: Manifest) -> str | None:
    resolved = defaults(step.command) | step.options
    for name, recorded in manifest.options.items():
        compared = name in resolved and name not in step.inputs and name not in NEUTRAL
        if compared and str(recorded["value"]) != str(resolved[name]):
            return f"{name} was {recorded['value']}, is {resolved[name]}"
    return None


def _changed_input(step: Step, manifest: Manifest) -> str | None:
    """Compare the recorded hashes with the files: those of the step, or the raw files that the data set names."""
    recorded = {role: entry["sha256"] for role, entry in manifest.inputs.items()}
    raw = {role: Path(entry["path"]) for role, entry in manifest.inputs.items() if role.startswith("source/")}
    for role, path in (step.inputs or raw).items():
        if not path.exists() or recorded.get(role) != sha256(path):
            return f"{path.name} has changed"
    return None


def _step(step: Step, session: Session, console: Console, bar: Bar) -> dict[str, Any]:
    started = time.monotonic()
    bar.advance(0, note=step.out.name)
    reason = why_stale(step, session.seed) if not session.overwrite else "--overwrite"
    refused = None
    if reason:
        console.note(f"{step.command}: {step.out} ({reason})")
        try:
            _call(step, session, console)
        except LimitError as error:  # an 8-bit form too far from its parent is a finding, and the others still count
            refused = error.problem
            console.warn(f"Left out: {refused}")
    bar.advance(1)
    seconds = round(time.monotonic() - started, 2)
    return {"artifact": str(step.out), "reason": reason, "refused": refused, "seconds": seconds}


def _call(step: Step, session: Session, console: Console) -> dict[str, Any]:
    """Call a command's function as the command line would, with the manifest's record of its options."""
    resolved = {name: {"value": value, "source": "default"} for name, value in defaults(step.command).items()}
    resolved |= {name: {"value": _plain(value), "source": "run"} for name, value in step.arguments.items()}
    call = {"command": step.command, "options": resolved, "overwrite": True, "console": console}
    return _function(step.command)(replace(session, **call, started=time.monotonic()), **step.arguments)


def defaults(command: str) -> dict[str, Any]:
    """Return the default of every option of a command, as its function states it."""
    parameters = inspect.signature(_function(command)).parameters.values()
    return {p.name: _plain(p.default) for p in parameters if p.default is not inspect.Parameter.empty}


def _function(command: str) -> Callable[..., dict[str, Any]]:
    name = command.replace("-", "_")
    return getattr(import_module(f"mortcond.commands.{name}"), name)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show what `bench` shows, and which steps had to run."""
    yield from render_bench(result)
    ran = [step for step in result["steps"] if step["reason"]]
    yield f"{len(ran)} of {len(result['steps'])} steps ran, the rest was fresh; {sum(s['seconds'] for s in ran):.0f} s."
