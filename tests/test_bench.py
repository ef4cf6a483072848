"""bench: what it measures, writes, says and refuses, on models of random weights."""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import measure_workspace
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mortcond import dataset as datasets
from mortcond.commands import bench as room
from mortcond.core.artifacts import sha256
from mortcond.core.console import Console
from mortcond.core.errors import InputError, LimitError, UsageError
from mortcond.core.session import Session
from mortcond.deploy import metadata
from mortcond.measure import evaluate
from mortcond.measure.answer import cautions
from mortcond.measure.tables import ResultTable, published

QUICK = {"rounds": 1, "resamples": 200}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "artifacts"
    measure_workspace.build(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch):
    """Draw nothing but what `result`, made before this, has drawn."""
    monkeypatch.setattr("mortcond.measure.plots.figures.PLOTS", {})


@pytest.fixture(scope="module")
def result(workspace) -> dict:
    """One bench of the whole workspace; its files are in workspace/bench."""
    return room.bench(Session(workspace, console=Console(quiet=True)), markdown=True, **QUICK)


def run(workspace: Path, *names: str, **options) -> dict:
    session = Session(workspace, console=Console(quiet=True))
    return room.bench(session, [Path(name) for name in names], out=workspace / "one", **(QUICK | options))


def model(result: dict, name: str) -> dict:
    return next(record for record in result["models"] if record["name"] == name)


def shown(result: dict, width: int = 80) -> str:
    from rich.console import Console as RichConsole

    console = RichConsole(width=width, file=None, record=True, quiet=False)
    with console.capture() as capture:
        for renderable in room.render(result):
            console.print(renderable, highlight=False)
    return capture.get()


def test_every_artifact_of_the_workspace_is_measured(result):
    names = {record["name"] for record in result["models"]}
    assert names == {
        "linear", "lstm", "lstm-int8", "lstm-pruned50", "lstm-pruned50-int8", "lstm-pruned75", "lstm-pruned75-int8",
        "lstm-hlstm", "dnn", "dnn-int8", "dnn-pruned50",
    }  # fmt: skip
    assert result["left_out"] == []


def test_results_json_is_the_contract(result, workspace):
    stored = json.loads((workspace / "bench" / "results.json").read_text())
    assert stored == result
    assert {"machine", "dataset", "models"} <= set(stored)
    assert {"path", "sha256", "split", "n", "events"} <= set(stored["dataset"])
    for record in stored["models"]:
        assert {"name", "path", "kind", "arch", "quantization", "parent", "parameters", "macs", "size_bytes"} <= set(
            record
        )
        assert {"training_seconds", "load_ms", "peak_rss_mb", "auprc", "brier", "max_abs_dp"} <= set(record)
        assert set(record["latency_us_per_stay"]) == {"1", "64"}
        assert all(0 < times["p50"] <= times["p95"] for times in record["latency_us_per_stay"].values())
        assert {"value", "ci95"} <= set(record["auroc"])
        assert {"slope", "intercept", "ece"} <= set(record["calibration"])
        assert record["load_ms"] > 0
        assert record["peak_rss_mb"] > 5


def test_scores_are_those_of_the_model_on_the_test_split(result, workspace):
    from mortcond.deploy.runtime import Predictor

    test = datasets.load(workspace / "dataset.npz", splits=("test",)).test
    for name in ("lstm", "lstm-hlstm", "dnn"):
        risk = Predictor(workspace / name).predict(test.X)
        assert model(result, name)["auroc"]["value"] == pytest.approx(roc_auc_score(test.y, risk), abs=1e-6)


def test_identity_is_read_from_the_artifacts(result, workspace):
    record = model(result, "lstm-int8")
    assert (record["kind"], record["arch"], record["quantization"], record["parent"]) == (
        "tflite",
        "lstm",
        "int8",
        "lstm",
    )
    assert record["size_bytes"] == (workspace / "lstm-int8.tflite").stat().st_size
    assert record["training_seconds"] is None
    assert model(result, "lstm")["training_seconds"] == 12.5
    assert model(result, "lstm")["size_bytes"] == (workspace / "lstm" / "model.tflite").stat().st_size


def test_comparisons_go_to_parent_uncondensed_model_and_floor(result):
    record = model(result, "lstm-pruned50-int8")
    assert record["delta_auroc"]["vs"] == "lstm-pruned50"
    assert record["delta_auroc_baseline"]["vs"] == "lstm"
    assert record["delta_auroc_floor"]["vs"] == "linear"
    assert model(result, "lstm")["delta_auroc"] is None
    assert model(result, "linear")["delta_auroc_floor"] is None
    difference = model(result, "lstm-hlstm")["auroc"]["value"] - model(result, "lstm")["auroc"]["value"]
    assert model(result, "lstm-hlstm")["delta_auroc"]["value"] == pytest.approx(difference)
    assert model(result, "lstm-hlstm")["delta_auroc"]["noninferior"] is False
    assert 0 < model(result, "lstm-int8")["max_abs_dp"] < 0.1


def test_models_are_paired_with_what_they_were_made_from_not_with_a_namesake(workspace, tmp_path):
    rng = np.random.default_rng(3)
    other, stranger = tmp_path / "other", measure_workspace.lstm(rng, 12, 6)
    record = measure_workspace.manifest("lstm", stranger, "train", None)
    measure_workspace.write_directory(other / "lstm", stranger, record, rng)
    found = run(workspace, str(workspace / "lstm-int8.tflite"), str(other / "lstm"))
    assert [record["label"] for record in found["models"]] == ["lstm-int8", "lstm"]
    assert model(found, "lstm-int8")["delta_auroc"] is None
    both = run(workspace, "lstm-int8", "lstm", str(other / "lstm"))
    assert [record["label"] for record in both["models"]] == ["lstm-int8", "artifacts/lstm", "other/lstm"]
    assert model(both, "lstm-int8")["delta_auroc"]["vs"] == "artifacts/lstm"
    alone = model(run(workspace, "lstm", "lstm-int8"), "lstm-int8")
    assert model(both, "lstm-int8")["delta_auroc"]["value"] == alone["delta_auroc"]["value"]


def test_an_artifact_named_twice_is_measured_once(workspace):
    found = run(workspace, "lstm", str(workspace / "lstm"), "lstm-int8", "lstm-int8.tflite")
    assert [record["label"] for record in found["models"]] == ["lstm", "lstm-int8"]


def test_verdicts_of_a_table_hold_together(result, workspace):
    """The bound that decides lies at or below that of the comparison alone, and is what the verdict says."""
    told = [record["delta_auroc"] for record in result["models"] if record["delta_auroc"]]
    assert len(told) > 5
    for one in told:
        assert one["low"] <= one["value"]
        assert (one["noninferior"] is True) == (one["low"] > -one["margin"])
    alone = model(run(workspace, "lstm", "lstm-pruned50"), "lstm-pruned50")["delta_auroc"]
    assert model(result, "lstm-pruned50")["delta_auroc"]["low"] < alone["low"]
    assert "max-T" in result["settings"]["simultaneous"]


def test_a_file_that_rounding_changes_too_much_is_flagged_and_never_the_answer(workspace, monkeypatch):
    names = ("lstm", "lstm-int8")
    fine = run(workspace, *names)
    assert model(fine, "lstm-int8")["rounding"]["exceeds"] is False
    assert fine["answer"]["model"] == "lstm-int8"
    change = model(fine, "lstm-int8")["risk_change"]
    assert change["mean_abs_dp"] < change["p999_abs_dp"] <= change["max_abs_dp"]
    monkeypatch.setitem(evaluate.TOLERANCE, "int8", change["max_abs_dp"] / 2)
    coarse = run(workspace, *names)
    assert model(coarse, "lstm-int8")["rounding"]["exceeds"] is True
    assert coarse["answer"]["model"] is None
    assert "more than rounding may" in coarse["answer"]["sentence"]
    assert any("make it again in a finer mode" in line for line in cautions(coarse))


def test_a_model_alone_is_measured_and_compared_with_nothing(workspace):
    found = run(workspace, "dnn")
    assert found["answer"]["model"] is None
    assert model(found, "dnn")["delta_auroc"] is None
    assert model(found, "dnn")["auroc"]["ci95"][0] < model(found, "dnn")["auroc"]["value"]


def changed(folder: Path, change) -> Path:
    """Write `folder`/lstm, a network changed by `change`, and its float16 form; return the folder."""
    rng = np.random.default_rng(3)
    base = change(measure_workspace.lstm(rng, 12, 6))
    record = measure_workspace.manifest("lstm", base, "train", None)
    parent = measure_workspace.write_directory(folder / "lstm", base, record, rng)
    measure_workspace.write_tflite(folder / "lstm-float16.tflite", base, parent, "float16")
    return folder


def test_constant_risks_are_half_and_no_loss(workspace, tmp_path):
    def constant(network):
        last = network.output.layer
        return network.with_layers({network.output.name: replace(last, kernel=np.zeros_like(last.kernel))})

    folder = changed(tmp_path, constant)
    found = run(workspace, str(folder / "lstm"), str(folder / "lstm-float16.tflite"))
    for record in found["models"]:
        assert record["auroc"]["value"] == 0.5
        assert record["calibration"]["slope"] is None
    assert model(found, "lstm-float16")["delta_auroc"]["value"] == 0
    assert model(found, "lstm-float16")["delta_auroc"]["ci95"] == [0, 0]


def test_a_model_whose_risks_are_no_numbers_is_refused(workspace, tmp_path):
    def broken(network):
        last = network.output.layer
        return network.with_layers({network.output.name: replace(last, bias=np.full_like(last.bias, np.nan))})

    folder = changed(tmp_path, broken)
    with pytest.raises(InputError, match="200 of 200 stays get a risk that is no number"):
        run(workspace, str(folder / "lstm"))


def test_a_validation_of_the_same_data_comes_first(workspace, result, tmp_path):
    from test_measure_crossval import judged

    from mortcond.measure import report

    assert result["validation"] is None
    folder = workspace / "validate"
    folder.mkdir()
    record = judged() | {"dataset": {"sha256": result["dataset"]["sha256"]}, "path": str(folder)}
    (folder / "results.json").write_text(json.dumps(record))
    try:
        found = run(workspace, "lstm", "lstm-int8")
        assert found["answer"]["validated"] == record["answer"]["sentence"]
        assert found["answer"]["sentence"].startswith("On the test split alone: yes: of 1")
        told = [line for line in room.render(found) if isinstance(line, str)]
        assert told.index(record["answer"]["sentence"]) < told.index(found["answer"]["sentence"])
        page = report.html(found, tmp_path)
        assert page.index('id="validation"') < page.index('id="models"')
        assert "lstm-pruned50" in page
        (folder / "results.json").write_text(json.dumps(record | {"dataset": {"sha256": "of other data"}}))
        assert run(workspace, "lstm")["validation"] is None
    finally:
        shutil.rmtree(folder)


def test_macs_are_counted_from_the_graph(result):
    assert model(result, "linear")["macs"] == 6 * 12
    assert model(result, "dnn")["macs"] == 12 * 32 + 32 * 16 + 16
    least = 6 * (12 * 64 + 3 * 16 * 64) + 16  # hours x weights of the two layers; a graph may pad them
    for name in ("lstm", "lstm-int8"):  # which may differ in the steps that fill up their turns
        assert least <= model(result, name)["macs"] <= 2 * least


def test_the_control_reports_the_noise(result):
    assert result["noise"]["of"] == result["models"][0]["label"]
    assert all(0 <= share < 2 for share in result["noise"]["relative_difference"].values())


def test_the_machine_is_described_without_its_name(result):
    import platform

    machine = json.dumps(result["machine"])
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["versions"]["ai-edge-litert"]
    assert platform.node() == "" or platform.node() not in re.findall(r"[\w.-]+", machine)


def test_csv_has_a_row_a_model(result, workspace):
    rows = list(csv.DictReader((workspace / "bench" / "results.csv").open()))
    assert [row["name"] for row in rows] == [record["name"] for record in result["models"]]
    lstm = next(row for row in rows if row["name"] == "lstm")
    assert float(lstm["auroc"]) == pytest.approx(model(result, "lstm")["auroc"]["value"])
    assert lstm["delta_auroc_parent"] == ""


def test_every_plot_has_png_svg_and_its_figures(result, workspace):
    expected = {"tradeoff", "tradeoff_latency", "fig3_learning_curves", "fig4_bars", "fig4a_auroc", "fig4b_size"}
    assert expected | {"fig4c_latency", "calibration", "decision", "risk_histograms"} == set(result["plots"])
    for name in result["plots"]:
        for suffix in (".png", ".svg", ".csv"):
            assert (workspace / "bench" / "plots" / f"{name}{suffix}").stat().st_size > 100


class Page(HTMLParser):
    """Collects what a page links to, its ids, and whether its tags close."""

    void = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self):
        super().__init__()
        self.links, self.ids, self.open, self.words = [], [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[name] for name in ("href", "src", "xlink:href") if values.get(name)]
        self.ids += [values["id"]] if "id" in values else []
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_is_one_file_that_fetches_nothing(result, workspace):
    source = (workspace / "bench" / "report.html").read_text()
    page = Page()
    page.feed(source)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\((?!#)|@import|<script", source)
    assert "prefers-color-scheme: dark" in source
    words = " ".join(page.words)
    for expected in (
        result["answer"]["sentence"][:12],
        "not a medical device",
        "18 or older",
        "Baseline LSTM",
        "women",
    ):
        assert expected in words
    assert not re.search(r"\bNone\b|\bnan\b|\$[a-z]", words)


def test_the_report_escapes_what_it_is_given(result, workspace):
    from mortcond.measure import report

    nasty = json.loads(json.dumps(result))
    nasty["models"][0]["label"] = "<script>alert(1)</script>"
    nasty["dataset"]["source"] = '"><img src=x>'
    page = report.html(nasty, workspace / "bench" / "plots")
    assert "<script>" not in page
    assert "<img" not in page


NASTY = "<script>alert(1)</script> | <img src=x onerror=y> ![p](http://e/x.png) [l](javascript:z) `c`\n# heading"


def _with_nasty_names(part):
    """Return a result in which every name that could come from data or from a path says something else."""
    named = ("label", "name", "source", "arch", "by", "cpu", "os", "sentence", "command")
    if isinstance(part, dict):
        return {k: NASTY if k in named and isinstance(v, str) else _with_nasty_names(v) for k, v in part.items()}
    return [_with_nasty_names(entry) for entry in part] if isinstance(part, list) else part


def test_the_model_card_escapes_every_name_that_comes_from_data(result):
    from mortcond.measure import report

    card = report.model_card(_with_nasty_names(json.loads(json.dumps(result))))
    assert card.count("alert(1)") >= 2 * len(result["models"]) + 1
    for active in ("<script", "<img", "![p](", " [l](", "`c`"):
        assert active not in card
    assert not re.search("^# heading", card, re.MULTILINE)
    assert all(line.count("|") in (0, 5, 7, 9) for line in card.splitlines())


def test_the_model_card_tells_use_measures_and_limits(result, workspace):
    card = (workspace / "bench" / "model-card.md").read_text()
    for expected in ("## Intended use", "not a medical device", "lstm-pruned50-int8", "## Limits", "95 %"):
        assert expected in card


def test_the_published_tables_stand_beside(result):
    assert [row["parameters"] for row in published()] == [8081, 3273, 6993, 60929, 27312, 60929]
    assert published()[5]["training_seconds"] is None
    text = shown(result)
    assert "paper: Hidden-Layer LSTM" in text
    assert "another machine and other data" in " ".join(text.split())


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_the_table_fits_the_terminal_without_broken_lines(result, width):
    from rich.console import Console as RichConsole

    console = RichConsole(width=width)
    with console.capture() as capture:
        console.print(ResultTable(result))
    lines = capture.get().splitlines()
    assert max(len(line) for line in lines) <= width
    assert "…" not in capture.get()
    assert len(lines) == 2 + len(result["models"]) + 1 + len(published())
    for name in ("model", "params", "KB", "AUROC"):
        assert name in lines[0]
    assert ("verdict" in lines[0]) == (width >= 140)


def test_a_second_bench_replaces_its_own_report_but_nothing_else(workspace, result):
    run(workspace, "linear")
    run(workspace, "linear")
    session = Session(workspace, console=Console(quiet=True))
    with pytest.raises(UsageError, match="exists already"):
        room.bench(session, [Path("linear")], out=workspace / "lstm", **QUICK)
    assert (workspace / "lstm" / "model.tflite").is_file()


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max_bytes": 100}, "lstm-hlstm: .* bytes, more than 100"),
        ({"max_latency_us": 0.001}, "lstm-hlstm: .* µs a stay, more than 0.001"),
        ({"max_auroc_drop": 0.01}, "lstm-hlstm: 0.* of AUROC below lstm, more than 0.01"),
    ],
)
def test_a_missed_limit_exits_4_names_the_artifact_and_keeps_the_report(workspace, limit, message):
    with pytest.raises(LimitError, match=message) as caught:
        run(workspace, "lstm", "lstm-hlstm", **limit)
    assert caught.value.exit_code == 4
    assert caught.value.result["models"]
    assert (workspace / "one" / "results.json").is_file()


def test_limits_that_are_met_pass(workspace):
    found = run(workspace, "lstm", "lstm-int8", max_bytes=10**6, max_latency_us=1e6, max_auroc_drop=0.05)
    assert len(found["models"]) == 2


def test_options_reach_the_measurement(workspace):
    found = run(workspace, "dnn", batch=[1, 8], threshold=0.3, margin=0.02, threads=2)
    assert set(found["models"][0]["latency_us_per_stay"]) == {"1", "8"}
    assert found["models"][0]["threshold"]["value"] == 0.3
    assert (found["settings"]["margin"], found["settings"]["threads"]) == (0.02, 2)


def small(workspace: Path, folder: Path, rows) -> Path:
    """Write a data set with only some stays of the workspace's test split."""
    data = datasets.load(workspace / "dataset.npz")
    keep = np.flatnonzero(rows(data.test.y))
    parts = {name: getattr(data.test, name)[keep] for name in data.test.__dataclass_fields__}
    target = folder / "small.npz"
    datasets.save(target, replace(data, test=type(data.test)(**parts)))
    return target


def test_a_split_without_deaths_has_no_auroc_but_a_table(workspace, tmp_path):
    target = small(workspace, tmp_path, lambda y: y == 0)
    found = run(workspace, "lstm", "lstm-int8", dataset=target)
    assert found["models"][0]["auroc"]["value"] is None
    assert found["models"][1]["delta_auroc"]["value"] is None
    assert found["models"][0]["calibration"]["slope"] is None
    assert "none died" in shown(found)
    assert "–" in shown(found)
    json.dumps(found, allow_nan=False)


def test_a_split_with_few_deaths_says_that_the_auroc_means_nothing(workspace, tmp_path):
    target = small(workspace, tmp_path, lambda y: np.arange(len(y)) < 9)
    found = run(workspace, "lstm", "lstm-int8", dataset=target)
    assert "too small for the AUROC to mean anything" in " ".join(shown(found).split())
    assert found["models"][1]["delta_auroc"]["noninferior"] is None
    assert found["answer"]["sentence"].startswith("These data cannot tell")


def test_a_limit_on_auroc_is_not_met_where_it_is_not_defined(workspace, tmp_path):
    target = small(workspace, tmp_path, lambda y: y == 0)
    with pytest.raises(LimitError, match="AUROC is not defined"):
        run(workspace, "lstm", "lstm-int8", dataset=target, max_auroc_drop=0.1)


def test_a_broken_file_is_left_out_unless_it_was_named(workspace, tmp_path, capsys):
    folder = tmp_path / "artifacts"
    shutil.copytree(workspace / "lstm", folder / "lstm")
    shutil.copy(workspace / "dataset.npz", folder / "dataset.npz")
    (folder / "broken.tflite").write_bytes((workspace / "lstm-int8.tflite").read_bytes()[:3000])
    found = room.bench(Session(folder, console=Console(quiet=True)), **QUICK)
    assert [record["name"] for record in found["models"]] == ["lstm"]
    assert found["left_out"][0]["name"] == "broken.tflite"
    assert "broken.tflite is left out" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"broken\.tflite"):
        run(folder, "broken.tflite")


@pytest.mark.parametrize(
    ("names", "options", "error", "message"),
    [
        (["nothing"], {}, InputError, "There is no artifact nothing"),
        (["dataset.npz"], {}, InputError, "neither a model directory nor"),
        (["lstm-int8"], {"runtime": ["keras"]}, InputError, "cannot be run by keras"),
        (["lstm"], {"runtime": ["abacus"]}, UsageError, "abacus is unknown"),
        (["lstm"], {"split": "tset"}, UsageError, "tset is unknown"),
        (["lstm"], {"split": "val"}, InputError, "no stays in its val split"),
        (["lstm"], {"margin": 0.0}, UsageError, "not above 0 and below 0.5"),
        (["lstm"], {"threshold": 1.5}, UsageError, "not above 0 and below 1"),
        (["lstm"], {"batch": [0]}, UsageError, "not at least 1"),
        (["lstm"], {"dataset": Path("missing.npz")}, InputError, "There is no data set"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_reason(workspace, names, options, error, message):
    with pytest.raises(error, match=message):
        run(workspace, *names, **options)


def test_a_model_of_other_features_is_refused(workspace, tmp_path):
    measure_workspace.build(tmp_path / "other", stays=30, features=5)
    with pytest.raises(InputError, match=r"other features \(12\) than the data set has \(5\)"):
        run(workspace, "lstm", dataset=tmp_path / "other" / "dataset.npz")


def of_every_stay(workspace: Path, folder: Path) -> None:
    """Write a model whose data set holds every stay of the workspace's, as `train --all-stays` makes it."""
    rng, own = np.random.default_rng(0), "0" * 64
    network = measure_workspace.linear(rng, 12, 6)
    steps = [("preprocess", sha256(workspace / "dataset.npz")), ("train", own)]
    lineage = [{"kind": "dataset", "name": "a", "command": step, "sha256": digest} for step, digest in steps]
    inputs = {"dataset": {"path": "dataset-all.npz", "sha256": own}}
    record = measure_workspace.manifest("linear", network, "train", None, lineage=lineage, inputs=inputs)
    names = [f"feature {index}" for index in range(12)]
    measure_workspace.write_directory(folder / "every", network, record, rng, names)


def test_a_model_that_learnt_from_every_stay_is_not_judged_by_them(workspace, tmp_path):
    of_every_stay(workspace, tmp_path)
    with pytest.raises(InputError, match="was trained on every stay of") as refused:
        run(workspace, str(tmp_path / "every"))
    assert "preprocess --for" in refused.value.remedy
    data = datasets.load(workspace / "dataset.npz")
    datasets.save(tmp_path / "others.npz", replace(data, test=replace(data.test, stay_id=data.test.stay_id + 1000)))
    assert run(workspace, str(tmp_path / "every"), dataset=tmp_path / "others.npz")["models"][0]["name"] == "every"


def test_stays_that_are_scaled_otherwise_are_refused(workspace, tmp_path):
    shutil.copytree(workspace / "lstm", tmp_path / "lstm")
    file = tmp_path / "lstm" / "model.tflite"
    record = metadata.read(file)
    record["inputs"] |= {"mean": [0.5] * 12, "std": [1.0] * 12}
    file.write_bytes(metadata.attach(file.read_bytes(), record))
    changed = Session(workspace, console=Console(quiet=True), overwrite=True, trust_changed=True)
    with pytest.raises(InputError, match="is scaled otherwise than the stays that"):
        room.bench(changed, [tmp_path / "lstm"], **QUICK)


def command(workspace: Path, *arguments: str, before: str = "") -> subprocess.CompletedProcess:
    """Run bench from the command line in a fresh process; `before` runs first in it."""
    code = f"{before}\nimport sys\nfrom mortcond import cli\nsys.argv = ['mortcond', *sys.argv[1:]]\ncli.main()"
    options = ["-w", str(workspace), "-o", str(workspace / "cli"), "--rounds", "1", "--resamples", "200"]
    return subprocess.run(
        [sys.executable, "-c", code, "bench", *arguments, *options], capture_output=True, text=True, check=False
    )


def test_the_command_line_prints_one_json_object(workspace):
    done = command(workspace, "dnn", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["models"][0]["name"] == "dnn"


def test_a_missed_limit_on_the_command_line_shows_table_and_message(workspace):
    done = command(workspace, "dnn", "--max-bytes", "10")
    assert done.returncode == 4
    assert "dnn" in done.stdout
    assert "more than 10" in done.stderr


def test_bench_does_without_tensorflow_scikit_learn_and_matplotlib(workspace):
    block = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('tensorflow', 'keras', 'sklearn', 'matplotlib'):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
"""
    done = command(workspace, "dnn", "linear", before=block)
    assert done.returncode == 0, done.stderr
    assert "the plots are left out" in done.stderr
    assert (workspace / "cli" / "report.html").is_file()
    assert not list((workspace / "cli" / "plots").glob("*.png"))
    assert list((workspace / "cli" / "plots").glob("*.csv"))


def test_the_worker_imports_no_tensorflow():
    code = "import sys; import mortcond.measure.worker as w; w.Worker().start('litert', '', ''); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "keras", "sklearn", "matplotlib", "pandas"} & set(found)
