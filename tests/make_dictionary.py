"""Make a preset dictionary of the metadata's compression again, from the files of a run on the bundled sample.

    mortcond run -w WORKSPACE --variables TABLE && python tests/make_dictionary.py WORKSPACE TABLE

TABLE is paper76 or extended. Hashes of data are left out and measured numbers cut short: what is in it is the form of
the metadata and a table of variables, and nothing of any data. A file can only be read with the dictionary it was
written with: after a release a new one needs a new number in `deploy/metadata.py`.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mortcond.deploy import metadata
from mortcond.variables import load

WINDOW = 32_000  # bytes: deflate looks back 32 KiB
FILES = (  # what is nearest to the end is cheapest to refer to
    "dnn-int8.tflite",
    "dnn-pruned50-int8.tflite",
    "lstm-hlstm-int8.tflite",
    "lstm/model.tflite",
    "lstm-pruned50/model.tflite",
    "lstm-pruned50-int8.tflite",
    "lstm-int8.tflite",
)
SHARED = ("inputs", "intended_use", "limits", "prevalence")  # the same in all files: once, at the end
HASH = re.compile(r"\b[0-9a-f]{64}\b")


def neutral(value: Any) -> Any:
    """Return a record with its fractions cut to two digits."""
    if isinstance(value, dict):
        return {name: neutral(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [neutral(entry) for entry in value]
    if isinstance(value, float) and not value.is_integer():
        return float(f"{value:.2g}")
    return value


def dictionary(workspace: Path, table: str) -> bytes:
    """Return the end of the JSON of a run's files: what they have of their own, then what they share."""
    records = [metadata.read(workspace / name) for name in FILES]
    shared = {name: records[-1][name] for name in SHARED}
    scaling = {name: neutral(shared["inputs"][name]) for name in ("mean", "std")}
    shared |= {"inputs": shared["inputs"] | scaling, "prevalence": neutral(shared["prevalence"])}
    own = [neutral({name: part for name, part in record.items() if name not in SHARED}) for record in records]
    known = load(table).sha256  # of the table that comes with it, the one hash that files have in common
    text = HASH.sub(lambda found: known if found[0] == known else "", "\n".join(map(metadata.as_text, [*own, shared])))
    return text.replace(str(workspace), "artifacts").encode()[-WINDOW:]


if __name__ == "__main__":
    *_, path = (path for path in metadata.DICTIONARIES.values() if sys.argv[2] in path.name)  # the newest
    path.write_bytes(dictionary(Path(sys.argv[1]), sys.argv[2]))
