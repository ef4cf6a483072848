"""A sound file of every form, and what of mortcond reads it: for `fuzzing`."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from condense_networks import lstm
from deploy_workspace import network, session, workspace
from fuzzing import Reader, of_bytes, of_json, of_npz, of_table

from mortcond import dataset, tables
from mortcond.commands import inspect, predict
from mortcond.core.manifest import opened, read_manifest
from mortcond.core.settings import read_settings
from mortcond.core.workspace import describe
from mortcond.dataset import InputSpec
from mortcond.deploy import metadata, stays
from mortcond.deploy.flatbuffer import MODEL, root
from mortcond.deploy.runtime import Predictor
from mortcond.measure.candidates import read_history
from mortcond.tables import Request
from mortcond.variables import load

ROOT = Path(__file__).resolve().parent.parent


def readers(folder: Path) -> list[Reader]:
    """Return every reader, with its sound file below `folder`."""
    model = workspace(folder / "workspace") / "lstm"
    return [
        *_arrays(folder, model.parent / "dataset.npz"),
        *_records_of_artifacts(folder, model),
        *_tflite(folder, model),
        *_texts(folder),
        *_tables(folder),
        *_networks_of_others(folder),
    ]


def _arrays(folder: Path, data: Path) -> list[Reader]:
    small = folder / "small.npz"
    whole = dataset.load(data)
    splits = {name: replace(whole.split(name), **_first(whole.split(name), 4)) for name in dataset.SPLITS}
    dataset.save(small, replace(whole, **splits))
    weights, model = folder / "epoch-001.npz", lstm()
    model.save(weights)
    return [
        Reader("dataset.npz, whole", small, dataset.load, of_npz),
        Reader("dataset.npz, by batches", small, _batchwise, of_npz),
        Reader(
            "dataset.npz, inspect", small, lambda path: inspect.inspect(session("inspect", path.parent), path), of_npz
        ),
        Reader("weights, checkpoints", weights, lambda path: _use(type(model).load(path)), of_npz),
    ]


def _first(split: dataset.Split, count: int) -> dict[str, np.ndarray]:
    return {name: array[:count] for name, array in vars(split).items()}


def _batchwise(path: Path) -> None:
    with stays.opened(path) as file:
        stays.header(file, dataset.SPLITS)
        for batch in stays.batches(file, dataset.SPLITS, 3):
            assert batch.x.dtype == np.float32


def _use(model) -> None:
    model.predict(np.zeros((1, model.hours, model.features), np.float32))


def _records_of_artifacts(folder: Path, model: Path) -> list[Reader]:
    beside = tuple(path for path in model.iterdir() if path.is_file() and path.name != "manifest.json")
    history = folder / "history.csv"
    rows = [{"epoch": n, "loss": 0.5, "auroc_val": 0.7, "seconds": 0.1} for n in (1, 2, 3)]
    with history.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    results = folder / "results.json"
    results.write_text(
        json.dumps({"models": [{"name": "lstm", "auroc": {"value": 0.8}, "size_bytes": 5}], "machine": {}})
    )
    return [
        Reader("manifest.json", model / "manifest.json", _manifest, of_json, beside),
        Reader("manifest.json, inspect", model / "manifest.json", _inspect_folder, of_json, beside),
        Reader("history.csv", history, read_history, of_table),
        Reader("results.json of bench, inspect", results, _inspect, of_json),
    ]


def _manifest(path: Path) -> None:
    manifest = opened(path.parent, trust_changed=True)
    describe(manifest)
    manifest.as_ancestor()
    assert manifest == read_manifest(path.parent) or "trusted_change" in manifest.extra


def _inspect(path: Path) -> None:
    for _ in inspect.render(inspect.inspect(session("inspect", path.parent), path)):
        pass


def _inspect_folder(path: Path) -> None:
    _inspect(path.parent)


def _tflite(folder: Path, model: Path) -> list[Reader]:
    plain, described = folder / "other.tflite", model / "model.tflite"
    plain.write_bytes(_without_metadata(described.read_bytes()))
    records = folder / "record.json"
    records.write_text(json.dumps(metadata.read(described)))
    x = folder / "small.npz"
    return [
        Reader(".tflite, inspect", described, _inspect, of_bytes),
        Reader(".tflite with a hash made anew, inspect", described, _inspect, _rehashed),
        Reader(".tflite with other metadata", records, lambda path: _with_record(path, plain, x), of_json, (x,)),
        Reader(".tflite with a hash made anew, predict", described, Predictor, _rehashed),
        Reader(".tflite of others, predict", plain, Predictor, of_bytes),
    ]


def _without_metadata(content: bytes) -> bytes:
    from mortcond.deploy.tflite import build

    return build(network(), "float32").bytes


def _rehashed(content: bytes, dice: np.random.Generator) -> bytes:
    """Change a few bytes outside the metadata, and make its hash anew, as somebody would who means harm."""
    embedded = metadata.extract(content, Path("sound"))
    payload = max(
        (buffer.vector(0, 1) for buffer in root(content).tables(MODEL["buffers"])), key=lambda place: place[1]
    )
    changed = bytearray(content)
    for _ in range(dice.integers(1, 4)):
        place = int(dice.integers(0, len(content)))
        if not payload[0] - 64 <= place < payload[0] + payload[1]:
            changed[place] = int(dice.integers(0, 256)) if dice.random() < 0.7 else changed[place] ^ 0x80
    try:
        return metadata.attach(bytes(changed), embedded.record)
    except Exception:  # the mutant is no longer a flatbuffer: with its old hash it is still a mutant
        return bytes(changed)


def _with_record(path: Path, plain: Path, data: Path) -> None:
    """Read a `.tflite` file whose metadata is a mutant, as inspect and predict do."""
    try:
        record = json.loads(path.read_bytes())
        content = metadata.attach(plain.read_bytes(), record)
    except (ValueError, AttributeError, TypeError):
        return  # no metadata can be made of it
    file = path.with_name("mutant.tflite")
    file.write_bytes(content)
    _inspect(file)
    found = metadata.read(file) or {}
    if found.get("inputs"):
        InputSpec.from_dict(found["inputs"])
    predict.predict(session("predict", path.parent), file, path.with_name(data.name), out=path.with_name("risks.csv"))


def _texts(folder: Path) -> list[Reader]:
    settings = folder / "settings.toml"
    settings.write_text('seed = 1\nworkspace = "w"\n[train]\nepochs = 5\narch = "lstm"\n')
    variables = folder / "extended.csv"
    shutil.copyfile(ROOT / "mortcond" / "variables" / "extended.csv", variables)
    return [
        Reader("variables table", variables, load, of_table),
        Reader("TOML settings", settings, _settings, of_bytes),
    ]


def _settings(path: Path) -> None:
    from mortcond import cli

    read_settings(path, "train", cli.toml_keys())


EVENTS = "stay_id,hours,variable,value\n" + "".join(
    f"{stay},{hour},{name},{value}\n"
    for stay in (1, 2)
    for hour in (0.5, 3, 47)
    for name, value in (("Heart Rate", 80), ("Temperature", 37.2), ("Glascow coma scale total", 15))
)
STAYS = "stay_id,subject_id,died,age,sex,icu_type\n1,11,0,70,F,MICU\n2,12,1,,M,\n"


def _tables(folder: Path) -> list[Reader]:
    for name, text in (("events.csv", EVENTS), ("stays.csv", STAYS)):
        (folder / name).write_text(text)
    events, listed = folder / "events.csv", folder / "stays.csv"
    return [
        Reader("events.csv", events, _records, of_table, (listed,)),
        Reader("stays.csv", listed, _records, of_table, (events,)),
    ]


def _records(path: Path) -> None:
    scratch = path.parent.parent / f"scratch-{path.parent.name}"
    scratch.mkdir()
    request = Request(scratch, console=session("preprocess", path.parent).console)
    records = tables.read(path.parent, load("paper76"), request, "events")
    assert set(records.stays.columns) >= {"stay_id", "subject_id", "died"}


SAVE = """
import sys
import keras
layers = keras.layers
model = keras.Sequential([keras.Input((6, 5)), layers.Masking(), layers.LSTM(3), layers.Dense(1, "sigmoid")])
for path in sys.argv[1:]:
    model.save(path)
"""


def _networks_of_others(folder: Path) -> list[Reader]:
    """Return readers of what `import` takes; Keras writes its files in a process of its own, which is not forked."""
    from mortcond.exchange.load import Given, load

    files = {kind: folder / f"other.{kind}" for kind in ("keras", "h5")}
    subprocess.run([sys.executable, "-c", SAVE, *map(str, files.values())], check=True, capture_output=True)

    def read(path: Path) -> None:
        load(path, Given(compare=False, window=6))

    return [Reader(f"import of .{kind}", path, read, of_bytes) for kind, path in files.items()]
