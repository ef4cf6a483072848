"""run: the whole chain of the paper in one go, resuming at the first step whose artifact is missing or stale.

Comes in: records (the bundled sample by default). Goes out: every artifact of the chain in the workspace, and the table
of `bench`. A step is one call of the command of that name; nothing is done here that a user could not do by hand.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from mortcond import archs
from mortcond.commands.bench import render as render_bench
from mortcond.commands.manifests import read_any_manifest
from mortcond.core.artifacts import names_digest, sha256
from mortcond.core.calls import takes
from mortcond.core.console import Bar, Console
from mortcond.core.errors import LimitError, MortcondError, UsageError
from mortcond.core.manifest import Manifest
from mortcond.core.options import plain
from mortcond.core.session import Session
from mortcond.core.workspace import DATASET
from mortcond.options import COMMANDS
from mortcond.options.run import Run

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


@takes(Run)
def run(session: Session, options: Run) -> dict[str, Any]:
    """Run the paper's chain on records and measure every artifact of it.

    Returns
    -------
    The result of `bench`, and `steps`: for each step its artifact, the seconds it took, why it ran (None: fresh), and
    why its artifact was refused, if it was.

    Raises
    ------
    UsageError
        A step would replace what was not made by run.
    """
    given = {name: getattr(options, name) for name in options.given() if name != "source"}
    steps = list(chain(session.workspace, options.source, given))
    reasons = {step.out: "--overwrite" if session.overwrite else why_stale(step, session.seed) for step in steps}
    _refuse_others_work(steps, reasons, session)
    with session.console.chain("mortcond run", len(steps) + 1 + options.validate) as (console, bar):
        done = [_step(step, reasons, session, console, bar) for step in steps]
        if options.validate:
            bar.advance(0, note="validate")
            _call(validation(session.workspace, steps), session, console)
            bar.advance(1)
        bar.advance(0, note="bench")
        artifacts = [step.out for step in steps if step.command != "preprocess" and step.out.exists()]
        inputs = {"dataset": session.workspace / DATASET}
        result = _call(Step("bench", session.workspace / "bench", inputs, {"artifacts": artifacts}), session, console)
    return result | {"steps": done}


def chain(workspace: Path, source: Path | None, given: dict[str, Any]) -> Iterator[Step]:
    """Yield the steps of the paper (Tables II and III, section III), the linear floor first, in the order of need."""
    dataset = workspace / DATASET
    chosen = {name: given[name] for name in ("variables", "outcomes") if name in given}
    yield Step("preprocess", dataset, {}, {"source": source} | chosen)

    training = {name: given[name] for name in ("epochs", "preset", "backend") if name in given}
    quantile = given.get("quantile", 0.5)
    inputs = {"dataset": dataset}
    yield Step("train", workspace / archs.FLOOR, inputs, {"arch": archs.FLOOR})
    for name in archs.PAPER_CHAIN:
        network = Step("train", workspace / name, inputs, {"arch": name} | training)
        converted = [hidden_layer(network)] if archs.known(name).converts_to else []
        yield from with_8_bits(network, pruned(network, quantile), *converted)


def with_8_bits(*models: Step) -> Iterator[Step]:
    """Yield steps that make models, each followed by that which makes its 8-bit file."""
    for model in models:
        yield model
        inputs = {"model": model.out, "dataset": model.inputs["dataset"]}
        yield Step("quantize", model.out.with_name(f"{model.out.name}-int8.tflite"), inputs, {"mode": "int8"})


def validation(workspace: Path, steps: list[Step]) -> Step:
    """Return the step that cross-validates the networks of a chain, trained as they were; `bench` shows it first."""
    networks = [step for step in steps if step.command in ("train", "prune", "hlstm-convert", "quantize")]
    lstm = next(step for step in networks if step.out.name == "lstm")
    training = {name: lstm.options[name] for name in ("epochs", "preset") if name in lstm.options}
    forms = [step.out.name.removesuffix(".tflite") for step in networks]
    return Step("validate", workspace / "validate", {"dataset": workspace / DATASET}, {"forms": forms} | training)


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
    for name, value in resolved(step).items():
        if name in manifest.options and name not in step.inputs and name not in NEUTRAL:
            recorded = manifest.option(name)
            if str(value) != str(None if recorded == "" else recorded):
                return f"{name} was {recorded}, is {value}"
    return None


def _changed_input(step: Step, manifest: Manifest) -> str | None:
    """Compare the recorded hashes with the files as they are: those of the step, and any other that went in."""
    by_file = any(role.startswith("source/") for role in manifest.inputs)  # then the folder needs no hash of its own
    for role in step.inputs.keys() - manifest.inputs.keys():
        return f"its {role} is not recorded"
    for role, entry in manifest.inputs.items():
        path = step.inputs.get(role, Path(entry["path"]))
        if not path.exists() or (entry.get("names") not in (None, names_digest(path))):
            return f"{path.name} has changed"
        if not (by_file and role == "source") and entry["sha256"] != sha256(path):
            return f"{path.name} has changed"
    return None


def _refuse_others_work(steps: list[Step], reasons: dict[Path, str | None], session: Session) -> None:
    """Raise UsageError, before any work, where a step would replace what a user made by hand."""
    anew: set[Path] = set()
    for step in steps:
        remade = anew & set(step.inputs.values())
        reason = reasons[step.out] or (f"{min(remade).name} is made anew" if remade else None)
        if reason:
            anew.add(step.out)
        if reason and step.out.exists() and not session.overwrite and not _is_by_run(step.out):
            raise UsageError(
                f"run would replace {step.out}, which it did not make: {reason}.",
                "Pass --overwrite to have it replaced, or name another --workspace.",
            )


def _is_by_run(path: Path) -> bool:
    try:
        return read_any_manifest(path).is_by("run")
    except MortcondError:
        return False


def _step(step: Step, reasons: dict[Path, str | None], session: Session, console: Console, bar: Bar) -> dict[str, Any]:
    started = time.monotonic()
    bar.advance(0, note=step.out.name)
    reason = reasons[step.out]
    if reason is None and any(reasons.get(path) for path in step.inputs.values()):
        reason = reasons[step.out] = why_stale(step, session.seed)  # what it is made of was made anew
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
    """Call a command's function as the command line would."""
    return _function(step.command)(session.step(console), **step.arguments)


def resolved(step: Step) -> dict[str, Any]:
    """Return every option of a step, as a manifest records it."""
    options = COMMANDS[step.command].options(**step.options).filled()
    return {entry.name: plain(getattr(options, entry.name)) for entry in fields(options)}


def _function(command: str) -> Callable[..., dict[str, Any]]:
    name = COMMANDS[command].identifier
    return getattr(import_module(f"mortcond.commands.{name}"), name)


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show what `bench` shows, and which steps had to run."""
    yield from render_bench(result)
    ran = [step for step in result["steps"] if step["reason"]]
    yield f"{len(ran)} of {len(result['steps'])} steps ran, the rest was fresh; {sum(s['seconds'] for s in ran):.0f} s."
