"""The command line's frame: help, precedence of options, exit codes, streams. The commands have tests of their own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from mortcond import __version__, cli
from mortcond.core.calls import takes
from mortcond.core.errors import InputError, LimitError, UsageError
from mortcond.core.options import Options, option
from mortcond.core.session import Session
from mortcond.options import COMMANDS, Command

runner = CliRunner()


@dataclass(frozen=True)
class Probe(Options):
    epochs: int = option(20, "Epochs.", min=1)


@pytest.fixture
def probe(monkeypatch):
    """A command that returns its resolved options, or raises what it is told to; gone after the test."""
    raised = {}

    @takes(Probe)
    def probe(session: Session, options: Probe):
        if raised:
            raise raised["error"]
        facts = {"epochs": options.epochs, "source": session.options["epochs"]["source"], "seed": session.seed}
        return facts

    room = SimpleNamespace(probe=probe, render=lambda result: [f"epochs {result['epochs']}"])
    monkeypatch.setitem(sys.modules, "mortcond.commands.probe", room)
    monkeypatch.setitem(cli.COMMANDS, "probe", Command("probe", Probe, "A probe."))
    monkeypatch.setattr(cli.app, "registered_commands", list(cli.app.registered_commands))
    cli.register(cli.COMMANDS["probe"])
    return raised


def call(*arguments: str, **environment):
    result = runner.invoke(cli.app, ["probe", *arguments], env=environment)
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit), result.exception
    return result


def test_version_and_help_as_a_process():
    for arguments, expected in ((["--version"], __version__), (["-h"], "preprocess"), (["--help"], "bench")):
        done = subprocess.run([sys.executable, "-m", "mortcond.cli", *arguments], capture_output=True, text=True)
        assert done.returncode == 0
        assert expected in done.stdout
        assert done.stderr == ""


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_and_the_common_options(name):
    result = runner.invoke(cli.app, [name, "-h"])
    assert result.exit_code == 0, result.output
    for name in ("--workspace", "--seed", "--overwrite", "--json", "--quiet", "--verbose", "--config"):
        assert name in result.output


def test_command_line_beats_environment_beats_toml_beats_default(probe, tmp_path):
    toml = tmp_path / "settings.toml"
    toml.write_text("seed = 7\n[probe]\nepochs = 3\n")
    outcomes = [
        (call("--json"), (20, "default", 0)),
        (call("--json", "-c", str(toml)), (3, "toml", 7)),
        (call("--json", "-c", str(toml), MORTCOND_EPOCHS="4"), (4, "environment", 7)),
        (call("--json", "-c", str(toml), "--epochs", "5", MORTCOND_EPOCHS="4"), (5, "commandline", 7)),
        (call("--json", MORTCOND_CONFIG=str(toml)), (3, "toml", 7)),
    ]
    for result, (epochs, source, seed) in outcomes:
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == {"epochs": epochs, "source": source, "seed": seed}


def test_the_result_is_all_that_stdout_carries(probe):
    assert call().stdout == "epochs 20\n"


def test_an_unknown_toml_key_names_file_table_and_key(probe, tmp_path):
    toml = tmp_path / "settings.toml"
    toml.write_text("[probe]\nepoch = 3\n")
    result = call("-c", str(toml))
    assert result.exit_code == 2
    assert all(word in result.stderr for word in ("settings.toml", "[probe]", "epoch", "Did you mean 'epochs'"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("Wrong call.", "Call it right."), 2),
        (InputError("Wrong file.", "Mend it."), 3),
        (LimitError("Too large.", "Prune it."), 4),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device", "dataset.npz"), 3),
        (MemoryError(), 3),
    ],
)
def test_a_users_mistake_is_a_message_and_an_exit_code(probe, error, code):
    probe["error"] = error
    result = call()
    assert result.exit_code == code
    assert result.stdout == ""
    assert "Error:" in result.stderr
    assert "Traceback" not in result.stderr
    as_json = call("--json")
    assert json.loads(as_json.stdout)["error"]["exit_code"] == code


def test_a_missed_limit_still_shows_the_result(probe):
    probe["error"] = LimitError(
        "dnn is too large.", "Prune it.", {"rows": 3}, lambda result: [f"{result['rows']} rows"]
    )
    assert call().stdout == "3 rows\n"
    shown = json.loads(call("--json").stdout)
    assert shown["rows"] == 3
    assert shown["error"]["problem"] == "dnn is too large."


def test_wrong_options_are_usage_errors(probe):
    assert call("--epochs", "0").exit_code == 2
    assert call("--nonsense").exit_code == 2
    assert runner.invoke(cli.app, ["nonsense"]).exit_code == 2


def test_a_bug_is_said_to_be_one(probe, monkeypatch, capsys):
    probe["error"] = RuntimeError("broken")
    monkeypatch.setattr(sys, "argv", ["mortcond", "probe"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    message = capsys.readouterr().err
    assert "bug" in message
    assert "broken" in message


def test_verbose_says_what_was_asked_for_and_what_it_cost(probe):
    quiet, told = call("--epochs", "5"), call("--epochs", "5", "-v")
    assert "epochs = 5" not in quiet.stderr
    assert "probe: epochs = 5 (commandline)" in told.stderr
    assert "MB of memory" in told.stderr
    assert told.stdout == quiet.stdout


def test_a_mistake_on_the_command_line_is_told_plainly_and_as_json(probe):
    plainly = call("--epochs", "many")
    assert plainly.exit_code == 2
    assert plainly.stderr.startswith("Error: Invalid value for '--epochs'")
    assert "--help" in plainly.stderr
    as_json = call("--epochs", "many", "--json")
    assert json.loads(as_json.stdout)["error"]["exit_code"] == 2


def test_the_package_runs_as_a_module_and_without_arguments_shows_help():
    done = subprocess.run([sys.executable, "-m", "mortcond"], capture_output=True, text=True)
    assert "preprocess" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_command_it_says_the_three_to_begin_with():
    done = runner.invoke(cli.app, [])
    assert done.exit_code == 0
    assert all(f"mortcond {name}" in done.stdout for name in ("run", "preprocess", "predict"))


def test_help_ends_with_examples_that_the_command_line_takes():
    examples = [(command.name, example) for command in COMMANDS.values() for example in command.examples]
    for name, example in examples:
        done = runner.invoke(cli.app, [name, *example.split(), "--help"])
        assert done.exit_code == 0, example
        assert f"mortcond {name} {example}".split()[-1] in done.stdout
    assert len(examples) > 10
