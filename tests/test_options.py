"""Options stand once: command line, TOML, MORTCOND_ variables, manifest and Python say what the dataclasses say."""

import inspect
import math
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import mortcond
from mortcond import cli
from mortcond.core import choices
from mortcond.core.errors import UsageError
from mortcond.core.options import Options, about, kind, option, plain
from mortcond.core.session import Session
from mortcond.core.settings import read_settings
from mortcond.options import COMMANDS, Common
from mortcond.options.prune import Prune
from mortcond.options.train import Train

ALL = [pytest.param(command, id=command.name) for command in COMMANDS.values()]
EVERY_FIELD = [
    pytest.param(command, entry, id=f"{command.name}-{entry.name}")
    for command in COMMANDS.values()
    for entry in fields(command.options)
]


def on_the_command_line(name: str):
    return {parameter.name: parameter for parameter in typer.main.get_command(cli.app).commands[name].params}


@pytest.mark.parametrize("command", ALL)
def test_every_way_in_has_the_same_options(command, tmp_path):
    own, common = fields(command.options), fields(Common)
    names = [entry.name for entry in (*own, *common)]
    assert set(names) == set(on_the_command_line(command.name)) - {"help"}
    assert {*names} - {"config"} == set(cli.toml_keys()[command.name])

    room = import_module(f"mortcond.commands.{command.identifier}")
    called = inspect.signature(getattr(room, command.identifier)).parameters
    public = [entry for entry in own if about(entry).python]
    assert list(called) == ["session", *(entry.name for entry in public)]

    function = getattr(mortcond, command.identifier)
    parameters = inspect.signature(function).parameters
    assert list(parameters) == [entry.name for entry in (*public, *(e for e in common if about(e).python))]
    for entry in public:
        default = inspect.Parameter.empty if entry.default is MISSING else entry.default
        assert parameters[entry.name].default == default


@pytest.mark.parametrize(("command", "entry"), EVERY_FIELD)
def test_every_option_has_its_variable_help_and_default(command, entry):
    shown = on_the_command_line(command.name)[entry.name]
    assert about(entry).help
    if about(entry).positional:
        assert shown.envvar is None
    else:
        assert shown.envvar == f"MORTCOND_{entry.name.upper()}"
        assert about(entry).help in " ".join(shown.help.split())
    if entry.default is MISSING:
        assert shown.required
    elif isinstance(entry.default, tuple):
        assert shown.default == [plain(part) if isinstance(part, str) else str(part) for part in entry.default]
    else:
        assert shown.default == entry.default


def required(command) -> dict:
    """Return something for every option that must be given."""
    missing = [entry for entry in fields(command.options) if entry.default is MISSING]
    return {e.name: next(iter(kind(e.type).element)) if kind(e.type).element is not Path else "x" for e in missing}


@pytest.mark.parametrize("command", ALL)
def test_the_manifest_records_every_option_and_where_it_came_from(command):
    needed = required(command)
    options = command.options(**needed)
    record = Session().of(command.name, options).options
    assert {entry.name for entry in fields(options)} <= set(record)
    assert all(record[name]["source"] == "python" for name in needed)
    assert all(entry["source"] == "default" for name, entry in record.items() if name not in needed)


def test_a_source_that_the_command_line_knows_is_kept_and_the_value_is_what_counts():
    known = {"seed": {"value": 3, "source": "toml"}, "keep": {"value": None, "source": "default"}}
    record = Session(seed=3, options=known).of("prune", Prune()).options
    assert record["seed"] == {"value": 3, "source": "toml"}
    assert record["quantile"] == {"value": 0.5, "source": "default"}, "filled in, where keep is not given"


@pytest.mark.parametrize(("command", "entry"), [p for p in EVERY_FIELD if about(p.values[1]).range])
def test_what_is_out_of_range_is_refused_by_python_and_by_the_command_line(command, entry):
    known = about(entry)
    if known.min is not None or known.above is not None:
        outside = known.above if known.above is not None else known.min - 1
    else:
        outside = known.below if known.below is not None else known.max + 1
    outside = int(outside) if kind(entry.type).element is int else outside
    with pytest.raises(UsageError, match=f"--{entry.name.replace('_', '-')} is"):
        command.options(**required(command) | {entry.name: outside})
    arguments = [*map(str, required(command).values()), f"--{entry.name.replace('_', '-')}", str(outside)]
    result = CliRunner().invoke(cli.app, [command.name, *arguments])
    assert result.exit_code == 2, result.output


def one(annotation, default=None, **facts):
    """Return a dataclass of one option."""
    from dataclasses import dataclass

    return dataclass(frozen=True)(
        type("One", (Options,), {"__annotations__": {"x": annotation}, "x": option(default, "It.", **facts)})
    )


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(-10, 10), st.floats(0, 10))
def test_a_number_is_taken_exactly_where_it_lies_in_the_range(value, low, width):
    inside = not math.isnan(value) and low < value <= low + width
    made = one(float | None, above=low, max=low + width)
    if inside:
        assert made(x=value).x == value
        assert made(x=str(value)).x == value
    else:
        with pytest.raises(UsageError, match="--x"):
            made(x=value)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=6))
def test_several_values_may_be_a_list_or_words_with_commas(values):
    made = one(tuple[int, ...] | None, repeats=True)
    assert made(x=values).x == made(x=",".join(map(str, values))).x == made(x=[str(v) for v in values]).x == (*values,)
    assert one(tuple[int, ...] | None)(x=values).x == tuple(dict.fromkeys(values)), "each once, where nothing is said"


@pytest.mark.parametrize(("annotation", "wrong"), [(int, True), (int, 1.5), (int, "x"), (bool, "yes"), (float, "x")])
def test_another_type_is_refused(annotation, wrong):
    with pytest.raises(UsageError, match=r"--x .* is unknown"):
        one(annotation)(x=wrong)


def test_all_faults_are_told_at_once_and_words_that_are_known():
    with pytest.raises(UsageError) as caught:
        Train(arch="transformer", epochs=0, dropout=1.0)
    assert all(word in caught.value.problem for word in ("--arch transformer", "--epochs is 0", "--dropout is 1"))
    assert "lstm, hlstm, dnn" in caught.value.remedy


def test_an_option_that_is_no_option_is_a_type_error_and_so_is_one_position_too_many(tmp_path):
    with pytest.raises(TypeError, match="nonsense"):
        mortcond.train(nonsense=1)
    from mortcond.commands.prune import prune

    with pytest.raises(TypeError, match="by position"):
        prune(Session(tmp_path), "model", "another")


def test_several_values_in_toml_are_a_list_or_words(tmp_path):
    path = tmp_path / "settings.toml"
    for text in ("[prune]\nquantile = [0.1, 0.5]", '[prune]\nquantile = "0.1,0.5"', "quantile = 0.5"):
        path.write_text(text)
        found = read_settings(path, "prune", cli.toml_keys())
        assert Prune(**found).quantile in ((0.1, 0.5), (0.5,))


def test_the_rooms_defaults_are_the_options():
    from mortcond.commands.chain import Form
    from mortcond.measure.comparison import MARGIN
    from mortcond.measure.intervals import RESAMPLES
    from mortcond.synth import WHOLE_STAY
    from mortcond.tables.open_data import SOURCES
    from mortcond.variables import DERIVED

    default = {name: {e.name: e.default for e in fields(command.options)} for name, command in COMMANDS.items()}
    assert (
        default["bench"]["margin"] == default["condense"]["max_auroc_drop"] == default["validate"]["margin"] == MARGIN
    )
    assert default["bench"]["resamples"] == default["validate"]["resamples"] == RESAMPLES
    assert default["synth"]["hours"] == WHOLE_STAY
    assert set(choices.OpenData) == set(SOURCES)
    assert set(choices.Derived) == set(DERIVED)
    assert Form("lstm").mode in set(choices.Mode)


def test_help_is_grouped_and_completion_knows_the_words():
    shown = CliRunner().invoke(cli.app, ["train", "--help"]).output
    assert all(panel in shown for panel in ("The network", "Training", "Common options"))
    arch = on_the_command_line("train")["arch"]
    assert [item.value for item in arch.shell_complete(None, "l")] == ["lstm", "linear"]
    several = on_the_command_line("condense")["arch"]
    assert [item.value for item in several.shell_complete(None, "lstm,d")] == ["lstm,dnn"]
