"""export --to c, compiled as a program by every compiler at hand: its rows against `predict`, and what it refuses."""

import csv
import io
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from export_workspace import ABOUT, Library, as_csv, network_for, prepared, random_events, specification

from mortcond.deploy import c, preparation
from mortcond.deploy.eight_bits import EightBits

SPEC = specification("extended")
NETWORK = network_for(SPEC)
C99 = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")
SANITIZED = (*C99, "-g", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ARM = "arm-linux-gnueabihf-gcc"
BUILDS = {  # compiler, flags, what runs it
    "gcc": ("gcc", (*C99, "-O3"), ()),
    "gcc, sanitized": ("gcc", SANITIZED, ()),
    "clang": ("clang", (*C99, "-O3"), ()),
    "clang, sanitized": ("clang", SANITIZED, ()),
    "tcc": ("tcc", ("-Wall", "-Werror"), ()),
    "32-bit ARM": (ARM, (*C99, "-O2", "-static"), ("qemu-arm",)),
    "32-bit ARM with NEON": (ARM, (*C99, "-O3", "-static", "-mfpu=neon"), ("qemu-arm",)),
}
EVENTS = random_events(SPEC, 5)
FACTS = "stay_id,subject_id,age,sex,icu_type\n" + "".join(f"{i},{i},{40 + i},F,SICU\n" for i in range(1, 13))


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A folder with the source in 32 and in 8 bits."""
    folder = tmp_path_factory.mktemp("sources")
    for name, eight_bits in (("net", None), ("net8", EightBits())):
        source, header = c.write(
            NETWORK, preparation.of(SPEC), ABOUT, name, eight_bits=EightBits() if eight_bits else None
        )
        (folder / f"{name}.c").write_text(source, encoding="utf-8")
        (folder / f"{name}.h").write_text(header, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> tuple[list[int], np.ndarray]:
    ids, X = prepared(tmp_path_factory.mktemp("events"), as_csv(EVENTS), SPEC, FACTS)
    return ids.tolist(), NETWORK.predict(X)


def built(folder: Path, sources: Path, compiler: str, flags: tuple[str, ...], name: str = "net") -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler} on this machine")
    program = folder / name
    command = [compiler, *flags, f"-D{name.upper()}_MAIN", "-o", program, sources / f"{name}.c", "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, *paths: Path, by: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    if by and shutil.which(by[0]) is None:
        pytest.skip(f"there is no {by[0]} on this machine")
    return subprocess.run([*by, program, *paths], capture_output=True, text=True, check=False, timeout=60)


def risks(output: str) -> tuple[list[int], list[float]]:
    rows = list(csv.DictReader(io.StringIO(output)))
    return [int(row["stay_id"]) for row in rows], [float(row["risk"]) for row in rows]


@pytest.mark.parametrize("name", ["net", "net8"])
@pytest.mark.parametrize("build", BUILDS)
def test_every_compiler_gives_the_rows_of_predict(sources, expected, tmp_path, build, name):
    compiler, flags, by = BUILDS[build]
    program = built(tmp_path, sources, compiler, flags, name)
    (tmp_path / "events.csv").write_text(as_csv(EVENTS), encoding="utf-8")
    (tmp_path / "stays.csv").write_text(FACTS)
    done = run(program, tmp_path / "events.csv", tmp_path / "stays.csv", by=by)
    assert done.returncode == 0, done.stderr
    ids, found = risks(done.stdout)
    assert ids == expected[0]
    np.testing.assert_allclose(found, expected[1], rtol=0, atol=0.05 if name == "net8" else 2e-6)
    assert "left out" in done.stderr


def test_it_compiles_for_a_microcontroller(sources, tmp_path):
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler is None:
        pytest.skip("there is no arm-none-eabi-gcc on this machine")
    sizes = {}
    for name in ("net", "net8"):
        target = tmp_path / f"{name}.o"
        command = [compiler, *C99, "-Os", "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-c"]
        subprocess.run([*command, "-o", target, sources / f"{name}.c"], check=True)
        text = subprocess.run(["arm-none-eabi-size", target], capture_output=True, text=True, check=True).stdout
        flash, data, zeros = map(int, text.splitlines()[1].split()[:3])
        assert (data, zeros) == (0, 0)  # all is constant: nothing is copied into memory, nothing global changes
        sizes[name] = flash
    assert sizes["net8"] < 0.5 * sizes["net"]


def test_rows_in_any_order_and_a_quoted_form(sources, expected, tmp_path):
    program = built(tmp_path, sources, "gcc", ("-O0",))
    rows = [f'"{value}",{variable},"{hours!r}",{stay}.0\r\n' for stay, hours, variable, value in EVENTS]
    np.random.default_rng(0).shuffle(rows)
    (tmp_path / "events.csv").write_text("\ufeffValue,VARIABLE,Hours, stay_id\r\n" + "".join(rows), newline="")
    (tmp_path / "stays.csv").write_text(FACTS)
    ids, found = risks(run(program, tmp_path / "events.csv", tmp_path / "stays.csv").stdout)
    assert ids == expected[0]
    np.testing.assert_allclose(found, expected[1], rtol=0, atol=2e-6)


HEAD = "stay_id,hours,variable,value\n"
REFUSED = {
    "": "it is empty",
    "time,value\n1,2\n": "row 1: there is no column 'stay_id'",
    HEAD: "it holds no measurement",
    HEAD + "1,2,Heart Rate\n": "row 2: it has not as many cells as the header",
    HEAD + '1,2,"Heart Rate,80\n': "row 2: a quote is not closed",
    HEAD + "1,1,Heart Rate,80\n\n1.5,1,Heart Rate,80\n": "row 4: the stay_id is no whole number: '1.5'",
    HEAD + "1,1,Heart Rate,80\n1e30,1,Heart Rate,80\n": "row 3: the stay_id is no whole number: '1e30'",
    HEAD + "1,soon,Heart Rate,80\n": "row 2: the hours are no number: 'soon'",
    HEAD + "1,1,,80\n,1,Heart Rate,80\n": "no row has a variable of this model",
    HEAD + "1,1,Hair colour,80\n": "no row has a variable of this model",
    HEAD.replace("value", "value,unit") + "1,1,Weight,80,lb\n": "row 2: this is not the variable's own unit: 'lb'",
    HEAD.replace("value", "value,text") + "1,1,Weight,80,heavy\n": "row 2: a column text is not read here: 'heavy'",
    "a\0b\n": "it is no text",
}


@pytest.fixture(scope="module")
def program(sources, tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("program"), sources, "gcc", SANITIZED)


@pytest.mark.parametrize("content", REFUSED)
def test_what_it_refuses(program, tmp_path, content):
    (tmp_path / "events.csv").write_text(content)
    done = run(program, tmp_path / "events.csv")
    assert done.returncode == 3
    assert REFUSED[content] in done.stderr
    assert not [line for line in done.stdout.splitlines() if line != "stay_id,risk"]


def test_ids_beyond_2_to_the_53_stay_apart(program, tmp_path):
    low, high = 9007199254740992, 9007199254740993
    (tmp_path / "events.csv").write_text(f"{HEAD}{high},1,Heart Rate,80\n{low},1,Heart Rate,180\n{low},50,pH,7\n")
    done = run(program, tmp_path / "events.csv")
    ids, found = risks(done.stdout)
    assert ids == [low, high]
    assert found[0] != found[1]


def test_a_stay_without_a_usable_value_has_no_risk(program, tmp_path):
    (tmp_path / "events.csv").write_text(f"{HEAD}1,1,Heart Rate,fast\n2,1,Heart Rate,80\n3,,,\n4,,pH,7\n")
    done = run(program, tmp_path / "events.csv")
    rows = done.stdout.splitlines()
    assert (rows[1], rows[3], rows[4]) == ("1,", "3,", "4,")
    assert "row 5: pH 7 has no stay_id, hours or variable; left out." in done.stderr
    assert "row 2: Heart Rate fast cannot be read; left out." in done.stderr
    assert run(program).returncode == 2
    missing = run(program, tmp_path / "none.csv")
    assert (missing.returncode, "No such file" in missing.stderr) == (3, True)


def test_mutated_tables_never_break_it(program, tmp_path):
    """Under the sanitizers: any overrun, overflow or leak ends with another exit code."""
    generator = np.random.default_rng(1)
    whole = as_csv(EVENTS[:60]).encode()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(generator.integers(1, 8)):
            data[generator.integers(len(data))] = generator.integers(256)
        (tmp_path / "events.csv").write_bytes(data[: generator.integers(1, len(data))])
        done = subprocess.run([program, tmp_path / "events.csv"], capture_output=True, check=False, timeout=20)
        assert done.returncode in (0, 3), done.stderr[-2000:]


def test_several_threads_may_call_it(tmp_path):
    library = Library(tmp_path, NETWORK, SPEC)
    x = np.random.default_rng(2).normal(size=(64, 48, len(SPEC.feature_names))).astype(np.float32)
    alone, together = library.risks(x), [None] * 4

    def work(index: int) -> None:
        together[index] = library.risks(x)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found, alone) for found in together)
