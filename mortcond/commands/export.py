"""export: a model as a file of another world: C99, a web page, ONNX, Keras, SavedModel, LiteRT.

Comes in: a model directory; or a `.tflite` file, which is exported from the directory it was made of where that is
beside it, and from its own weights where it is alone. Goes out: the file, which was run and compared with its network,
or with the lone file, before it got its name, where this machine has something that runs it.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond.commands import lone_file
from mortcond.commands.children import parents_dataset
from mortcond.core.artifacts import MANIFEST, atomic_directory, atomic_file, copy_contents, refuse_existing, size_bytes
from mortcond.core.calls import takes
from mortcond.core.choices import Mode
from mortcond.core.errors import InputError, LimitError
from mortcond.core.libraries import require
from mortcond.core.manifest import Manifest, opened, read_manifest
from mortcond.core.options import plain
from mortcond.core.session import Session
from mortcond.core.workspace import choose_model
from mortcond.dataset import InputSpec
from mortcond.deploy import about, eight_bits, metadata, preparation, trial
from mortcond.deploy.check import TOLERANCE, acceptable, differences
from mortcond.deploy.directory import TFLITE, load_network
from mortcond.deploy.kept import record_of
from mortcond.deploy.weights import EIGHT_BITS
from mortcond.network import Network
from mortcond.options.export import ENDINGS, MODES, Export

WHAT = "a trained model directory, or a .tflite file of one"
STAYS_TO_ROUND_BY = 1024


@dataclass(frozen=True)
class Model:
    """What is exported."""

    directory: Path  # or the lone file
    manifest: Manifest
    record: dict[str, Any]  # the metadata of its `.tflite`
    network: Network
    predict: Callable[[np.ndarray], np.ndarray]  # stays to the risks that the file written must give
    tolerance: float  # of them
    steps: tuple[float, ...]  # of which a lone file's weights are multiples
    mode: str  # float32 or int8
    train: np.ndarray | None  # stays to round by, (stays, hours, features); None: not at hand
    val: tuple[np.ndarray, np.ndarray] | None  # stays to check on and their outcomes


@dataclass(frozen=True)
class Written:
    """Files in memory."""

    files: dict[str, bytes]  # by the ending of their name
    tried: trial.Trial | None


@takes(Export)
def export(session: Session, options: Export) -> dict[str, Any]:
    """Write a model as C99, a web page, ONNX, Keras, SavedModel or LiteRT.

    Returns
    -------
    path, files, size_bytes, to, mode, parameters, and check: how its risks differ from the network's, on which stays,
    computed by what; None where nothing here runs such a file.

    Raises
    ------
    LimitError
        The file's risks are not the network's; it is not written.
    """
    to = plain(options.to)
    source = _source(session, options)
    if to == "tflite":
        return _as_tflite(session, options, source)
    directory, name, mode = source.path, source.name, _mode(options, source)
    target = options.out or session.workspace / f"{name}{ENDINGS[to]}"
    for path in (target, *([target.with_suffix(".h")] if to == "c" else [])):
        refuse_existing(path, session.overwrite)
    with session.console.progress(f"Exporting {name} ({to})", total=3) as bar:
        model = _read(session, options, source, mode)
        bar.advance(note="read")
        if to in ("keras", "savedmodel"):
            files, check = _by_tensorflow(to, model, target), None
        else:
            written = _WRITERS[to](model, options, target)
            bar.advance(note="written")
            check = _checked(model, written, target)
            files = _placed(target, written.files)
        bar.advance(note="checked")
    result = {"path": str(target), "files": [str(path) for path in files], "model": str(directory), "to": to}
    size = sum(size_bytes(path) for path in files)
    return result | {"mode": mode, "size_bytes": size, "parameters": model.network.parameters, "check": check}


def _as_tflite(session: Session, options: Export, source: "Source") -> dict[str, Any]:
    """Write what `quantize` writes; of a lone file itself, or the same network in another mode."""
    if source.alone:
        return _again(session, options, source)
    from mortcond.commands.quantize import quantize

    asked = {"mode": options.mode} if options.mode else {}
    model = None if options.model is None else source.path
    done = quantize(session, model, dataset=options.dataset, out=options.out, **asked)
    return done | {"to": "tflite", "files": [done["path"]]}


def _again(session: Session, options: Export, source: "Source") -> dict[str, Any]:
    mode = plain(options.mode) or source.manifest.quantization or "float32"
    target = options.out or session.workspace / f"{source.name}-{mode}.tflite"
    refuse_existing(target, session.overwrite)
    file = lone_file.read(session, source.path, source.record, source.manifest)
    data = _data(session, options, source, ("train", "val"), mode) if mode != file.mode else None
    done = lone_file.write_again(session, file, target, mode, None if data is None else data.train.X)
    return done | {"to": "tflite", "files": [done["path"]]}


# What comes in.


@dataclass(frozen=True)
class Source:
    """The model that was named, or the newest."""

    path: Path  # of its directory, or of a file without one
    manifest: Manifest
    record: dict[str, Any]
    rounded: bool = False  # whether a file of 8 bits was named
    alone: bool = False

    @property
    def name(self) -> str:
        return self.path.stem if self.alone else self.path.name


def _source(session: Session, options: Export) -> Source:
    named = options.model
    if named is not None and not named.exists() and (session.workspace / named).is_file():
        named = session.workspace / named
    if named is None or not named.is_file():
        path, manifest = choose_model(session, named, lambda found: found.kind == "model", WHAT)
        return Source(path, manifest, record_of(path))
    record = metadata.read(named, session.trust_changed)
    if not record or not isinstance(record.get("manifest"), dict):
        raise InputError(f"{named} carries no metadata of mortcond.", f"Name {WHAT}.")
    own = Manifest.from_dict(record["manifest"])
    its_own = own.kind == "tflite" and record.get("network") is not None  # what it holds is what its risks are of
    directory = None if its_own else _directory_of(named, own)
    rounded = own.quantization in EIGHT_BITS
    if directory is None:
        return Source(named, own, record, rounded, alone=True)
    return Source(directory, opened(directory, session.trust_changed), record, rounded)


def _mode(options: Export, source: Source) -> str:
    in_8_bits = source.rounded and Mode.int8 in MODES[plain(options.to)]
    return plain(options.mode) or ("int8" if in_8_bits else "float32")


def _directory_of(file: Path, own: Manifest) -> Path | None:
    """Return the model directory that a `.tflite` file lies in or was made of: it holds the weights in full.

    None where it is not at hand, or is another one by now.
    """
    if own.kind == "model":
        return file.parent if file.name == TFLITE and (file.parent / MANIFEST).is_file() else None
    parent = own.parent or {}
    for directory in (Path(parent.get("path", "")), file.parent / parent.get("name", "")):
        if (directory / TFLITE).is_file() and read_manifest(directory).sha256 == parent.get("sha256"):
            return directory
    return None


def _read(session: Session, options: Export, source: Source, mode: str) -> Model:
    data = _data(session, options, source, ("train", "val") if mode == "int8" else ("val",), mode)
    train = data.train.X[:STAYS_TO_ROUND_BY] if data is not None and mode == "int8" else None
    val = None if data is None else (data.val.X, data.val.y)
    if source.alone:
        file = lone_file.read(session, source.path, source.record, source.manifest)
        how = {"network": file.network, "predict": file.predict, "steps": file.steps}
        how["tolerance"] = max(TOLERANCE[mode], file.tolerance)
    else:
        network = load_network(source.path)
        how = {"network": network, "predict": network.predict, "steps": (), "tolerance": TOLERANCE[mode]}
    return Model(source.path, source.manifest, source.record, mode=mode, train=train, val=val, **how)


def _data(
    session: Session, options: Export, source: Source, splits: tuple[str, ...], mode: str
) -> datasets.Dataset | None:
    """Return the data set of a model; None where it is not at hand and none was named."""
    try:
        found = parents_dataset(session, source.path, source.manifest, options.dataset)
        return datasets.load(found, splits=splits, unlabelled=True)
    except InputError as error:
        if options.dataset is not None:
            raise
        nearest = mode in EIGHT_BITS and not (source.alone and source.rounded)
        rounding = "; weights are rounded to the nearest step" if nearest else ""
        session.console.note(f"{error.problem} The file is checked on made-up stays{rounding}.")
        return None


# What goes out.


def _rounding(model: Model) -> eight_bits.EightBits | None:
    if model.mode != "int8":
        return None
    if model.steps:
        return eight_bits.EightBits(steps=model.steps)
    return eight_bits.EightBits() if model.train is None else eight_bits.learn(model.network, model.train)


def _inputs(model: Model) -> tuple[preparation.Preparation, about.About]:
    inputs = model.record.get("inputs")
    if not inputs:
        raise InputError(
            f"{model.directory} does not say how its inputs are prepared, so a file could not predict from records.",
            "Train it on a data set that mortcond preprocess made, or export it as onnx or keras.",
        )
    spec = InputSpec.from_dict(inputs)
    return preparation.of(spec), about.about(model.record, model.manifest, spec.window_hours)


def _c(model: Model, options: Export, target: Path) -> Written:
    from mortcond.deploy import c

    source, header = c.write(model.network, *_inputs(model), target.stem, _rounding(model))
    tried = trial.of_c(source, header, target.stem, _stays(model)[0])
    return Written({".c": source.encode(), ".h": header.encode()}, tried)


def _html(model: Model, options: Export, target: Path) -> Written:
    from mortcond.deploy import page
    from mortcond.deploy.program import trace

    rounding = _rounding(model)
    text = page.write(model.network, *_inputs(model), page.read_strings(options.strings), rounding)
    tried = trial.of_page(page.part("program.js"), page.as_json(trace(model.network), rounding), _stays(model)[0])
    return Written({target.suffix: text.encode()}, tried)


def _onnx(model: Model, options: Export, target: Path) -> Written:
    require("onnx", "export --to onnx")
    from mortcond.deploy.onnx_graph import to_onnx

    said = metadata.described(model.record) | {"manifest": model.manifest.__dict__}
    data = to_onnx(model.network, {name: value for name, value in said.items() if name not in ("tensors", "network")})
    return Written({target.suffix: data}, trial.of_onnx(data, _stays(model)[0]))


_WRITERS: dict[str, Callable[[Model, Export, Path], Written]] = {"c": _c, "html": _html, "onnx": _onnx}


def _by_tensorflow(to: str, model: Model, target: Path) -> list[Path]:
    """Write the form in which the directory keeps the model already; without it, TensorFlow writes it."""
    with atomic_directory(target) if to == "savedmodel" else atomic_file(target) as partial:
        kept = [model.directory / name for name in _KEPT[to] if (model.directory / name).exists()]
        for source in kept:
            _copy(source, partial / source.name if to == "savedmodel" else partial)
        if not kept:
            _write_by_tensorflow(to, model.network, partial)
    return [target]


_KEPT = {"keras": ("model.keras",), "savedmodel": ("saved_model.pb", "fingerprint.pb", "variables", "assets")}


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        copy_contents(source, target)
    else:
        shutil.copyfile(source, target)


def _write_by_tensorflow(to: str, network: Network, target: Path) -> None:
    require("tensorflow", f"export --to {to}")
    if to == "savedmodel":
        from mortcond.deploy import saved_model

        saved_model.save(network, target)
        return
    from mortcond.exchange.keras_model import to_keras

    kept = target.with_name(f"{target.name}.keras")  # Keras insists on the ending
    to_keras(network).save(kept)
    kept.replace(target)


def _placed(target: Path, files: dict[str, bytes]) -> list[Path]:
    """Write all files, or none."""
    paths = [target.with_suffix(ending) if ending else target for ending in files]
    with ExitStack() as stack:
        for path, content in zip(paths, files.values(), strict=True):
            stack.enter_context(atomic_file(path)).write_bytes(content)
    return paths


# The check.


def _stays(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return stays to check on and their outcomes: the validation stays, else made-up ones, some hours empty."""
    if model.val is not None:
        return model.val
    x = lone_file.made_up_stays(model.network)
    return x, np.zeros(len(x))


def _checked(model: Model, written: Written, target: Path) -> dict[str, Any] | None:
    """Return how the file's risks differ from the network's; None where nothing could run it.

    Raises LimitError where they differ by more than the mode allows.
    """
    if written.tried is None:
        return None
    x, y = _stays(model)
    risks, by = written.tried
    found = differences(risks, model.predict(x), y)
    tolerance = model.tolerance
    if not np.isfinite(risks).all() or not acceptable(found, tolerance):
        raise LimitError(
            f"{target} differs from {model.directory} by up to {found['max_abs_dp']:.2g} in probability on "
            f"{found['stays']} stays; {tolerance:g} is allowed. Nothing was written.",
            "Use --mode float32." if model.mode == "int8" else "Report this model.",
        )
    return found | {"by": by, "split": "made up" if model.val is None else "val"}


def render(result: dict[str, Any]) -> Iterator[str]:
    """Yield what was written, and how it was checked."""
    files = " and ".join(result["files"])
    yield f"{files}: {result['size_bytes']:,} bytes, {result['parameters']:,} parameters, {result['mode']}"
    check = result.get("check")
    if check is not None:
        stays = f"{check['stays']} {'made-up' if check['split'] == 'made up' else 'validation'} stays"
        by = f", computed by {check['by']}" if "by" in check else ""
        yield f"Against {result['model']} on {stays}: largest difference {check['max_abs_dp']:.2g}{by}"
    elif result["to"] in _WRITERS:
        yield "It was not run: nothing on this machine runs such a file."
    if result["to"] == "c":
        source = Path(result["files"][0])
        command = f"cc -O3 -D{_macro(source)}_MAIN -o {source.stem} {source} -lm"
        yield f"As a program: {command} && ./{source.stem} EVENTS.csv"


def _macro(source: Path) -> str:
    from mortcond.deploy.c import identifier

    return identifier(source.stem).upper()
