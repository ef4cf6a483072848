"""A workspace with a data set and models made of random weights: what bench needs, without any training."""

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from mortcond import dataset as datasets
from mortcond.core.manifest import Manifest, read_manifest, write_manifest
from mortcond.deploy import metadata, tflite
from mortcond.layers import LSTM, Dense, FullSummary, HiddenLSTM, Masking, MeasuredMean
from mortcond.layers.hidden_lstm import HiddenGate
from mortcond.layers.lstm import GATES
from mortcond.network import INPUT, Network, Node, chain

PREVALENCE = 0.15


def dense_nodes(rng, sizes: list[int], source: str, scale: float = 1.0) -> list[Node]:
    """Return dense layers from sizes[0] inputs on; the last has a sigmoid."""
    kinds, nodes = ["relu"] * (len(sizes) - 2) + ["sigmoid"], []
    for index, (inputs, units) in enumerate(pairwise(sizes)):
        kernel = (scale * rng.normal(size=(inputs, units)) / np.sqrt(inputs)).astype("f4")
        layer = Dense(kernel, rng.normal(size=units).astype("f4") * 0.1, kinds[index])
        nodes.append(Node(f"dense.{index}", layer, (source,)))
        source = f"dense.{index}"
    return nodes


def lstm(rng, features: int, hours: int, units: tuple[int, ...] = (16, 16)) -> Network:
    nodes, source, inputs = [Node("masking", Masking())], INPUT, features
    for index, width in enumerate(units):
        kernel = rng.normal(size=(inputs, 4 * width)) / np.sqrt(inputs)
        recurrent = rng.normal(size=(width, 4 * width)) / np.sqrt(width)
        weights = kernel.astype("f4"), recurrent.astype("f4"), np.zeros(4 * width, "f4")
        layer = LSTM(*weights, sequences=index + 1 < len(units))
        nodes.append(Node(f"recurrent.{index}", layer, (source, "masking")))
        source, inputs = f"recurrent.{index}", width
    return chain("lstm", features, hours, nodes + dense_nodes(rng, [inputs, 1], source, 4.0))


def hlstm(rng, features: int, hours: int, units: int = 16) -> Network:
    def gate() -> HiddenGate:
        hidden = rng.normal(size=(features + units, units)) / np.sqrt(features)
        output = rng.normal(size=(units, units)) / np.sqrt(units)
        return HiddenGate((hidden.astype("f4"),), output.astype("f4"), np.zeros(units, "f4"))

    layer = HiddenLSTM(tuple(gate() for _ in GATES))
    nodes = [Node("masking", Masking()), Node("recurrent.0", layer, (INPUT, "masking"))]
    return chain("hlstm", features, hours, nodes + dense_nodes(rng, [units, 1], "recurrent.0", 4.0))


def dnn(rng, features: int, hours: int, sizes: tuple[int, ...] = (256, 128, 64)) -> Network:
    nodes = [Node("summary", MeasuredMean((-1,) * features))]
    return chain("dnn", features, hours, nodes + dense_nodes(rng, [features, *sizes, 1], "summary", 2.0))


def linear(rng, features: int, hours: int) -> Network:
    nodes = [Node("summary", FullSummary())]
    return chain("linear", features, hours, nodes + dense_nodes(rng, [6 * features, 1], "summary"))


def calibrated(network: Network, x: np.ndarray) -> Network:
    """Return the same network with its last layer moved so that its risks spread around the prevalence."""
    risk = network.predict(x)
    logit = np.log(risk / (1 - risk))
    name, last = network.output.name, network.output.layer
    factor = 1.3 / logit.std()
    kernel, bias = last.kernel * factor, (last.bias - logit.mean()) * factor - 2.3
    return network.with_layers({name: replace(last, kernel=kernel.astype("f4"), bias=bias.astype("f4"))})


def near(rng, network: Network, amount: float) -> Network:
    """Return the same network with its weights moved a little."""
    moved = {
        n: (a + amount * rng.normal(size=a.shape) * (a.std() + 1e-3)).astype("f4") for n, a in network.arrays().items()
    }
    return network.with_arrays(moved)


def manifest(name: str, network: Network, command: str, parent: Manifest | None, **facts) -> Manifest:
    lineage = [*parent.lineage, parent.as_ancestor()] if parent else []
    stub = {"name": parent.name, "kind": parent.kind, "path": parent.name, "sha256": parent.sha256} if parent else None
    known = {"kind": "model", "options": {"epochs": {"value": 20, "source": "default"}}, "seed": 0, "inputs": {}}
    known |= {"quantization": "float32", "metrics": {"training_seconds": 12.5} if "kind" not in facts else {}}
    known |= {"arch": network.arch, "parameters": network.parameters, "parent": parent and stub, "lineage": lineage}
    return Manifest(name=name, command=command, **(known | facts))


def write_directory(
    folder: Path, network: Network, record: Manifest, rng, features: list[str] | None = None
) -> Manifest:
    """Write what bench reads of a model directory; return its manifest with its hash, by which children name it."""
    folder.mkdir(parents=True)
    facts = {"manifest": record, "parameters": network.parameters, "threshold": None, "prevalence": PREVALENCE}
    facts |= {"inputs": {"feature_names": features}} if features else {}
    (folder / "model.tflite").write_bytes(metadata.attach(tflite.build(network).bytes, facts))
    rows, level = [], 0.6
    for epoch in range(1, 21):
        level += 0.25 * (0.85 - level) + rng.normal() * 0.006
        rows.append(
            {"epoch": epoch, "loss": 0.5 / epoch, "auroc_train": level + 0.02, "auroc_test": level, "seconds": 0.6}
        )
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_manifest(folder, record)
    return read_manifest(folder)


def write_tflite(path: Path, network: Network, parent: Manifest, mode: str) -> None:
    record = manifest(path.stem, network, "quantize", parent, kind="tflite", quantization=mode)
    facts = {"manifest": record, "parameters": network.parameters, "threshold": None, "prevalence": PREVALENCE}
    path.write_bytes(metadata.attach(tflite.build(network, mode).bytes, facts))


def write_dataset(path: Path, stays: int, network: Network, rng) -> datasets.Dataset:
    """Write a data set whose test outcomes are drawn from a network's risks, so that the network predicts them."""
    shape = (stays, network.hours, network.features)
    x = (rng.normal(size=(stays, 1, network.features)) + 0.7 * rng.normal(size=shape)).astype("f4")
    score = network.predict(x)
    score = np.log(score / (1 - score))
    order = np.argsort(np.argsort(score + 1.3 * score.std() * rng.normal(size=stays)))
    died = (order >= (1 - PREVALENCE) * stays).astype(np.uint8)
    ids = np.arange(stays)
    test = datasets.Split(
        X=x,
        y=died,
        stay_id=ids.astype("i8"),
        subject_id=(ids // 2 * 2 + (ids % 10 != 0)).astype("i8"),
        age=rng.uniform(18, 95, stays).astype("f4"),
        sex=rng.choice(np.array(["F", "M"]), stays),
        icu_type=rng.choice(np.array(["medical", "surgical", "coronary"]), stays),
    )
    attrition = [
        {
            "step": "all",
            "rule": "ICU stays",
            "stays": 4 * stays,
            "admissions": 4 * stays,
            "patients": 3 * stays,
            "dropped": 0,
        },
        {
            "step": "adults",
            "rule": "18 or older",
            "stays": stays,
            "admissions": stays,
            "patients": stays,
            "dropped": 3 * stays,
        },
    ]
    meta = {"prevalence": PREVALENCE, "source": "synthetic", "split_rule": "by patient", "attrition": attrition}
    names = tuple(f"feature {index}" for index in range(network.features))
    empty = datasets.npz.empty_split(shape[1:])
    data = datasets.Dataset(empty, empty, test, names, np.zeros(len(names)), np.ones(len(names)), meta)
    datasets.save(path, data)
    return data


def build(folder: Path, stays: int = 200, features: int = 12, hours: int = 6, sizes=(32, 16)) -> datasets.Dataset:
    """Fill a workspace: linear, lstm with pruned, hidden-layer and 8-bit forms, dnn with pruned and 8-bit forms."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    base = lstm(rng, features, hours)
    data = write_dataset(folder / "dataset.npz", stays, base, rng)
    names = list(data.feature_names)
    x = data.test.X
    base = calibrated(base, x)
    floor = calibrated(linear(rng, features, hours), x)
    write_directory(folder / "linear", floor, manifest("linear", floor, "train", None), rng, names)
    parent = write_directory(folder / "lstm", base, manifest("lstm", base, "train", None), rng, names)
    write_tflite(folder / "lstm-int8.tflite", near(rng, base, 0.004), parent, "int8")
    pruned = near(rng, base, 0.05)
    half = calibrated(lstm(rng, features, hours, (8, 8)), x)
    for name, network in {"lstm-pruned50": pruned, "lstm-pruned75": half}.items():
        child = write_directory(folder / name, network, manifest(name, network, "prune", parent), rng, names)
        write_tflite(folder / f"{name}-int8.tflite", network, child, "int8")
    hidden = calibrated(hlstm(rng, features, hours), x)
    write_directory(folder / "lstm-hlstm", hidden, manifest("lstm-hlstm", hidden, "hlstm-convert", parent), rng, names)
    wide = calibrated(dnn(rng, features, hours, sizes), x)
    parent = write_directory(folder / "dnn", wide, manifest("dnn", wide, "train", None), rng, names)
    write_tflite(folder / "dnn-int8.tflite", near(rng, wide, 0.01), parent, "dynamic")
    narrow = near(rng, wide, 0.08)
    write_directory(folder / "dnn-pruned50", narrow, manifest("dnn-pruned50", narrow, "prune", parent), rng, names)
    return data
