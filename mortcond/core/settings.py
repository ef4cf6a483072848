"""Settings from a TOML file. Comes in: a file and the known options. Goes out: the defaults of one command."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mortcond.core.errors import InputError, UsageError


def read_settings(path: Path, command: str, commands: dict[str, dict[str, bool]]) -> dict[str, Any]:
    """Return the options that a TOML file sets for one command; those of its own table beat the top-level ones.

    Parameters
    ----------
    path
        The TOML file: top-level keys serve every command that has them, a table `[train]` that command only.
    command
        The command that is being run.
    commands
        For every command, the names of its options and whether each takes several values: with those names a key of
        another command is told from a mistake.

    Raises
    ------
    InputError
        The file is missing or no TOML.
    UsageError
        A key or table is unknown; file, table and key are named.
    """
    document = _parse(path)
    everywhere = set().union(*commands.values())
    shared = {_name(key): value for key, value in document.items() if not isinstance(value, dict)}
    _refuse_unknown(path, "the top level", shared, everywhere)
    for table, entries in document.items():
        if isinstance(entries, dict):
            if table not in commands:
                raise UsageError(f"{path}: there is no command for table [{table}].", _suggest(table, set(commands)))
            _refuse_unknown(path, f"table [{table}]", {_name(key) for key in entries}, set(commands[table]))
    own = {_name(key): value for key, value in document.get(command, {}).items()}
    several = commands[command]
    return {key: _words(value) if several[key] else value for key, value in (shared | own).items() if key in several}


def _words(value: Any) -> list[str]:
    return [str(part) for part in value] if isinstance(value, list) else [str(value)]


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no settings file {path}.", "Check the path given to --config.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as TOML: {error}.", "Mend the file.") from None


def _name(key: str) -> str:
    return key.replace("-", "_")


def _refuse_unknown(path: Path, where: str, keys, known: set[str]) -> None:
    unknown = sorted(set(keys) - known)
    if unknown:
        names = ", ".join(repr(key) for key in unknown)
        raise UsageError(f"{path}: {where} has unknown key {names}.", _suggest(unknown[0], known))


def _suggest(word: str, known: set[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known are: {', '.join(sorted(known))}."
