"""A laptop without TensorFlow, matplotlib and scikit-learn: predict, inspect, preprocess and bench work there. Slow."""

import json
import os
import subprocess
import sys
import venv

import pytest
from deploy_workspace import workspace

pytestmark = pytest.mark.slow

NEEDED = ("numpy", "pandas", "duckdb", "typer", "rich", "ai-edge-litert")
ABSENT = ("tensorflow", "keras", "matplotlib", "sklearn")
MOST_MEGABYTES = 400


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    """Return the bin directory of an environment with the few packages that a deployed laptop needs."""
    folder = tmp_path_factory.mktemp("laptop")
    venv.create(folder, with_pip=True)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for arguments in (NEEDED, ("--no-deps", root)):
        command = [folder / "bin/python", "-m", "pip", "install", "--quiet", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            pytest.skip(f"packages cannot be installed here: {result.stderr[-300:]}")
    return folder / "bin"


def run(laptop, folder, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run([laptop / "mortcond", *map(str, arguments)], cwd=folder, capture_output=True, text=True)


def test_the_commands_of_a_laptop(laptop, tmp_path):
    for name in ABSENT:
        found = subprocess.run([laptop / "python", "-c", f"import {name}"], capture_output=True)
        assert found.returncode != 0, name
    folder = workspace(tmp_path / "work")
    for arguments in (
        ("preprocess", "-o", "sample.npz"),
        ("predict", folder / "lstm", folder / "dataset.npz"),
        (
            "predict",
            folder / "lstm/model.tflite",
            "sample.npz",
            "--split",
            "all",
            "--write-as",
            "jsonl",
            "-o",
            "r.jsonl",
        ),
        ("inspect", folder / "lstm/model.tflite", "--json"),
        ("inspect", "sample.npz", "--json"),
        ("bench", folder / "lstm/model.tflite", "--dataset", folder / "dataset.npz", "--rounds", 1, "-w", folder),
    ):
        result = run(laptop, tmp_path, *arguments)
        # predict refuses the sample: it is scaled in another way than the model's own data
        refused = "r.jsonl" in arguments and result.returncode == 3 and "scaled in another way" in result.stderr
        assert refused or result.returncode == 0, (arguments, result.stderr[-1500:])
        assert "Traceback" not in result.stderr
        if "--json" in arguments:
            json.loads(result.stdout)


def test_train_says_what_to_install(laptop, tmp_path):
    folder = workspace(tmp_path)
    for command in ("train", "quantize"):
        result = run(laptop, folder, command, "-w", folder)
        assert result.returncode == 3, result.stderr[-1500:]
        assert "pip install tensorflow" in result.stderr


def test_what_it_takes_on_disk(laptop):
    site = laptop.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    sizes = {
        package.name: sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
        for package in site.iterdir()
        if package.is_dir() and package.name not in ("pip", "setuptools")
    }
    megabytes = sum(sizes.values()) / 1e6
    print(f"{megabytes:.0f} MB:", {name: round(size / 1e6) for name, size in sizes.items() if size > 5e6})
    assert megabytes < MOST_MEGABYTES
