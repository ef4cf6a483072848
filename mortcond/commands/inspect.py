"""inspect: what an artifact is, how it was made, and whether it is as it was written.

Comes in: a data set, a model directory, a `.tflite` file (ours or another's) or the results of bench. Goes out: its
kind, its sizes, its lineage back to the raw tables, and what it may be used for.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mortcond.core import forms
from mortcond.core.artifacts import MANIFEST, directory_hashes, sha256, size_bytes
from mortcond.core.calls import takes
from mortcond.core.errors import InputError
from mortcond.core.manifest import Manifest, read_manifest
from mortcond.core.session import Session
from mortcond.core.workspace import DATASET, model_directories, tflite_files
from mortcond.deploy import metadata
from mortcond.deploy.anatomy import anatomy
from mortcond.deploy.directory import TFLITE
from mortcond.deploy.flatbuffer import Malformed
from mortcond.deploy.stays import SPLITS, header, opened
from mortcond.options.inspect import Inspect

RESULTS = "results.json"
KNOWN = "inspect reads data sets (.npz), model directories, .tflite files and the folder of bench."
MODEL_OF_BENCH = {"arch": str | None, "quantization": str | None, "parameters": int | None, "size_bytes": int | None}
MODEL_OF_BENCH |= {"auroc": dict | None}
INPUT_FACTS = ("window_hours", "derive", "scaled")


@takes(Inspect)
def inspect(session: Session, options: Inspect) -> dict[str, Any]:
    """Describe an artifact.

    Returns
    -------
    path, kind and size_bytes; further by kind: manifest, lineage, intact (whether its SHA-256 is the recorded one; None
    where none is recorded), bytes (what they go on), inputs, tensors, operations, intended_use, limits, splits, models.

    Raises
    ------
    InputError
        It does not exist, or is nothing that mortcond knows.
    """
    path = _path(session.workspace, options.artifact)
    result = {"path": str(path), "size_bytes": size_bytes(path)} | _reader(path)(path)
    if result.get("intact") is False:
        session.console.warn(f"{path} was changed after it was written: its SHA-256 is not the recorded one.")
    return result


def _path(workspace: Path, artifact: Path | None) -> Path:
    if artifact is None:
        return _newest(workspace)
    path = artifact if artifact.exists() else workspace / artifact
    if not path.exists():
        raise InputError(f"There is no {artifact}, here or in {workspace}.", "Check the path.")
    return path


def _newest(workspace: Path) -> Path:
    found = [*model_directories(workspace), *tflite_files(workspace), *workspace.glob(DATASET)]
    if not found:
        make = "Make one first: mortcond run, or mortcond preprocess RECORDS and mortcond train."
        raise InputError(f"There is nothing to inspect in {workspace}.", make)
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def _reader(path: Path):
    if path.is_dir() and (path / MANIFEST).is_file():
        return _directory
    if path.is_dir() and (path / RESULTS).is_file():
        return _bench
    if path.is_file() and path.name == RESULTS:
        return lambda file: _bench(file.parent)
    if path.is_file() and path.suffix == ".npz":
        return _dataset
    if path.is_file() and (path.suffix == ".tflite" or _begins_like_tflite(path)):
        return _tflite
    raise InputError(f"{path} is no artifact that is known.", KNOWN)


def _begins_like_tflite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == b"TFL3"


def _directory(path: Path) -> dict[str, Any]:
    manifest = read_manifest(path)
    files = {name: size_bytes(path / name) for name in directory_hashes(path)}
    result = _of_manifest(manifest) | {"intact": manifest.sha256 == sha256(path), "files": files}
    return result | ({TFLITE: _tflite(path / TFLITE)} if (path / TFLITE).is_file() else {})


def _tflite(path: Path) -> dict[str, Any]:
    data = metadata.read_bytes(path)
    embedded = metadata.extract(data, path)
    try:
        parts = anatomy(data)
    except Malformed as error:
        raise InputError(f"{path} is no .tflite file that can be read: {error}.", metadata.REMEDY) from None
    result = {"kind": "tflite", "bytes": parts.bytes, "inputs": parts.inputs, "outputs": parts.outputs}
    result |= {"weights": parts.weights, "operations": parts.operations}
    if embedded is None:
        return result | {"intact": None, "missing": "metadata of mortcond: variables, scaling, threshold, origin, use"}
    record = embedded.record
    if isinstance(record.get("manifest"), dict):
        result = _of_manifest(Manifest.from_dict(record["manifest"])) | result
    described = {name: record.get(name) for name in ("intended_use", "limits", "threshold", "prevalence", "tensors")}
    return result | described | {"intact": embedded.intact, "prepared": _prepared(record.get("inputs"))}


def _prepared(inputs: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return in short how raw records become what the model reads."""
    if not inputs:
        return None
    facts = {name: inputs[name] for name in INPUT_FACTS if name in inputs}
    table = inputs.get("variables") or {}
    names = [variable.get("name") for variable in table.get("variables", [])]
    table_facts = {"variables_table": table.get("name"), "variables_sha256": table.get("sha256"), "variables": names}
    return facts | table_facts | {"features": len(inputs.get("feature_names", []))}


def _dataset(path: Path) -> dict[str, Any]:
    with opened(path) as file:
        head = header(file, SPLITS)
        counts = {split: header(file, (split,)).stays for split in SPLITS}
    meta = head.meta
    record = meta.get("manifest")
    result = _of_manifest(Manifest.from_dict(record)) if isinstance(record, dict) else {}
    result |= {"kind": "dataset", "intact": None, "splits": counts, "prepared": _prepared(meta.get("inputs"))}
    facts = {name: meta.get(name) for name in ("source", "split_rule", "prevalence", "attrition")}
    return result | facts | {"features": len(head.feature_names)}


def _bench(path: Path) -> dict[str, Any]:
    file = path / RESULTS
    try:
        results = forms.parsed(file.read_bytes())
        forms.fit_keys(results, {"models": list[dict]}, optional={"machine": dict | None, "dataset": dict | None})
        for index, model in enumerate(results["models"]):
            forms.fit_keys(model, {"name": str}, f"models[{index}]", MODEL_OF_BENCH)
            forms.fit_keys(model.get("auroc") or {}, {}, f"models[{index}].auroc", {"value": float | None})
        names = ("name", *MODEL_OF_BENCH)
        models = [{name: model.get(name) for name in names} for model in results["models"]]
    except forms.Misfit as fault:
        raise InputError(f"{file} holds no results of bench ({fault}).", "Run mortcond bench again.") from None
    return {"kind": "bench", "machine": results.get("machine"), "dataset": results.get("dataset"), "models": models}


def _of_manifest(manifest: Manifest) -> dict[str, Any]:
    record = asdict(manifest)
    names = ("kind", "name", "arch", "parameters", "quantization", "command", "seed", "options", "inputs", "parent")
    facts = {name: record[name] for name in (*names, "lineage", "metrics", "versions", "platform", "wall_seconds")}
    return facts | ({"check": manifest.extra["check"]} if "check" in manifest.extra else {})


# The result for people.


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Yield what there is to say, in the order of a reader's questions: what, how made, of what size, for what use."""
    yield f"{result['path']}: {_what(result)}"
    yield from _made(result)
    if result.get("intact") is not None:
        yield f"SHA-256: {'as it was written' if result['intact'] else 'MISMATCH: changed after it was written'}"
    if result.get("missing"):
        yield f"Missing: {result['missing']}. It can still predict from a data set that fits it."
    yield from _prepared_lines(result)
    for table in (_lineage_table, _bytes_table, _files_table, _tensors_table, _splits_table, _models_table):
        shown = table(result)
        if shown is not None:
            yield ""
            yield shown
    for name, title in (("intended_use", "Intended use"), ("limits", "Limits")):
        if result.get(name):
            yield f"\n{title}: {result[name]}"


def _what(result: dict[str, Any]) -> str:
    parts = [{"tflite": "a LiteRT model", "dataset": "a data set", "bench": "results of bench"}.get(result["kind"], "")]
    parts = [parts[0] or f"a {result['kind']}"]
    if result.get("arch"):
        parts.append(f"arch {result['arch']}")
    if result.get("parameters"):
        parts.append(f"{result['parameters']:,} parameters")
    if result.get("quantization"):
        parts.append(result["quantization"])
    return ", ".join([*parts, f"{result['size_bytes']:,} bytes"])


def _made(result: dict[str, Any]) -> Iterator[str]:
    if result.get("command"):
        versions = result.get("versions") or {}
        by = f" with mortcond {versions['mortcond']}" if "mortcond" in versions else ""
        yield f"Made by mortcond {result['command']} (seed {result['seed']}){by}"
    check = result.get("check")
    if check:
        change = "unknown" if check["delta_auroc"] is None else f"{check['delta_auroc']:+.4f}"
        yield (
            f"Against its parent on {check['stays']} {check['split']} stays: largest difference "
            f"{check['max_abs_dp']:.2g}, mean {check['mean_abs_dp']:.2g}, AUROC {change}"
        )


def _prepared_lines(result: dict[str, Any]) -> Iterator[str]:
    prepared = result.get("prepared")
    if prepared:
        count = len(prepared["variables"])
        yield (
            f"Reads {prepared.get('window_hours')} hours of {prepared['features']} features, made of {count} variables "
            f"of {prepared['variables_table']}: {', '.join(map(str, prepared['variables']))}"
        )
    if result.get("prevalence") is not None:
        yield f"Share of deaths in the training split: {result['prevalence']:.3f}"
    if result.get("threshold") is not None:
        yield f"Decision threshold: {result['threshold']:.3f}"


def _table(*columns: str, right: tuple[str, ...] = ()):
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    return table


def _lineage_table(result: dict[str, Any]):
    if not result.get("command"):
        return None
    table = _table("made from", "kind", "by", "parameters", "SHA-256", right=("parameters",))
    for step in result.get("lineage") or []:
        size = f"{step['parameters']:,}" if step.get("parameters") else ""
        table.add_row(step["name"], step["kind"], step["command"], size, (step.get("sha256") or "")[:12])
    for role, source in (result.get("inputs") if isinstance(result.get("inputs"), dict) else {}).items():
        table.add_row(str(source.get("path")), role, "input", "", (source.get("sha256") or "")[:12])
    return table if table.row_count else None


def _bytes_table(result: dict[str, Any]):
    parts = result.get("bytes") or (result.get(TFLITE) or {}).get("bytes")
    if not parts:
        return None
    table = _table("bytes of the .tflite", "", right=("",))
    for name in ("weights", "metadata", "names", "graph", "total"):
        table.add_row(name, f"{parts[name]:,}")
    return table


def _files_table(result: dict[str, Any]):
    if "files" not in result:
        return None
    table = _table("file", "bytes", right=("bytes",))
    for name, size in result["files"].items():
        if not name.startswith("checkpoints/"):
            table.add_row(name, f"{size:,}")
    kept = [size for name, size in result["files"].items() if name.startswith("checkpoints/")]
    if kept:
        table.add_row(f"checkpoints/ ({len(kept)} files)", f"{sum(kept):,}")
    return table


def _tensors_table(result: dict[str, Any]):
    if result.get("tensors"):
        table = _table("tensor", "shape", "stored as", "why")
        for tensor in result["tensors"]:
            table.add_row(tensor["name"], _shape(tensor["shape"]), tensor["dtype"], tensor["why"])
        return table
    if not result.get("weights"):
        return None
    table = _table("weights", "stored as", "bytes", right=("bytes",))
    for weight in result["weights"]:
        table.add_row(_shape(weight["shape"]), weight["dtype"], f"{weight['bytes']:,}")
    return table


def _shape(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def _splits_table(result: dict[str, Any]):
    if "splits" not in result:
        return None
    table = _table("split", "stays", right=("stays",))
    for name, count in result["splits"].items():
        table.add_row(name, f"{count:,}")
    return table


def _models_table(result: dict[str, Any]):
    if "models" not in result:
        return None
    table = _table("model", "arch", "stored as", "parameters", "bytes", "AUROC", right=("parameters", "bytes", "AUROC"))
    for model in result["models"]:
        value = (model.get("auroc") or {}).get("value")
        numbers = [f"{model[name]:,}" if model.get(name) else "" for name in ("parameters", "size_bytes")]
        auroc = f"{value:.3f}" if value is not None else ""
        table.add_row(model["name"], model.get("arch") or "", model.get("quantization") or "", *numbers, auroc)
    return table
