"""The check of an exported file before it gets its name: it predicts, and is compared with its network.

Comes in: the file's contents and stays. Goes out: its risks, and by what they were computed; None where this machine
has nothing that runs such a file.
"""

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.core.scratch import scratch_folder
from mortcond.deploy import compiled

SECONDS = 600
NODE = """
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const network = new Network(given.program);
process.stdout.write(JSON.stringify(given.stays.map((stay) => network.risk(Float64Array.from(stay)))));
"""
Trial = tuple[np.ndarray, str]  # risks, and by what


def of_c(source: str, header: str, file: str, x: np.ndarray) -> Trial | None:
    """Compile and call a C file."""
    own = compiled.compiler()
    if own is None:
        return None
    with scratch_folder() as folder:
        library = compiled.build(folder, source, header, file)
        return compiled.load(library)(x), Path(own).name


def of_page(script: str, program: dict[str, Any], x: np.ndarray) -> Trial | None:
    """Run the script of a page that computes its network, by Node."""
    node = shutil.which("node")
    if node is None:
        return None
    given = json.dumps({"program": program, "stays": x.reshape(len(x), -1).astype(float).tolist()})
    command = [node, "-e", f"{script}\n{NODE}"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"The page's script cannot be run ({last}).", "Report this model.")
    return np.array(json.loads(done.stdout)), "node"


def of_onnx(model: bytes, x: np.ndarray) -> Trial | None:
    """Run an ONNX model by ONNX Runtime."""
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.astype(np.float32)})[0][:, 0], f"onnxruntime {onnxruntime.__version__}"
