"""The command line: the commands, their options and help. Each body imports one room and calls one function.

Only the standard library and typer are imported here, so that `--help` is quick; `mortcond.core` is imported when a
command runs. Options resolve in the order command line, MORTCOND_* variables, TOML file, default.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mortcond import __version__

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="mortcond",
    help="Small, fast and honestly measured neural networks for in-hospital mortality in intensive care.",
    context_settings=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Arch(StrEnum):
    lstm = "lstm"
    hlstm = "hlstm"
    dnn = "dnn"
    linear = "linear"


def _config(context: typer.Context, path: Path | None) -> Path | None:
    """Read the TOML file before the other options resolve: top-level keys serve every command, [command] this one."""
    if path is None:
        return None
    from mortcond.core.errors import MortcondError
    from mortcond.core.settings import read_settings

    options = {parameter.name for parameter in context.command.params}
    every = {name: _option_names(command) for name, command in _command_parameters().items()}
    try:
        context.default_map = read_settings(path, context.info_name, options, every)
    except MortcondError as error:
        raise typer.Exit(_report(error, json=False)) from None
    return path


def _common(flag: str, annotation: Any, default: Any, text: str, **option) -> tuple[Any, Any]:
    """Return the annotation and the default of an option that every command has."""
    return Annotated[annotation, typer.Option(*flag.split(), help=text, **option)], default


COMMON: dict[str, tuple[Any, Any]] = {
    "workspace": _common("-w --workspace", Path, Path("artifacts"), "Where artifacts are read and written."),
    "seed": _common("--seed", int, 0, "Seed of everything random.", min=0),
    "overwrite": _common("--overwrite", bool, False, "Replace an existing output."),
    "json": _common("--json", bool, False, "Print the result as one JSON object."),
    "quiet": _common("-q --quiet", bool, False, "No progress, no notes."),
    "verbose": _common("-v --verbose", bool, False, "Say more."),
    "config": _common("-c --config", Path | None, None, "TOML file with options.", callback=_config, is_eager=True),
}


def command(name: str) -> Callable:
    """Register a command: add the common options, make a Session of them, print its result, turn errors to exit codes.

    The decorated body takes a Session and its own options, and returns (result, render): a JSON-able dict and the
    function that makes rich renderables of it.
    """

    def register(body: Callable) -> Callable:
        own = inspect.signature(body, eval_str=True).parameters
        parameters = [parameter for parameter in own.values() if parameter.name != "session"]
        for option, (annotation, default) in COMMON.items():
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(option, kind, annotation=annotation, default=default))
        for parameter in parameters:
            _read_environment(parameter)
        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

        @functools.wraps(body)
        def call(**values):
            raise typer.Exit(_call(body, values.pop("context"), values))

        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        call.__signature__ = inspect.Signature([context, *keyword])
        call.__annotations__ = {p.name: p.annotation for p in [context, *keyword]}
        app.command(name, context_settings=HELP)(call)
        return body

    return register


def _read_environment(parameter: inspect.Parameter) -> None:
    """Let an option be set by MORTCOND_NAME as well; positional arguments come from the command line only."""
    for info in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(info, typer.models.OptionInfo):
            info.envvar, info.show_envvar = f"MORTCOND_{parameter.name.upper()}", False  # said once, in the main help


def _call(body: Callable, context: typer.Context, values: dict[str, Any]) -> int:
    from mortcond.core.console import Console
    from mortcond.core.errors import as_mortcond_error
    from mortcond.core.locks import release_claims
    from mortcond.core.session import Session

    common = {name: values.pop(name) for name in COMMON}
    console = Console(common["json"], common["quiet"], common["verbose"], bool(values.get("wide")))
    resolved = {name: _resolved(context, name, value) for name, value in (values | common).items()}
    facts = {name: common[name] for name in ("workspace", "seed", "overwrite")}
    session = Session(command=context.info_name, console=console, options=resolved, **facts)
    try:
        result, render = body(session, **values)
        console.result(result, render)
        sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except (Exception, KeyboardInterrupt) as error:
        return _report(as_mortcond_error(error), common["json"])
    finally:
        release_claims()
    return 0


def _report(error: Any, json: bool) -> int:
    """Say what is wrong on stderr (and, with --json, in the one object on stdout); return the exit code."""
    from mortcond.core.console import Console
    from mortcond.core.terminal import silence_stdout

    console = Console(json=json)
    result = getattr(error, "result", None)  # a limit was missed: the work is done, so its result is shown as well
    try:
        if json:
            entry = {"problem": error.problem, "remedy": error.remedy, "exit_code": error.exit_code}
            console.result((result or {}) | {"error": entry})
        elif result is not None:
            console.result(result, error.render)
        sys.stdout.flush()
    except OSError:  # stdout is what is wrong
        silence_stdout()
    console.error(error.problem, error.remedy)
    return error.exit_code


def _resolved(context: typer.Context, name: str, value: Any) -> dict[str, Any]:
    source = context.get_parameter_source(name)
    source_name = {"DEFAULT_MAP": "toml", "COMMANDLINE": "commandline", "ENVIRONMENT": "environment"}
    plain = value if isinstance(value, (bool, int, float, str, list)) or value is None else str(value)
    return {"value": plain, "source": source_name.get(getattr(source, "name", ""), "default")}


def _command_parameters() -> dict[str, Any]:
    return typer.main.get_command(app).commands


def _option_names(command: Any) -> set[str]:
    return {parameter.name for parameter in command.params}


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mortcond {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Small, fast and honestly measured neural networks for in-hospital mortality in intensive care.

    Every option can also be set as a variable, MORTCOND_EPOCHS for --epochs, or in the TOML file of --config.
    """


# The commands, in the order of their use.


@command("preprocess")
def preprocess(
    session,
    source: Annotated[Path | None, typer.Argument(help="Records; without it, the bundled sample.")] = None,
    variables: Annotated[str, typer.Option(help="paper76, extended, or a CSV of your own.")] = "paper76",
    format: Annotated[str | None, typer.Option(help="Form of the records; told by their files.")] = None,
    outcomes: Annotated[Path | None, typer.Option(help="File with the outcomes, where the source needs one.")] = None,
    split_file: Annotated[Path | None, typer.Option(help="CSV of patient and 0 or 1 (1: test).")] = None,
    scale: Annotated[bool, typer.Option("--scale/--no-scale", help="Standardise by the training split.")] = True,
    derive: Annotated[str, typer.Option(help="More columns a number: delta, min, max, mean (comma-separated).")] = "",
    apply: Annotated[
        Path | None, typer.Option(help="Data set whose variables and scaling to use; all to test.")
    ] = None,
    memory_limit: Annotated[str, typer.Option(help="Memory of the scan, such as 500MB.")] = "1GB",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the scan.")] = 2,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write.")] = None,
):
    """Turn the records of a hospital into a data set."""
    from mortcond.commands import preprocess as room

    options = {"variables": variables, "format": format, "outcomes": outcomes, "split_file": split_file}
    options |= {"scale": scale, "derive": derive, "apply": apply, "memory_limit": memory_limit, "threads": threads}
    return room.preprocess(session, source, **options, out=out), room.render


@command("train")
def train(
    session,
    arch: Annotated[str, typer.Option(help="lstm, hlstm, dnn or linear.")] = "lstm",
    preset: Annotated[str, typer.Option(help="paper, or best: regularised, taught by an ensemble.")] = "paper",
    epochs: Annotated[int | None, typer.Option(help="Epochs (20).")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Stays in a batch (8).")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam (0.001).")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant or cosine.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Decoupled, as in AdamW.")] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Largest norm of the whole gradient.")] = None,
    input_dropout: Annotated[float | None, typer.Option(help="Share of features dropped from a stay.")] = None,
    recurrent_dropout: Annotated[float | None, typer.Option(help="Of an LSTM's own state.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without a better validation AUROC.")] = None,
    keep_epoch: Annotated[str | None, typer.Option(help="Which epoch counts: last, or best on validation.")] = None,
    average: Annotated[int | None, typer.Option(help="Epochs whose weights are averaged.")] = None,
    width: Annotated[int | None, typer.Option(help="Units of a layer (16; dnn 256).")] = None,
    layers: Annotated[int | None, typer.Option(help="Layers (lstm 2, hlstm 1, dnn 3).")] = None,
    hidden_width: Annotated[int | None, typer.Option(help="hlstm: hidden units of a gate (as wide as it).")] = None,
    hidden_depth: Annotated[int | None, typer.Option(help="hlstm: hidden layers of a gate (1).")] = None,
    summary: Annotated[str | None, typer.Option(help="dnn: mean, or full (mean, last, min, max, std, change).")] = None,
    dropout: Annotated[float | None, typer.Option(help="Before the output (lstm, hlstm 0.3; dnn 0.5).")] = None,
    teacher: Annotated[str | None, typer.Option(help="A model to learn from as well, or ensemble.")] = None,
    teacher_weight: Annotated[float | None, typer.Option(help="Of the teacher in the loss (0.5).")] = None,
    temperature: Annotated[float | None, typer.Option(help="That softens the teacher's risks (1).")] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Fit temperature and bias on validation.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of TensorFlow.")] = 1,
    dataset: Annotated[Path | None, typer.Option(help="The data set (the workspace's).")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The model directory to write.")] = None,
):
    """Train a network (lstm, hlstm, dnn) or the linear floor on a data set."""
    from mortcond.commands import train as room

    options = {name: value for name, value in locals().items() if name not in ("session", "room")}
    return room.train(session, **options), room.render


@command("prune")
def prune(
    session,
    model: Annotated[Path | None, typer.Argument(help="A model directory; else the newest unpruned.")] = None,
    quantile: Annotated[str, typer.Option(help="Share of channels to cut; or several: 0.1,0.5,0.9.")] = "0.5",
    method: Annotated[str, typer.Option(help="mean, l2, taylor, fisher, correlation or random.")] = "mean",
    scope: Annotated[str, typer.Option(help="Quantile of each layer, or global: of all layers together.")] = "layer",
    schedule: Annotated[str, typer.Option(help="epoch, final, gradual or rewind.")] = "epoch",
    after_epoch: Annotated[int, typer.Option(min=1, help="Prune the model as it was after this epoch.")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs in all (the parent's).")] = None,
    keep: Annotated[str | None, typer.Option(help="Channels to keep instead: 8 of each layer, or 8,4.")] = None,
    axis: Annotated[str, typer.Option(help="units, hidden (neurons inside gates), or both.")] = "both",
    steps: Annotated[int, typer.Option(min=1, help="Cuts of the gradual schedule.")] = 4,
    distil: Annotated[bool, typer.Option("--distil", help="Learn from the parent's predictions as well.")] = False,
    dataset: Annotated[Path | None, typer.Option(help="Data set the parent was trained on.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Name of the result.")] = None,
):
    """Cut the weakest channels out of a trained network, and train what is left."""
    from mortcond.commands import prune as room

    how = {"quantile": quantile, "method": method, "scope": scope, "schedule": schedule, "after_epoch": after_epoch}
    how |= {"epochs": epochs, "keep": keep, "axis": axis, "steps": steps, "distil": distil}
    return room.prune(session, model, **how, dataset=dataset, out=out), room.render


@command("hlstm-convert")
def hlstm_convert(
    session,
    model: Annotated[Path | None, typer.Argument(help="Directory of an lstm; without it, the newest.")] = None,
    init: Annotated[str, typer.Option(help="Initial weights: scratch, or parent (as near as they allow).")] = "scratch",
    distil: Annotated[bool, typer.Option("--distil", help="Learn from the parent's predictions as well.")] = False,
    hidden_width: Annotated[int | None, typer.Option(min=1, help="Hidden neurons in each gate (as units).")] = None,
    hidden_depth: Annotated[int, typer.Option(min=1, help="Hidden layers in each gate.")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of training (the parent's).")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Data set the parent was trained on.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Name of the result.")] = None,
):
    """Put one hidden-layer LSTM in the place of a trained LSTM's layers, and train it."""
    from mortcond.commands import hlstm_convert as room

    how = {"init": init, "distil": distil, "hidden_width": hidden_width, "hidden_depth": hidden_depth}
    return room.hlstm_convert(session, model, **how, epochs=epochs, dataset=dataset, out=out), room.render


@command("condense")
def condense(
    session,
    dataset: Annotated[Path | None, typer.Option(help="Data set the baseline was trained on.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="A model directory; else the newest uncondensed.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Largest file.")] = None,
    max_latency_us: Annotated[float | None, typer.Option(help="Longest time of one stay, in microseconds.")] = None,
    max_auroc_drop: Annotated[float, typer.Option(help="Loss of AUROC that is accepted: the margin.")] = 0.01,
    arch: Annotated[str, typer.Option(help="Architectures to consider.")] = "lstm,hlstm,dnn,linear",
    epochs: Annotated[int | None, typer.Option(min=2, help="Epochs of each candidate (the baseline's).")] = None,
    budget_minutes: Annotated[float | None, typer.Option(help="Begin no candidate after this time.")] = None,
    whole_curve: Annotated[bool, typer.Option("--whole-curve", help="Try larger ones than the answer too.")] = False,
    accept_undecided: Annotated[
        bool, typer.Option("--accept-undecided", help="Take a choice that the test split cannot confirm.")
    ] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write (condensed.tflite).")] = None,
):
    """Search for the smallest model that is not inferior to a baseline, within limits."""
    from mortcond.commands import condense as room

    limits = {"max_bytes": max_bytes, "max_latency_us": max_latency_us, "max_auroc_drop": max_auroc_drop}
    how = {"arch": arch, "epochs": epochs, "budget_minutes": budget_minutes, "whole_curve": whole_curve}
    how |= {"accept_undecided": accept_undecided}
    return room.condense(session, dataset=dataset, baseline=baseline, **limits, **how, out=out), room.render


@command("bench")
def bench(
    session,
    artifacts: Annotated[
        list[Path] | None, typer.Argument(help="Model directories and .tflite files; without, all of the workspace.")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Data set to measure on; default: the workspace's.")] = None,
    split: Annotated[str, typer.Option(help="Its split: train, val or test.")] = "test",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the report (bench); an old one is replaced.")
    ] = None,
    runtime: Annotated[
        list[str] | None, typer.Option(help="litert (default), savedmodel, keras or onnx; may be repeated.")
    ] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Stays a call; may be repeated (1 and 64).")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each runtime.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of timing that go round all artifacts.")] = 7,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of the patients.")] = 2000,
    margin: Annotated[float, typer.Option(help="Loss of AUROC that would be accepted.")] = 0.01,
    threshold: Annotated[float | None, typer.Option(help="Risk at which a decision is taken.")] = None,
    max_auroc_drop: Annotated[float | None, typer.Option(help="Exit 4 where an AUROC falls by more.")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Exit 4 where a file is larger.")] = None,
    max_latency_us: Annotated[float | None, typer.Option(help="Exit 4 where a stay takes longer (median).")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write a model card as well.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Show every column of the table.")] = False,
):
    """Measure accuracy, size, time and memory of artifacts, with intervals; write table, plots and report."""
    from mortcond.commands import bench as room

    limits = {"max_auroc_drop": max_auroc_drop, "max_bytes": max_bytes, "max_latency_us": max_latency_us}
    plan = {"runtime": runtime, "batch": batch, "threads": threads, "rounds": rounds, "resamples": resamples}
    asked = {"dataset": dataset, "split": split, "margin": margin, "threshold": threshold, "markdown": markdown}
    return room.bench(session, artifacts, out=out, **asked, **plan, **limits), room.render


@command("quantize")
def quantize(
    session,
    model: Annotated[Path | None, typer.Argument(help="A model directory; without it, the newest.")] = None,
    mode: Annotated[str, typer.Option(help="int8, dynamic, integer (dnn), float16 or float32.")] = "int8",
    tolerance: Annotated[float | None, typer.Option(min=0, help="Largest change of a risk; else by mode.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Data set the model was trained on.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write.")] = None,
):
    """Write a model as one .tflite file of 8, 16 or 32 bits, checked against its parent."""
    from mortcond.commands import quantize as room

    return room.quantize(session, model, mode=mode, tolerance=tolerance, dataset=dataset, out=out), room.render


@command("predict")
def predict(
    session,
    model: Annotated[Path, typer.Argument(help="A .tflite file, or a model directory.")],
    data: Annotated[Path, typer.Argument(help="A dataset.npz, or raw records.")],
    split: Annotated[str, typer.Option(help="Split of a data set: train, val, test or all.")] = "test",
    write_as: Annotated[str, typer.Option(help="csv, or jsonl: a JSON object a line.")] = "csv",
    format: Annotated[str | None, typer.Option(help="Form of raw records; told by their files.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Calls side by side (one a processor).")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write; without it, stdout.")] = None,
):
    """Predict the risk of each stay, without TensorFlow."""
    from mortcond.commands import predict as room

    how = {"split": split, "write_as": write_as, "format": format, "threads": threads}
    return room.predict(session, model, data, **how, out=out), room.render


@command("inspect")
def inspect_artifact(
    session,
    artifact: Annotated[Path, typer.Argument(help="A data set, a model directory, a .tflite file or a bench folder.")],
):
    """Say what an artifact is, how it was made, and whether it is as it was written."""
    from mortcond.commands import inspect as room

    return room.inspect(session, artifact), room.render


@command("run")
def run(
    session,
    source: Annotated[Path | None, typer.Argument(help="Records; without it, the bundled sample.")] = None,
    epochs: Annotated[int | None, typer.Option(min=2, help="Epochs of training (20).")] = None,
    quantile: Annotated[float | None, typer.Option(min=0, max=0.99, help="Share of units to prune (0.5).")] = None,
    preset: Annotated[str | None, typer.Option(help="Training preset: paper or best (paper).")] = None,
    variables: Annotated[str | None, typer.Option(help="paper76, extended, or a CSV of your own (paper76).")] = None,
    outcomes: Annotated[Path | None, typer.Option(help="File with the outcomes, where the source needs one.")] = None,
):
    """Run the whole chain of the paper: preprocess, train, prune, hlstm-convert, quantize, bench."""
    from mortcond.commands import run as room

    options = {"epochs": epochs, "quantile": quantile, "preset": preset, "variables": variables, "outcomes": outcomes}
    return room.run(session, source, **options), room.render


@command("fetch")
def fetch(
    session,
    name: Annotated[str, typer.Argument(help="physionet2012, mimic3-demo or mimic4-demo.")],
    base_url: Annotated[str | None, typer.Option(help="Folder of a mirror with the same files.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write; default: the name.")] = None,
):
    """Download an open data set from PhysioNet, check it, unpack it."""
    from mortcond.commands import fetch as room

    return room.fetch(session, name, base_url=base_url, out=out), room.render


@command("synth")
def synth(
    session,
    stays: Annotated[int, typer.Option(min=1, help="ICU stays to make up; about half of them qualify.")] = 1000,
    write_as: Annotated[str, typer.Option(help="csv, csv.gz or parquet.")] = "csv",
    events_per_stay: Annotated[int, typer.Option(min=1, help="Chart rows a stay, about; MIMIC-III: 5400.")] = 400,
    hours: Annotated[int, typer.Option(min=1, help="Charts end so many hours after admission.")] = 720,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write; default: hospital.")] = None,
):
    """Write a synthetic hospital in the form of MIMIC-III tables; no patient is in it."""
    from mortcond.commands import synth as room

    how = {"write_as": write_as, "events_per_stay": events_per_stay, "hours": hours}
    return room.synth(session, stays, **how, out=out), room.render


def main() -> None:
    """Run the command line; an unexpected error is a bug: one line with what to report, the traceback with -v."""
    from mortcond.core.signals import end_like_an_interrupt
    from mortcond.core.terminal import speak_plainly

    speak_plainly()
    end_like_an_interrupt()
    try:
        app()
    except Exception as error:
        if any(flag in sys.argv for flag in ("-v", "--verbose")):
            raise
        print(f"Error: a bug in mortcond: {type(error).__name__}: {error}", file=sys.stderr)
        print("Run the command again with --verbose and report what it prints.", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
