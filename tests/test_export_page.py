"""export --to html: the page's script against `predict`'s own preparation and the plain walk, run by Node."""

import json
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest
from export_networks import NETWORKS
from export_workspace import ABOUT, as_csv, network_for, prepared, random_events, specification
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_network import stays

from mortcond.core.errors import InputError
from mortcond.deploy import page, preparation
from mortcond.deploy.eight_bits import EightBits
from mortcond.deploy.program import trace

node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
TABLES = {
    "paper76": specification(),
    "extended": specification("extended", ("delta", "min", "max", "mean")),
}
RUN = """
const fs = require("fs");
const given = JSON.parse(fs.readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(main(given)));
"""


def javascript(main: str, given: dict):
    """Return what a function gives that may call all of the page's script but what draws."""
    parts = [(resources.files(page) / name).read_text(encoding="utf-8") for name in page.SCRIPTS[:3]]
    source = "\n".join(["'use strict';", *parts, main, RUN])
    command = ["node", "-e", source]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@node
@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_raw_measurements_become_the_tensor_of_predict(tmp_path_factory, table, seed):
    spec = TABLES[table]
    network, events = network_for(spec, width=4), as_csv(random_events(spec, seed))
    facts = "stay_id,subject_id,age,sex,icu_type\n" + "".join(f"{i},{i},{40 + i},female,MICU\n" for i in range(1, 13))
    ids, X = prepared(tmp_path_factory.mktemp("events"), events, spec, facts)
    main = """
    function main({ model, events, facts }) {
      const network = new Network(model.program);
      const known = factsOf(model.preparation, facts);
      return staysOf(model.preparation, events).stays.map((stay) => {
        const cells = gridOf(model.preparation, stay.events);
        const x = inputOf(model.preparation, cells, known.get(stay.id), model.preparation.hours);
        return { id: Number(stay.id), x: [...x], risk: network.risk(x) };
      });
    }
    """
    model = {"program": page.as_json(trace(network), None), "preparation": preparation.of(spec).to_dict()}
    found = javascript(main, {"model": model, "events": events, "facts": facts})
    assert [stay["id"] for stay in found] == ids.tolist()
    np.testing.assert_allclose([stay["x"] for stay in found], X.reshape(len(X), -1), rtol=3e-7, atol=3e-7)
    np.testing.assert_allclose([stay["risk"] for stay in found], network.predict(X), rtol=0, atol=1e-6)


@node
@pytest.mark.parametrize("eight_bits", [False, True])
def test_every_layer_equals_the_plain_walk(eight_bits):
    main = """
    function main({ programs, stays }) {
      return programs.map((program) => {
        const network = new Network(program);
        return stays.map((stay) => network.risk(Float64Array.from(stay)));
      });
    }
    """
    networks = [make() for make in NETWORKS.values()]
    programs = [page.as_json(trace(network), EightBits() if eight_bits else None) for network in networks]
    x = stays().astype(np.float64)
    found = javascript(main, {"programs": programs, "stays": x.reshape(len(x), -1).tolist()})
    for name, network, risks in zip(NETWORKS, networks, found, strict=True):
        np.testing.assert_allclose(risks, network.predict(x), rtol=0, atol=0.03 if eight_bits else 1e-6, err_msg=name)


FAULTS = {
    "": ("fault_empty", {}),
    "PK\x03\x04\0\0": ("fault_binary", {}),
    "a,b\n1,2\n": ("fault_columns", {"columns": "stay_id, hours, variable, value", "found": "a, b"}),
    "stay_id,hours,variable,value\n1,2,Heart Rate\n": ("fault_cells", {"row": 2, "cells": 3, "wanted": 4}),
    'stay_id,hours,variable,value\n1,2,"Heart Rate,80\n': ("fault_quote", {"row": 2}),
    "stay_id,hours,variable,value\n\n1,2,Heart Rate,80\n1.5,2,Heart Rate,80\n": ("fault_id", {"row": 4, "text": "1.5"}),
    "stay_id,hours,variable,value\n1,soon,Heart Rate,80\n": ("fault_hours", {"row": 2, "text": "soon"}),
    "stay_id,hours,variable,value\n1e30,2,pH,7\n": ("fault_id", {"row": 2, "text": "1e30"}),
    "stay_id,hours,variable,value\n1,2,,80\n,2,pH,7\n": ("fault_nothing", {}),
    "stay_id,hours,variable,value,unit\n1,2,pH,7,1\n1,2,Weight,70,lb\n": (
        "fault_unit",
        {"row": 3, "text": "lb", "unit": "kg"},
    ),
    "stay_id,hours,variable,value,text\n1,2,pH,7,high\n": ("fault_text", {"row": 2}),
    "stay_id,hours,variable,value\n1,2,Hair colour,grey\n": ("fault_nothing", {}),
}
FORMS = {  # of the same two values, 80 and 1.5e1 at 2 and 3.5 hours of stay 9007199254740993
    "plain": "stay_id,hours,variable,value\n{0},2,Heart Rate,80\n{0},3.5,Respiratory rate,1.5e1\n",
    "units": "stay_id,hours,variable,value,unit,text\n{0},2,Heart Rate,80,1/MIN,\n{0},3.5,Respiratory rate,15,NA,.\n",
    "quoted": '"value",Variable,HOURS,stay_id\r\n"80","Heart Rate",2,"{0}"\r\n1.5e1,Respiratory rate,3.5,0{0}',
    "mark": "\ufeffstay_id,hours,variable,value\n{0},2, Heart Rate , 80 \n\n{0},3.5,Respiratory rate,15\n",
    "returns": "stay_id,hours,variable,value\r{0},2,Heart Rate,80\r{0},3.5,Respiratory rate,15\r",
}


@node
def test_tables_are_read_or_refused_by_row():
    main = """
    function main({ preparation, faults, forms }) {
      const fault = (text) => { try { staysOf(preparation, text); return null; } catch (error) { return error; } };
      const parts = ({ id, events }) => [id, events.map(({ hours, value }) => [hours, value])];
      return [faults.map(fault), forms.map((text) => staysOf(preparation, text).stays.map(parts))];
    }
    """
    given = {"preparation": preparation.of(TABLES["paper76"]).to_dict(), "faults": list(FAULTS)}
    given["forms"] = [form.format(9007199254740993) for form in FORMS.values()]
    faults, forms = javascript(main, given)
    for text, fault, (key, facts) in zip(FAULTS, faults, FAULTS.values(), strict=True):
        assert fault == {"key": key, "facts": facts}, text
    for name, found in zip(FORMS, forms, strict=True):
        assert found == [["9007199254740993", [[2, 80], [3.5, 15]]]], name


def written(spec=TABLES["paper76"], about=ABOUT, strings=None, **how) -> str:
    return page.write(network_for(spec), preparation.of(spec), about, strings or page.read_strings(), **how)


def test_the_page_is_small_and_asks_for_nothing():
    text = written(eight_bits=EightBits())
    assert len(text.encode()) < 150_000
    assert "default-src 'none'" in text
    assert not [word for word in ("http:", "https:", "src=", "@import", "url(") if word in text.replace(SVG, "")]


SVG = "http://www.w3.org/2000/svg"  # the name of the language, not an address that is asked


def test_what_the_file_says_of_itself_cannot_become_markup():
    about = ABOUT.__class__(
        **(ABOUT.__dict__ | {"title": "</title><script>alert(1)</script>", "lineage": "<img src=x>"})
    )
    text = written(about=about)
    assert "<script>alert" not in text
    assert "<img" not in text


def test_every_text_can_be_in_another_language(tmp_path):
    own = tmp_path / "de.json"
    own.write_text(json.dumps({"language": "de", "print": "Drucken", "labels": {"Heart Rate": "Herzfrequenz"}}))
    strings = page.read_strings(own)
    text = written(strings=strings)
    assert '<html lang="de"' in text
    assert '"print":"Drucken"' in text
    assert '"Heart Rate":"Herzfrequenz"' in text
    assert strings["save"] == "Save as CSV"  # what is not given stays English


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "it is no JSON object"),
        ('{"printt": "a"}', "'printt' is no text of the page"),
        ('{"print": 3, "save": " "}', "'print' is no text; 'save' is no text"),
        ('{"hour": "Stunde"}', "'hour' has other places for numbers than {hour}"),
        ('{"labels": {"pH": 7}}', "'labels' is no object of texts"),
    ],
)
def test_faulty_strings_are_named(tmp_path, content, message):
    path = tmp_path / "strings.json"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        page.read_strings(path)
    assert message in str(error.value)


def test_the_example_is_made_of_what_the_network_knows():
    for table, spec in TABLES.items():
        prepared_by = preparation.of(spec)
        cells = page.example(prepared_by)
        assert {index for _, index, _ in cells} >= set(range(1, 15)), table
        for _, index, text in cells:
            measure = prepared_by.measures[index]
            assert (text in measure.categories) if measure.categories else float(text) > 0
