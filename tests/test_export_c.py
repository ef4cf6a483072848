"""export --to c: what comes out of the compiled files against the network and against `predict`'s own preparation."""

import ctypes
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from export_networks import NETWORKS, kinds
from export_workspace import (
    ABOUT,
    Library,
    as_csv,
    compiler,
    network_for,
    prepared,
    random_events,
    specification,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_network import HOURS, small, stays

from mortcond.deploy import c, preparation
from mortcond.deploy.eight_bits import EightBits, learn
from mortcond.layers import LAYERS

TABLES = {
    "paper76": specification(),
    "extended": specification("extended", ("delta", "min", "max", "mean")),
}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """A compiled network for each table of variables."""
    folder = tmp_path_factory.mktemp("libraries")
    return {table: Library(folder / table, network_for(spec, width=4), spec) for table, spec in TABLES.items()}


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_raw_measurements_become_the_tensor_of_predict(libraries, tmp_path_factory, table, seed):
    library, rows = libraries[table], random_events(TABLES[table], seed)
    ids, X = prepared(tmp_path_factory.mktemp("events"), as_csv(rows), TABLES[table])
    network = network_for(TABLES[table], width=4)
    for stay, x in zip(ids.tolist(), X, strict=True):
        library.clear()
        for _, hours, name, text in (row for row in rows if row[0] == stay):
            library.add(hours, name, text)
        np.testing.assert_allclose(library.input(), x, rtol=3e-7, atol=3e-7)
        assert library.risk() == pytest.approx(float(network.predict(x[None])[0]), abs=2e-6)


def test_facts_of_a_stay_are_columns_too(libraries, tmp_path):
    spec, library = TABLES["extended"], libraries["extended"]
    table = "stay_id,subject_id,age,sex,icu_type\n1,1,71.5,female,TSICU\n2,2,,M,elsewhere\n"
    _, X = prepared(tmp_path, as_csv([(1, 1.0, "Heart Rate", "80"), (2, 1.0, "Heart Rate", "90")]), spec, table)
    for x, rate, facts in ((X[0], "80", ("71.5", "female", "TSICU")), (X[1], "90", ("", "M", "elsewhere"))):
        library.clear()
        library.add(1.0, "Heart Rate", rate)
        said = [
            library.function("stay_fact")(library.stay, name.encode(), text.encode())
            for name, text in zip(("age", "sex", "icu_type"), facts, strict=True)
        ]
        assert said[1] == 0
        np.testing.assert_allclose(library.input(), x, rtol=3e-7, atol=3e-7)
    assert said == [4, 0, 4]  # no number, kept, no category


@pytest.mark.parametrize(
    ("variable", "text", "code"),
    [
        ("Heart Rate", "80", 0),
        ("Heart Rate", " 8e1 ", 0),
        ("Heart Rate", "", 1),
        ("Heart Rate", "NA", 1),
        ("Heart Rate", " \t#n/a\u00a0", 1),
        ("Heart Rate", ".", 1),
        ("Hair colour", "grey", 3),
        *(("Heart Rate", text, 4) for text in ("fast", "80 /min", "0x50", "1e", "inf", "8,0", "--8")),
        ("Heart Rate", "5000", 5),
        ("Heart Rate", "1e999", 5),
        ("Glascow coma scale eye opening", "SPONTANEOUSLY", 0),
        ("Glascow coma scale eye opening", "2  To  Pain", 0),
        ("Troponin T", "LESS THAN 0.4", 0),
        ("Troponin T", "<0.001", 5),
        ("sex", "F", 3),
        ("Glascow coma scale eye opening", "asleep", 4),
    ],
)
def test_what_became_of_a_value(libraries, variable, text, code):
    library = libraries["extended"]
    library.clear()
    assert library.add(1.0, variable, text) == code
    assert np.isnan(library.risk()) == (code != 0)


def test_hours_outside_the_window_are_told(libraries):
    library = libraries["extended"]
    library.clear()
    assert [library.add(hours, "Heart Rate", "80") for hours in (-0.1, 48.1, np.nan, np.inf)] == [2, 2, 4, 4]
    assert np.isnan(library.risk())


def test_numbers_are_read_as_python_reads_them(libraries):
    """Through the input: a heart rate of paper76 has no range, and its column is (value - mean) / std in float32."""
    library, spec = libraries["paper76"], TABLES["paper76"]
    column = spec.feature_names.index("Heart Rate")
    generator = np.random.default_rng(3)
    for _ in range(400):
        value = generator.uniform(-1, 1) * 10.0 ** generator.integers(-30, 15)
        text = f"{value:.{generator.integers(0, 20)}{generator.choice(['f', 'e', 'g'])}}"
        library.clear()
        assert library.add(0.5, "Heart Rate", text) == 0
        expected = np.float32((float(text) - spec.mean[column]) / spec.std[column])
        np.testing.assert_allclose(library.input()[0, column], expected, rtol=1.2e-7)


def test_more_components_than_are_kept_give_no_risk(libraries):
    library = libraries["extended"]
    library.clear()
    codes = [library.add(i / 5, "Glascow coma scale eye opening", "2 to pain") for i in range(193)]
    assert codes == [0] * 192 + [6]
    assert np.isnan(library.risk())


# The network.


def compiled(folder, network, **how):
    preparation_of = preparation.of(specification(hours=network.hours))
    shortened = replace(preparation_of, features=preparation_of.features[: network.features])
    source, header = c.write(network, shortened, ABOUT, "net", **how)
    (folder / "net.c").write_text(source)
    (folder / "net.h").write_text(header)
    return source


class Small(Library):
    """A small network; its preparation is cut to as many columns."""

    def __init__(self, folder, network, flags=("-O0",), **how):
        compiled(folder, network, **how)
        self.source, self.name = folder / "net.c", "net"
        command = [compiler("gcc", "cc", "clang"), *flags, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
        command += ["-shared", "-fPIC", "-o", folder / "net.so", self.source, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.library = ctypes.CDLL(str(folder / "net.so"))
        self.function("risk_of").restype = ctypes.c_float


def test_the_networks_have_every_layer():
    assert kinds() == set(LAYERS)


@pytest.mark.parametrize("plain", [False, True], ids=["avx2", "plain"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_equals_the_plain_walk(name, plain, tmp_path):
    network = NETWORKS[name]()
    library = Small(tmp_path, network, flags=("-O0", "-DNET_PLAIN") if plain else ("-O1",))
    np.testing.assert_allclose(library.risks(stays()), network.predict(stays()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "gru", "linear"])
def test_fewer_hours_than_the_window(name, tmp_path):
    network, x = NETWORKS[name](), stays()
    library = Small(tmp_path, network)
    for hours in range(1, HOURS + 1):
        expected = replace(network, hours=hours).predict(x[:, :hours])
        np.testing.assert_allclose(library.risks(x[:, :hours]), expected, rtol=0, atol=1e-6)
    assert np.isnan(library.risks(x, 0)).all()
    assert np.isnan(library.risks(x, HOURS + 1)).all()


def test_a_nan_gives_nan_for_its_stay_alone(tmp_path):
    x = stays()
    x[2, 1, 0], x[3, 0, 1] = np.nan, 1e30
    network = small("lstm")
    risks = Small(tmp_path, network).risks(x)
    assert np.flatnonzero(np.isnan(risks)).tolist() == [2]
    np.testing.assert_allclose(np.delete(risks, 2), np.delete(network.predict(x), 2), rtol=0, atol=1e-6)


def test_a_value_far_off_for_an_hour_leaves_no_error_behind(tmp_path):
    """What is taken away again after 1e6 must not stay as rounding in the hours that follow."""
    x = np.tile(stays()[:1, :1], (1, HOURS, 1))
    x[0, 2, 0] = 1e6
    network = small("lstm")
    np.testing.assert_allclose(Small(tmp_path, network).risks(x), network.predict(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("plain", [False, True], ids=["avx2", "plain"])
@pytest.mark.parametrize("name", ["lstm", "hlstm, deep", "gru", "dnn", "channels"])
def test_eight_bits_are_rounded_to_the_nearest_step_of_each_output(name, plain, tmp_path):
    network = NETWORKS[name]()
    library = Small(tmp_path, network, flags=("-O0", "-DNET_PLAIN") if plain else ("-O1",), eight_bits=EightBits())
    np.testing.assert_allclose(library.risks(stays()), network.predict(stays()), rtol=0, atol=0.03)
    assert np.abs(library.risks(stays()) - network.predict(stays())).max() > 0


def test_rounding_by_stays_changes_the_risks_less(tmp_path):
    """On features that have much to do with each other, as measurements have."""
    network = network_for(TABLES["paper76"], width=8)
    generator = np.random.default_rng(0)
    few = generator.normal(size=(300, 48, 4)) @ generator.normal(size=(4, network.features))
    x = (few + 0.1 * generator.normal(size=few.shape)).astype(np.float32)
    expected = network.predict(x[200:])
    errors = []
    for folder, eight_bits in (("nearest", EightBits()), ("learnt", learn(network, x[:200]))):
        library = Library(tmp_path / folder, network, TABLES["paper76"], eight_bits=eight_bits)
        errors.append(np.abs(library.risks(x[200:]) - expected).mean())
    assert errors[1] < 0.7 * errors[0]
