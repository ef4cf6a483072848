"""The README is true: each command in it is one that the command line takes, and does what it says when it is run."""

import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import typer.main

from mortcond.cli import app

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / ".readme").glob("*.md"))]
PATIENTS = 400  # of set A, the chain of which is run here
MEANT = {  # what the capital words of the page stand for
    "MODEL": "artifacts/lstm",
    "DATA.npz": "artifacts/dataset.npz",
    "FILE": "theirs.state",
}
ELSEWHERE = ("preprocess my-hospital/", "import FILE")  # would take a name that another command makes
LESS = {"MORTCOND_EPOCHS": "3", "MORTCOND_FOLDS": "2"}  # what a command does not say itself: so it takes minutes
OFFLINE = ("fetch",)  # the network is not to be had in a test: `tests/test_fetch.py` has a server


def commands_of(text: str) -> list[str]:
    """Return what stands after `mortcond` in every code span, and in every line of a code block of the shell."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    shell = "\n".join(block for language, block in blocks if language in ("", "sh", "console"))
    prose = re.sub(r"\s+", " ", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    spans = re.findall(r"`mortcond ([a-z][^`]*)`", prose)
    lines = re.findall(r"(?:^|&& )(?:\$ )?(?:\S*/)?mortcond ([a-z][^&\n]*)", shell, flags=re.MULTILINE)
    return list(dict.fromkeys(part.strip() for part in [*lines, *spans]))


EVERY = [(path.name, command) for path in PAGES for command in commands_of(path.read_text(encoding="utf-8"))]


def test_the_readme_is_short_and_has_commands():
    assert len(PAGE.splitlines()) <= 130
    assert len(commands_of(PAGE)) >= 8


@pytest.mark.parametrize(("page", "command"), EVERY)
def test_every_command_of_the_pages_is_taken(page, command):
    words = [word for word in shlex.split(command.split("|")[0].split(" > ")[0]) if word not in ("...", "…")]
    if "COMMAND" in words[:1]:
        return
    group = typer.main.get_command(app)
    known = group.get_command(None, words[0])
    assert known is not None, f"{page}: there is no command {words[0]}"
    known.make_context(words[0], words[1:], resilient_parsing="-h" in words)  # raises for an option that is none


@pytest.fixture(scope="module")
def ward(tmp_path_factory) -> Path:
    """A folder in which the README's commands can be given as they stand there."""
    data = Path(os.environ.get("MORTCOND_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "physionet2012").is_dir():
        pytest.skip("no real data here: set MORTCOND_TEST_DATA to a folder with physionet2012/ and pretrained/")
    folder = tmp_path_factory.mktemp("ward")
    _some_of_set_a(data / "physionet2012", folder / "physionet2012")
    _hospital(folder / "my-hospital")
    for kept in (data / "pretrained").iterdir():
        if kept.suffix == ".csv":
            (folder / kept.name).write_bytes(kept.read_bytes())
        elif kept.name.startswith("k_lstm"):
            (folder / "theirs.state").write_bytes(kept.read_bytes())
    return folder


def _some_of_set_a(source: Path, target: Path) -> None:
    (target / "set-a").mkdir(parents=True)
    with tarfile.open(source / "set-a.tar.gz") as archive:
        members = sorted((m for m in archive.getmembers() if m.name.endswith(".txt")), key=lambda m: m.name)
        for member in members[:PATIENTS]:
            (target / "set-a" / Path(member.name).name).write_bytes(archive.extractfile(member).read())
    (target / "Outcomes-a.txt").write_bytes((source / "Outcomes-a.txt").read_bytes())


def _hospital(folder: Path) -> None:
    """Write the two tables that the README shows side by side."""
    block = re.search(r"```\n(events\.csv +stays\.csv\n.*?)```", PAGE, flags=re.DOTALL)
    start = block[1].index("stays.csv")
    rows = block[1].splitlines()[1:]
    folder.mkdir()
    for name, cut in {"events.csv": slice(0, start), "stays.csv": slice(start, None)}.items():
        text = "\n".join(part for row in rows if (part := row[cut].strip()))
        (folder / name).write_text(f"{text}\n", encoding="utf-8")


def mortcond(folder: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"} | LESS
    words = [sys.executable, "-m", "mortcond", *shlex.split(command)]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _grown(folder: Path) -> None:
    """Write a hospital with a history: as many stays as a data set needs, with their outcomes."""
    folder.mkdir(exist_ok=True)
    stays = ["stay_id,subject_id,died", *(f"{stay},{1000 + stay},{int(stay % 4 == 0)}" for stay in range(1, 81))]
    events = [f"{stay},{hour}.5,Heart Rate,{80 + stay % 7 + hour}" for stay in range(1, 81) for hour in range(0, 48, 6)]
    (folder / "stays.csv").write_text("\n".join(stays) + "\n", encoding="utf-8")
    (folder / "events.csv").write_text("\n".join(["stay_id,hours,variable,value", *events]) + "\n", encoding="utf-8")


@pytest.mark.slow
def test_the_commands_of_the_readme_do_what_it_says(ward):
    """Run every command of the page in its order, on the first patients of set A, as real processes."""
    for command in commands_of(PAGE):
        if command.split()[0] in OFFLINE or command.split()[0] == "COMMAND":
            continue
        if command == "run":  # the bundled sample: what test_run.py runs
            continue
        words = " ".join(MEANT.get(word, word) for word in command.split())
        where = ward
        if command in ELSEWHERE:
            where = ward / "elsewhere"
            where.mkdir(exist_ok=True)
            _grown(where / "my-hospital")
            (where / "theirs.state").write_bytes((ward / "theirs.state").read_bytes())
        result = mortcond(where, words)
        print(command, result.stdout[-2000:], result.stderr[-2000:])
        assert result.returncode == 0, f"{command}: {result.stdout[-2000:]}{result.stderr[-2000:]}"
        for file in (ward / "artifacts").glob("*.tflite"):
            (ward / file.name).write_bytes(file.read_bytes())
