"""The command line, made of the table of commands: parses, calls, prints, and gives the exit code.

Only the standard library, typer and `mortcond.options` are imported here, so that `--help` is quick; a command's own
room is imported when it runs. Options resolve in the order command line, MORTCOND_* variables, TOML file, default.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mortcond import __version__
from mortcond.core.options import About, about, flag, kind, plain
from mortcond.options import COMMANDS, Command, Common

HELP = {"help_option_names": ["-h", "--help"]}
BEGIN = """Begin with one of these:

  mortcond run                        the whole chain on the bundled sample, a synthetic hospital
  mortcond preprocess RECORDS         the records of your hospital, to a data set to train on
  mortcond predict FILE RECORDS       the risk of each stay, by a .tflite file

mortcond -h lists all commands, mortcond COMMAND -h the options of one."""
SOURCES = {"DEFAULT_MAP": "toml", "COMMANDLINE": "commandline", "ENVIRONMENT": "environment"}


class Group(TyperGroup):
    """All commands; a mistake in the options is told as every other error is: plainly, and as JSON with --json."""

    def get_params(self, ctx: typer.Context) -> list[Any]:
        found = super().get_params(ctx)
        for parameter in found:
            if getattr(parameter, "is_bool_flag", False) and parameter.default is None:
                parameter.default = False  # None would be coerced, which loads pydantic before any command's help
        return found

    def main(self, args: Any = None, prog_name: str | None = None, standalone_mode: bool = True, **rest: Any) -> Any:
        try:
            code = super().main(args, prog_name, standalone_mode=False, **rest)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            code = _report_usage(error, list(sys.argv if args is None else args))
        if not standalone_mode:
            return code
        sys.exit(code)


def _report_usage(error: Any, arguments: list[str]) -> int:
    """Tell what typer found wrong with the command line; return the exit code."""
    from mortcond.core.errors import UsageError

    if error.ctx is None or not error.format_message():  # help was asked for, and has been shown
        return error.exit_code
    problem = error.format_message().replace("\n\t", " ").replace("Value error, ", "").strip()
    return _report(UsageError(problem, f"See {error.ctx.command_path} --help."), json="--json" in arguments)


app = typer.Typer(
    name="mortcond",
    cls=Group,
    context_settings=HELP,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def register(command: Command) -> None:
    """Give the command line a command: its own options and the common ones, as parameters of a function."""

    def call(**values: Any) -> None:
        raise typer.Exit(_call(command, values.pop("context"), values))

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *(_parameter(entry) for entry in (*fields(command.options), *fields(Common)))]
    call.__signature__ = inspect.Signature(parameters)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command(command.name, help=command.help, epilog=_examples(command), context_settings=HELP)(call)


def _examples(command: Command) -> str | None:
    """Return the end of a command's help."""
    lines = [f"mortcond {command.name} {words}".rstrip() for words in command.examples]
    return "\n\n".join(["Examples:", *lines]) if lines else None


def _parameter(entry: Field) -> inspect.Parameter:
    """Return an option as typer wants it: several values are words, taken apart where all options are checked."""
    known, of = about(entry), kind(entry.type)
    annotation = of.element
    if of.several:
        annotation = list[of.element if of.element is Path else str]
    optional = annotation | None if of.optional or of.several else annotation
    default = ... if entry.default is MISSING else _default(entry.default)
    shown = Annotated[optional, _info(entry, known, of.element, of.several)]
    return inspect.Parameter(
        entry.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=shown,
        default=inspect.Parameter.empty if default is ... else default,
    )


def _default(default: Any) -> Any:
    return [str(plain(part)) for part in default] if isinstance(default, tuple) else default


def _info(entry: Field, known: About, element: type, several: bool) -> Any:
    facts: dict[str, Any] = {"help": _help(known, several), "rich_help_panel": known.panel}
    if element in (int, float) and not several:
        facts |= {"min": known.min, "max": known.max}
    if several and issubclass(element, StrEnum):
        facts |= {"metavar": f"<{'|'.join(element)}>,...", "autocompletion": _complete(list(element))}
    elif several and element is not Path:
        facts |= {"metavar": f"<{element.__name__}>,..."}
    if known.positional:
        return typer.Argument(**facts)
    if entry.name == "config":
        facts |= {"callback": _config, "is_eager": True}
    variable = f"MORTCOND_{entry.name.upper()}"  # said once, in the main help
    return typer.Option(*(known.flags or flag(entry.name)).split(), envvar=variable, show_envvar=False, **facts)


def _help(known: About, several: bool) -> str:
    """Return the help with unit and range, where typer does not show the range itself."""
    shown = known.range if several or known.above is not None or known.below is not None else ""
    facts = ", ".join(fact for fact in (known.unit, shown) if fact)
    return f"{known.help} ({facts})" if facts else known.help


def _complete(words: list[str]) -> Callable[[str], Iterator[str]]:
    """Return a completion of the last of several words with commas between."""

    def complete(incomplete: str) -> Iterator[str]:
        head, comma, last = incomplete.rpartition(",")
        return (f"{head}{comma}{word}" for word in words if word.startswith(last))

    return complete


def _config(context: typer.Context, path: Path | None) -> Path | None:
    """Read the TOML file before the other options resolve: top-level keys serve every command, [command] this one."""
    if path is None:
        return None
    from mortcond.core.errors import MortcondError
    from mortcond.core.settings import read_settings

    try:
        context.default_map = read_settings(path, context.info_name, toml_keys())
    except MortcondError as error:
        raise typer.Exit(_report(error, json=False)) from None
    return path


def toml_keys() -> dict[str, dict[str, bool]]:
    """Return the keys that a TOML file may set for each command, and whether each takes several values."""
    return {
        command.name: {
            entry.name: kind(entry.type).several
            for entry in (*fields(command.options), *fields(Common))
            if entry.name != "config"
        }
        for command in COMMANDS.values()
    }


def _call(command: Command, context: typer.Context, values: dict[str, Any]) -> int:
    from mortcond.core.console import Console
    from mortcond.core.errors import as_mortcond_error
    from mortcond.core.session import Session

    resolved = {name: _resolved(context, name, value) for name, value in values.items()}
    common = {entry.name: values.pop(entry.name) for entry in fields(Common)}
    console = Console(common["json"], common["quiet"], common["verbose"], bool(values.get("wide")))
    facts = {name: common[name] for name in ("workspace", "seed", "overwrite", "trust_changed")}
    try:
        room = import_module(f"mortcond.commands.{command.identifier}")
        result = getattr(room, command.identifier)(Session(console=console, options=resolved, **facts), **values)
        console.result(result, room.render)
        sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except (Exception, KeyboardInterrupt) as error:
        return _report(as_mortcond_error(error), common["json"])
    return 0


def _report(error: Any, json: bool) -> int:
    """Say what is wrong on stderr (and, with --json, in the one object on stdout); return the exit code."""
    from mortcond.core.console import Console
    from mortcond.core.terminal import silence_stdout

    console = Console(json=json)
    result = getattr(error, "result", None)  # a limit was missed: the work is done, so its result is shown as well
    try:
        if json:
            entry = {"problem": error.problem, "remedy": error.remedy, "exit_code": error.exit_code}
            console.result((result or {}) | {"error": entry})
        elif result is not None:
            console.result(result, error.render)
        sys.stdout.flush()
    except OSError:  # stdout is what is wrong
        silence_stdout()
    console.error(error.problem, error.remedy)
    return error.exit_code


def _resolved(context: typer.Context, name: str, value: Any) -> dict[str, Any]:
    source = getattr(context.get_parameter_source(name), "name", "")
    return {"value": plain(value), "source": SOURCES.get(source, "default")}


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mortcond {__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Small, fast and honestly measured neural networks for in-hospital mortality in intensive care.

    Every option can also be set as a variable, MORTCOND_EPOCHS for --epochs, or in the TOML file of --config.
    """
    if context.invoked_subcommand is None:
        print(BEGIN)


for each in COMMANDS.values():
    register(each)


def main() -> None:
    """Run the command line; an unexpected error is a bug: one line with what to report, the traceback with -v."""
    from mortcond.core.signals import end_like_an_interrupt
    from mortcond.core.terminal import speak_plainly

    speak_plainly()
    end_like_an_interrupt()
    try:
        app()
    except Exception as error:
        if any(flag in sys.argv for flag in ("-v", "--verbose")):
            raise
        print(f"Error: a bug in mortcond: {type(error).__name__}: {error}", file=sys.stderr)
        print("Run the command again with --verbose and report what it prints.", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
