"""The small install: the wheel, made of the sdist, in an empty environment. Every command works without TensorFlow."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ABSENT = ("tensorflow", "keras", "torch", "pyspark")
MOST_MEGABYTES = 700
BUILD = "import hatchling.build as b, os; os.chdir({source!r}); print(b.build_{kind}({target!r}))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel that is built of the sdist, as a package index would have both."""
    folder = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip"]
    made = subprocess.run([*pip, "install", "-q", "hatchling", "--target", folder / "hatchling"], capture_output=True)
    if made.returncode:
        pytest.skip("hatchling, which builds the package, cannot be installed here")
    environment = os.environ | {"PYTHONPATH": str(folder / "hatchling")}
    code = BUILD.format(source=str(ROOT), kind="sdist", target=str(folder))
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder, sdist], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory, wheel) -> Path:
    """The bin directory of an environment with the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("small")
    venv.create(folder, with_pip=True)
    command = [folder / "bin/python", "-m", "pip", "install", "--quiet", wheel]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip(f"packages cannot be installed here: {result.stderr[-300:]}")
    return folder / "bin"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


def test_the_wheel_holds_every_file_of_the_package(wheel):
    import zipfile

    listed = subprocess.run(["git", "ls-files", "mortcond", "sample_data"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no clone: what belongs to the package cannot be listed")
    expected = {name.replace("sample_data/", "mortcond/_sample_data/") for name in listed.stdout.split()}
    held = set(zipfile.ZipFile(wheel).namelist())
    assert expected <= held
    assert not {name for name in held - expected if ".dist-info/" not in name}


def test_what_is_not_installed(small):
    for name in ABSENT:
        assert subprocess.run([small / "python", "-c", f"import {name}"], capture_output=True).returncode != 0, name


COMMANDS = (  # in the order of the chain; each works on what those before it made
    "preprocess",
    "train --arch lstm --epochs 2",
    "train --arch linear",
    "prune lstm --epochs 1",
    "hlstm-convert lstm --epochs 1",
    "quantize lstm-pruned50 --tolerance 1",
    "condense --baseline artifacts/lstm --epochs 2 --budget-minutes 1 --max-auroc-drop 0.4 --accept-undecided",
    "bench --rounds 1 --resamples 100",
    "validate --folds 2 --epochs 2 -o validation",
    "predict artifacts/lstm-pruned50-int8.tflite artifacts/dataset.npz -o risks.csv",
    "recalibrate lstm artifacts/dataset.npz -o lstm-here",
    "inspect lstm",
    "inspect artifacts/lstm-pruned50-int8.tflite --json",
    "export lstm --to c -o risk.c",
    "export lstm --to html -o risk.html",
    "synth --stays 60 -o hospital",
    "run -w whole --epochs 2",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works(small, workspace, command):
    result = subprocess.run([small / "mortcond", *command.split()], cwd=workspace, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-1500:]
    assert "Traceback" not in result.stderr
    if "--json" in command:
        json.loads(result.stdout)


def test_it_runs_as_a_module_too(small, tmp_path):
    result = subprocess.run([small / "python", "-m", "mortcond", "--version"], cwd=tmp_path, capture_output=True)
    assert result.returncode == 0


@pytest.mark.parametrize(("form", "extra"), [("keras", "tensorflow"), ("savedmodel", "tensorflow"), ("onnx", "onnx")])
def test_what_needs_an_extra_says_which(small, workspace, form, extra):
    command = [small / "mortcond", "export", "lstm", "--to", form, "-o", f"model.{form}"]
    result = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
    assert result.returncode == 3, result.stderr[-1500:]
    assert f"mortcond[{extra}]" in result.stderr


def test_what_it_takes_on_disk(small):
    site = small.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages = [path for path in site.iterdir() if path.is_dir() and path.name not in ("pip", "setuptools")]
    sizes = {path.name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for path in packages}
    megabytes = sum(sizes.values()) / 1e6
    print(f"{megabytes:.0f} MB:", {name: round(size / 1e6) for name, size in sizes.items() if size > 5e6})
    assert megabytes < MOST_MEGABYTES
