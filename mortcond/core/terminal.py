"""The two streams of a process: whatever the code page and whoever reads, saying something is never an error.

Comes in: stdout and stderr as Python opened them. Goes out: the same, which replace what their code page cannot show:
the signs of the field by the plain letters that stand for them, anything else by its number. Files are always UTF-8.
"""

import codecs
import os
import sys
from contextlib import suppress

PLAIN = {
    "µ": "u",
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "·": "*",
    "…": "...",
    "±": "+-",
    "≥": ">=",
    "≤": "<=",
    "Δ": "d",
    "→": "->",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "\u00a0": " ",
    "\u202f": " ",
    "█": "#",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "─": "-",
    "│": "|",
    "•": "*",
    "✓": "ok",
    "✗": "no",
    "²": "2",
    "°": " deg ",
}
HANDLER = "mortcond.plain"


def speak_plainly() -> None:
    """Let stdout and stderr replace what they cannot encode; call it before anything is said."""
    codecs.register_error(HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # a notebook's stream, or a closed one
            stream.reconfigure(errors=HANDLER)


def silence_stdout() -> None:
    """Send what is still held back of stdout nowhere: Python would fail at its end over a full or closed one."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign) or _numbered(sign) for sign in signs), error.end


def _numbered(sign: str) -> str:
    return sign.encode("ascii", "backslashreplace").decode("ascii")
