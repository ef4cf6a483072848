"""Data flows one way: a room imports only from rooms above it; the command line imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mortcond"
ORDER = [
    "core",
    "variables",
    "synth",
    "tables",
    "cohort",
    "grid",
    "dataset",
    "scores",
    "layers",
    "network",
    "stages",
    "channels",
    "exchange",
    "archs",
    "options",
    "training",
    "deploy",
    "condense",
    "measure",
    "commands",
    "objects",
    "library",
    "cli",
    "__main__",
]


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "mortcond" and len(parts) > 1 else None


def imported_rooms(path: Path) -> set[str]:
    """Every room that a file imports, at its top or inside a function."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            rooms |= {room_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "mortcond":
            rooms |= {alias.name for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and node.module:
            rooms.add(room_of(node.module))
    return rooms - {None}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path: Path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if room == "__init__":
        assert imported_rooms(path) == set()
        return
    assert room in ORDER, f"{room} is a room that the order does not know"
    for other in imported_rooms(path):
        assert ORDER.index(other) <= ORDER.index(room), f"{room} imports {other}, which lies below it"


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"tensorflow", "keras", "numpy", "pandas", "sklearn", "duckdb", "matplotlib", "ai_edge_litert"}


def test_cli_imports_nothing_heavy():
    assert not modules_after("import mortcond.cli") & (HEAVY | {"rich"})


@pytest.mark.parametrize("room", ["bench", "quantize", "inspect", "predict", "prune"])
def test_these_commands_import_no_duckdb_by_themselves(room: str):
    """They read no records: a processor that cannot run DuckDB runs them."""
    assert not modules_after(f"import mortcond.commands.{room}") & {"duckdb", "_duckdb", "tensorflow", "keras"}


@pytest.mark.parametrize("room", ["preprocess", "predict", "inspect", "bench", "synth", "fetch", "export"])
def test_these_commands_never_import_tensorflow(room: str):
    assert not modules_after(f"import mortcond.commands.{room}") & {"tensorflow", "keras", "sklearn", "matplotlib"}
