"""Exported files under test: specifications, random tables of events, compiled C."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mortcond.archs import Inputs, shaped, untrained
from mortcond.core.console import Console
from mortcond.core.session import Session
from mortcond.dataset import InputSpec, batches
from mortcond.dataset.spec import mask_columns
from mortcond.deploy import c, preparation
from mortcond.deploy.about import About
from mortcond.network import Network
from mortcond.variables import load

STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O1")
ABOUT = About("A network under test", "Research.", 'Made up: "nothing" holds.', "preprocess", "0" * 64, 0.13, None)


def specification(table: str = "paper76", derive: tuple[str, ...] = (), hours: int = 48) -> InputSpec:
    variables = load(table)
    columns = variables.columns(derive)
    generator = np.random.default_rng(len(columns))
    scaled = np.array([column.scaled for column in columns])
    mean, std = generator.uniform(1, 90, len(columns)), generator.uniform(1, 20, len(columns))
    normals = tuple(float(v.normal_value if v.normal_value is not None else 40.5) for v in variables)
    return InputSpec(variables, hours, derive, normals, np.where(scaled, mean, 0), np.where(scaled, std, 1), 0.13)


def network_for(spec: InputSpec, arch: str = "lstm", seed: int = 0, **shape) -> Network:
    names = spec.feature_names
    inputs = Inputs(len(names), spec.window_hours, mask_columns(names))
    return random_weights(untrained(arch, shaped(arch, **shape), inputs), seed)


def random_weights(network: Network, seed: int = 0) -> Network:
    generator = np.random.default_rng(seed)
    arrays = {name: generator.normal(0, 0.3, array.shape) for name, array in network.arrays().items()}
    return network.with_arrays({name: array.astype(np.float32) for name, array in arrays.items()})


def compiler(*names: str) -> str:
    """Return the first of these that is installed; skips the test where none is."""
    found = next((shutil.which(name) for name in names if shutil.which(name)), None)
    if found is None:
        pytest.skip(f"there is no {' or '.join(names)} on this machine")
    return found


class Library:
    """A network compiled to a shared library."""

    def __init__(self, folder: Path, network: Network, spec: InputSpec, name: str = "net", flags=STRICT, **how):
        self.source, self.name, self.spec = folder / f"{name}.c", name, spec
        folder.mkdir(parents=True, exist_ok=True)
        source, header = c.write(network, preparation.of(spec), ABOUT, name, **how)
        self.source.write_text(source, encoding="utf-8")
        self.source.with_suffix(".h").write_text(header, encoding="utf-8")
        compiled = folder / f"{name}.so"
        command = [compiler("gcc", "cc", "clang"), *flags, "-shared", "-fPIC", "-o", compiled, self.source, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.library = ctypes.CDLL(str(compiled))
        self.function("risk_of").restype = self.function("stay_risk").restype = ctypes.c_float
        self.stay = ctypes.create_string_buffer(1 << 19)  # larger than any stay of these tables

    def function(self, name: str):
        return getattr(self.library, f"{self.name}_{name}")

    def risks(self, x: np.ndarray, hours: int | None = None) -> np.ndarray:
        x = np.ascontiguousarray(x, np.float32)
        risk_of = self.function("risk_of")
        return np.array(
            [risk_of(ctypes.c_void_p(stay.ctypes.data), x.shape[1] if hours is None else hours) for stay in x]
        )

    def clear(self) -> None:
        self.function("stay_clear")(self.stay)

    def add(self, hours: float, variable: str, text: str) -> int:
        return self.function("stay_add_text")(self.stay, ctypes.c_double(hours), variable.encode(), text.encode())

    def input(self) -> np.ndarray:
        x = np.zeros((self.spec.window_hours, len(self.spec.feature_names)), np.float32)
        self.function("stay_input")(self.stay, ctypes.c_void_p(x.ctypes.data))
        return x

    def risk(self) -> float:
        return self.function("stay_risk")(self.stay)


def session(folder: Path, command: str = "predict") -> Session:
    return Session(folder, command=command, console=Console(quiet=True))


def prepared(folder: Path, events: str, spec: InputSpec, stays: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return stay ids and tensor as `predict` makes them of a table of events."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.csv").write_text(events, encoding="utf-8")
    if stays is not None:
        (folder / "stays.csv").write_text(stays, encoding="utf-8")
    found = list(batches(folder, spec, session(folder)))
    return np.concatenate([b.stay_id for b in found]), np.concatenate([b.X for b in found])


def random_events(spec: InputSpec, seed: int, stays: int = 12, rows: int = 60) -> list[tuple[int, float, str, str]]:
    """Return rows (stay, hours, variable, text): times that meet, borders of hours, odd units, implausible values."""
    generator = np.random.default_rng(seed)
    names = [name for v in spec.variables if v.kind != "static" for name in (v.name, *v.items("events"))]
    found = []
    for stay in range(1, stays + 1):
        times = np.round(generator.uniform(-1, spec.window_hours + 1, 20), generator.integers(0, 4)).tolist()
        times += [0.0, 1.0, 5e-7, -5e-7, spec.window_hours, spec.window_hours - 1, spec.window_hours + 5e-7]
        for _ in range(rows):
            name = str(generator.choice(names))
            variable = next(v for v in spec.variables if name in (v.name, *v.items("events")))
            found.append((stay, float(generator.choice(times)), name, _text(variable, generator)))
        found.append((stay, 1.5, "Heart Rate", "80"))
    return found


ODD = [
    "",
    "NaN",
    "NULL",
    " ",
    "#N/A",
    "None",
    "fast",
    "80 /min",
    "1e999",
    "inf",
    "1e20",
    "0x10",
    "1_0",
    "15",
    "4",
    "1.0",
]


def _text(variable, generator) -> str:
    if generator.random() < 0.1:
        return str(generator.choice(ODD))
    if variable.categories:
        texts = [*variable.categories, *(text for group in variable.spellings for text in group)]
        text = str(generator.choice(texts))
        if text.replace(".", "").isdigit() and generator.random() < 0.3:
            return f"{float(text)}0"
        form = generator.choice([str, str, str.upper, str.title, lambda words: words.replace(" ", "  ")])
        return form(text)
    low, high = variable.low or 0.1, variable.high or 300
    value = generator.uniform(low, high) * generator.choice([1, 1, 1, 0.01, 100, -1])
    text = f"{value:{generator.choice(['.1f', '.3f', '.6g', '.17g', '.2e'])}}"
    return f"{generator.choice(['<', '>=', 'less than '])}{text}" if variable.rule == "limit" and value > 0 else text


def as_csv(rows) -> str:
    return "stay_id,hours,variable,value\n" + "".join(f"{s},{h!r},{n},{t}\n" for s, h, n, t in rows)
