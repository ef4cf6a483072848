"""The console: the result on stdout and nothing else there; progress, notes, warnings and errors on stderr.

Comes in: what a command has to say. Goes out: rich text on a terminal, plain lines elsewhere, JSON where asked.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TextIO


@dataclass(frozen=True)
class Console:
    """Where a command speaks. `quiet` silences all but results, warnings and errors; `json` makes the result JSON."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    wide: bool = False
    shared: Any = None  # the live display of a whole chain, to which each step adds its bar

    @cached_property
    def out(self):
        return _rich(sys.stdout, width=200 if self.wide else None)

    @cached_property
    def err(self):
        return _rich(sys.stderr)

    def note(self, text: str) -> None:
        """Say on stderr what is being done (not with --quiet)."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """Say on stderr what only --verbose shows."""
        if self.verbose:
            self._say(text, "dim")

    def warn(self, text: str) -> None:
        """Warn on stderr, also with --quiet."""
        self._say(f"Warning: {text}", "yellow")

    def error(self, problem: str, remedy: str = "") -> None:
        """Say on stderr what is wrong and what to do."""
        self._say(f"Error: {problem}", "bold red")
        if remedy:
            self._say(remedy)

    def _say(self, text: str, style: str | None = None) -> None:
        with suppress(OSError):  # a full disk or a closed terminal behind stderr must not end the work
            self.err.print(text, markup=False, style=style, soft_wrap=True)

    def result(self, result: dict[str, Any], render: Callable[[dict[str, Any]], Any] | None = None) -> None:
        """Print a command's result on stdout: one JSON object with --json, else what `render` makes of it."""
        if self.json:
            print(json.dumps(result, default=str, allow_nan=False))
        elif render is not None:
            for renderable in render(result):
                self.out.print(renderable, markup=False) if isinstance(renderable, str) else self.out.print(renderable)

    @contextmanager
    def progress(self, description: str, total: float | None = None, unit: str = "") -> Iterator["Bar"]:
        """Show progress on stderr while the block runs: a rich bar on a terminal, a line now and then elsewhere."""
        bar = self._bar(description, total, unit)
        with bar:
            yield bar

    @contextmanager
    def chain(self, description: str, steps: int) -> Iterator[tuple["Console", "Bar"]]:
        """Give a console whose progress bars all appear in one live display, below the bar of the whole chain."""
        with self._bar(description, steps, "") as bar:
            yield replace(self, shared=getattr(bar, "live", None)), bar

    def _bar(self, description: str, total: float | None, unit: str) -> "Bar":
        if self.quiet:
            return Bar()
        if self.err.is_terminal:
            return RichBar(self.err, description, total, unit, self.shared)
        return LineBar(self, description, total)


def _rich(stream: TextIO, **how: Any):
    from rich.console import Console as RichConsole

    class OneOfMany(RichConsole):
        def on_broken_pipe(self) -> None:
            """Whoever read has ended: rich would end the process as if by a bug."""
            raise BrokenPipeError

    return OneOfMany(file=stream, highlight=False, **how)


class Bar:
    """A progress bar that shows nothing; the others show what they are told."""

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *exception) -> None:
        return None

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Move on by `amount` (of `total`) and show `note` beside the bar."""

    def update(self, completed: float, total: float | None = None, note: str = "") -> None:
        """Set the absolute position and show `note` beside the bar."""


class RichBar(Bar):
    """A live bar on a terminal, with what is done, time gone and time left."""

    def __init__(self, console, description: str, total: float | None, unit: str, shared=None):
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(), TimeElapsedColumn())
        columns += (TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self.owner = shared is None
        self.live = shared or Progress(*columns, console=console, transient=True)
        self.task = self.live.add_task(description, total=total, note=unit)

    def __enter__(self) -> "RichBar":
        if self.owner:
            self.live.start()
        return self

    def __exit__(self, *exception) -> None:
        self.live.remove_task(self.task)
        if self.owner:
            self.live.stop()

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.live.update(self.task, advance=amount, **({"note": note} if note else {}))

    def update(self, completed: float, total: float | None = None, note: str = "") -> None:
        extra = ({"total": total} if total is not None else {}) | ({"note": note} if note else {})
        self.live.update(self.task, completed=completed, **extra)


class LineBar(Bar):
    """Progress where stderr is no terminal: a plain line every few seconds, none for what is quick."""

    seconds_between_lines = 5.0

    def __init__(self, console: Console, description: str, total: float | None):
        self.console, self.description, self.total = console, description, total
        self.completed = 0.0
        self.last = time.monotonic()

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.update(self.completed + amount, note=note)

    def update(self, completed: float, total: float | None = None, note: str = "") -> None:
        self.completed, self.total = completed, total or self.total
        if time.monotonic() - self.last >= self.seconds_between_lines:
            self.last = time.monotonic()
            share = f" {100 * completed / self.total:.0f} %" if self.total else ""
            self.console.note(f"{self.description}{share} {note}".rstrip())
