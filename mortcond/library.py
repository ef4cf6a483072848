"""The library: a Python function for every command, made of the same table as the command line.

Comes in: paths, objects of `mortcond.objects`, arrays; options by name. Goes out: such objects, and the same files and
manifests that the command writes. Where something that goes in lives in a temporary folder and no workspace is named,
what comes out lives in one too: it is gone when nothing refers to it any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import Field, asdict, fields, replace
from pathlib import Path
from typing import Any

from mortcond.core.calls import documentation, signature
from mortcond.core.options import about
from mortcond.options import COMMANDS, Command, Common

GIVES = {  # the class in `mortcond.objects` that a command's result becomes
    "preprocess": "Dataset",
    "train": "Model",
    "import": "Model",
    "prune": "Model",
    "hlstm-convert": "Model",
    "recalibrate": "Model",
    "quantize": "TFLiteFile",
    "condense": "TFLiteFile",
    "bench": "Report",
    "run": "Report",
    "predict": "Predictions",
    "inspect": "Facts",
    "fetch": "Records",
    "synth": "Records",
}
ALSO = {"load_network": "import_"}  # a name that Python reads better than its keyword with a dash
COMMON: tuple[Field, ...] = tuple(entry for entry in fields(Common) if about(entry).python)


def names() -> list[str]:
    """Return the names of all functions."""
    return [*(command.identifier for command in COMMANDS.values()), "dataset", "load", *ALSO]


def function(name: str) -> Callable[..., Any]:
    """Return the function of a name; nothing heavy is imported before it is called."""
    if name in ("dataset", "load"):
        return globals()[f"{name}_"]
    command = next(command for command in COMMANDS.values() if command.identifier == ALSO.get(name, name))

    def call(*positional: Any, **named: Any) -> Any:
        return _call(command, call.__signature__.bind(*positional, **named).arguments)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "mortcond"
    call.__signature__ = signature(command.options, also=COMMON)
    gives = f"{command.help}\n\nReturns\n-------\n`mortcond.objects.{GIVES.get(command.name, 'Facts')}`"
    call.__doc__ = documentation(gives, command.options, also=COMMON)
    return call


def _call(command: Command, given: dict[str, Any]) -> Any:
    """Call a command's function with files in the place of objects, and make an object of its result."""
    from importlib import import_module

    from mortcond import objects
    from mortcond.core.console import Console
    from mortcond.core.locks import release_claims
    from mortcond.core.session import Session

    folders = tuple(dict.fromkeys(folder for part in _artifacts(given) for folder in part.folders))
    if folders and "workspace" not in given:
        folders = (objects.Folder(), *folders)
        given = {"workspace": folders[0].path} | _with_dataset(command, given)
    if command.name == "predict" and hasattr(given["data"], "shape"):
        return objects.Predicting(Path(_path(given["model"]))).predict(given["data"], given.get("threads") or 1)
    common = Common(**{entry.name: given.pop(entry.name) for entry in COMMON if entry.name in given})
    console = Console(json=True, quiet=common.quiet, verbose=common.verbose)
    facts = {entry.name: getattr(common, entry.name) for entry in COMMON if entry.name in Session.__dataclass_fields__}
    run = getattr(import_module(f"mortcond.commands.{command.identifier}"), command.identifier)
    try:
        result = run(Session(console=console, **facts), **{name: _path(value) for name, value in given.items()})
    finally:
        release_claims()
    return _object(command, result, folders)


def _object(command: Command, result: dict[str, Any], folders: tuple) -> Any:
    """Return the result of a command as an object, several models as a tuple, predictions as a table."""
    from mortcond import objects

    if "predictions" in result:
        import pandas as pd

        return pd.DataFrame(result["predictions"])
    if command.name == "prune" and "models" in result:
        return tuple(_object(command, model, folders) for model in result["models"])
    kind = getattr(objects, GIVES.get(command.name, "Facts"))
    if kind is objects.Model and str(result["path"]).endswith(".tflite"):  # recalibrate gives what it was given
        kind = objects.TFLiteFile
    return kind(Path(result["path"]) if result.get("path") else None, result, command.identifier, folders)


def _artifacts(value: Any) -> Iterator[Any]:
    """Yield the objects among the values."""
    from mortcond.objects import Artifact

    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    if isinstance(value, Artifact):
        yield value
    for part in parts:
        yield from _artifacts(part)


def _path(value: Any) -> Any:
    """Return the path of an object, of each of several; anything else as it is."""
    from mortcond.objects import Artifact

    if isinstance(value, list | tuple):
        return [_path(part) for part in value]
    return value.path if isinstance(value, Artifact) else value


def _with_dataset(command: Command, given: dict[str, Any]) -> dict[str, Any]:
    """Name the data set of the first object that records one: a temporary workspace has none of its own."""
    if command.name != "bench" or "dataset" in given:
        return given
    found = (part.manifest.inputs.get("dataset") for part in _artifacts(given))
    return given | {"dataset": next((entry["path"] for entry in found if entry), None)}


def load_(path: Any, workspace: Any = "artifacts") -> Any:
    """Return the object of a data set, a model directory, a `.tflite` file or a folder of bench.

    Parameters
    ----------
    path
        Its path, or its name in the workspace.
    workspace
        Where a name is looked for.

    Raises
    ------
    InputError
        It does not exist, or is nothing that mortcond knows.
    """
    from mortcond import objects

    facts = function("inspect")(path, workspace=workspace)
    kinds = {"dataset": objects.Dataset, "tflite": objects.TFLiteFile, "bench": objects.Report}
    return kinds.get(facts.facts["kind"], objects.Model)(facts.path, facts.facts)


def dataset_(X: Any, y: Any = None, *, out: Any = None, overwrite: bool = False, **arrays: Any) -> Any:
    """Return a data set from arrays of one's own; see `mortcond.dataset.arrays.from_arrays` for the arrays.

    Parameters
    ----------
    out
        The file to write, such as artifacts/dataset.npz; None: a temporary one, gone when nothing refers to it.
    overwrite
        Replace an existing file.
    """
    from mortcond import objects
    from mortcond.core.artifacts import refuse_existing
    from mortcond.core.session import Session
    from mortcond.dataset import save
    from mortcond.dataset.arrays import from_arrays

    folders = () if out else (objects.Folder(),)
    target = Path(out) if out else folders[0].path / "dataset.npz"
    refuse_existing(target, overwrite)
    data = from_arrays(X, y, **arrays)
    session = Session(seed=arrays.get("seed", 0), command="dataset")
    manifest = session.manifest("dataset", target.stem, {}, extra={"arrays": data.meta["arrays"]})
    save(target, replace(data, meta=data.meta | {"manifest": asdict(manifest)}))
    return objects.Dataset(target, load_(target).facts, folders=folders)
