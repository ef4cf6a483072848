"""Metadata inside a `.tflite` file: what it predicts, from what, and how it was made. No TensorFlow.

Comes in: a file's bytes and a JSON-able dict. Goes out: the bytes with the dict in them, compressed, and back.

The dict stands in the flatbuffer's own metadata under the name `mortcond.v1`: a mark, a SHA-256 of the whole file
(computed with the hash's own bytes as zeros), then the JSON, compressed. So a file whose weights, graph or metadata
were changed, or that was cut short, is told from a whole one before any of it is run.

The compression (deflate) starts from a preset dictionary, of which there is one for each table of variables that comes
with mortcond: the JSON of typical files. What a file has in common with it, which is most of the table of variables,
then costs a few bytes in place of 2,000. The file says which it was.
"""

import hashlib
import json
import zlib
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import flatbuffers

from mortcond.core import forms
from mortcond.core.errors import ChangedError, InputError
from mortcond.core.format_version import known, stamped
from mortcond.core.manifest import Manifest
from mortcond.deploy.flatbuffer import MODEL, Malformed, Table, metadata_entries, root

NAME = "mortcond.v1"
MARK = b"\x93mort1"  # before the hash: a file in which it stands had metadata, also where NAME was damaged
DICTIONARIES = {  # by the byte that stands before what was compressed with each; another one needs another byte
    number: Path(__file__).with_name(f"dictionary-{table}.txt")
    for number, table in ((b"1", "paper76-v1"), (b"2", "extended-v1"), (b"3", "paper76-v2"), (b"4", "extended-v2"))
}
INTENDED_USE = (
    "Research: to estimate the risk of death in hospital of an adult in intensive care, from the measurements of the "
    "first 48 hours of the stay. It is no medical device and no ground for a decision about a patient."
)
LIMITS = (
    "Learned from one source of records; its risks may be wrong in other hospitals, years and kinds of patients. "
    "Measure discrimination and calibration on your own records before any use."
)
LAST = ("inputs", "network")  # the table of variables is in the first
DIGEST_BYTES = 32
MOST_BYTES = 1 << 18  # of the compressed metadata: ours takes 2 to 8 KB
MOST_TEXT = 1 << 22  # of the JSON it becomes
NUMBER = float | None
FORM = {"intended_use": str | None, "limits": str | None, "threshold": NUMBER, "prevalence": NUMBER}
FORM |= {"tensors": list, "parameters": int | None, "inputs": dict | None, "manifest": dict | None}
FORM |= {"network": dict | None}
TENSOR_FORM = {"name": str, "shape": list[int], "dtype": str, "why": str}
INPUTS_FORM = {"feature_names": list[str], "mean": list[float], "std": list[float], "window_hours": int}
INPUTS_FORM |= {"derive": list[str], "scaled": bool, "prevalence": NUMBER, "variables": dict}
REMEDY = "Make the file again with mortcond quantize or train."


@dataclass(frozen=True)
class Embedded:
    """Metadata as found in a file."""

    record: dict[str, Any]
    intact: bool  # whether the file's SHA-256 is the one it was written with
    compressed_bytes: int


def described(record: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with intended use and limits stated, where `record` does not state its own."""
    return {"intended_use": INTENDED_USE, "limits": LIMITS} | record


def attach(data: bytes, record: dict[str, Any]) -> bytes:
    """Return a `.tflite` file with `record` as its metadata, in the place of any that it had.

    The model itself stays byte for byte as it was: a new root, which knows of one buffer more, is put before it.
    """
    record = json.loads(json.dumps(stamped(record), default=_plain, allow_nan=False, sort_keys=True))
    payload = MARK + bytes(DIGEST_BYTES) + compress(as_text(record).encode("utf-8"))
    file = bytearray(_with_buffer(data, payload))
    start = file.index(payload) + len(MARK)
    file[start : start + DIGEST_BYTES] = hashlib.sha256(file).digest()
    return bytes(file)


def as_text(record: dict[str, Any]) -> str:
    """Return the JSON that is compressed, the long parts last: deflate looks back 32 KB, and a table may take 26."""
    ordered = {name: record[name] for name in sorted(record, key=lambda name: (name in LAST, name))}
    return json.dumps(ordered, separators=(",", ":"), ensure_ascii=False)


def read(path: Path, trust_changed: bool = False) -> dict[str, Any] | None:
    """Return the metadata of a `.tflite` file; None where it carries none of ours.

    Raises InputError where the file is no `.tflite`, was changed after it was written (unless `trust_changed`), or has
    unreadable metadata.
    """
    return checked(read_bytes(path), path, trust_changed)


def checked(data: bytes, path: Path, trust_changed: bool = False) -> dict[str, Any] | None:
    """Return the metadata in the bytes of a file; see `read`."""
    embedded = extract(data, path)
    if embedded is None:
        return None
    if not (embedded.intact or trust_changed):
        raise ChangedError(
            f"{path} was changed after it was written: its contents do not match the SHA-256 in its metadata.",
            f"{REMEDY} Or, where you mean the change, pass --trust-changed.",
        )
    return embedded.record


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Name a .tflite file, or a model directory.")
    return path.read_bytes()


def extract(data: bytes, path: Path) -> Embedded | None:
    """Return what `data`, read from `path`, carries as metadata, and whether the file is as it was written."""
    try:
        found = [buffer for name, buffer in metadata_entries(root(data)) if name == NAME]
        if not found and MARK in data:
            raise Malformed("its metadata was damaged")
        if not found:
            return None
        start, count = found[-1].vector(0, 1)
        start, count = start + len(MARK), count - len(MARK)
    except Malformed as error:
        raise InputError(f"{path} is no .tflite file that can be read: {error}.", REMEDY) from None
    if not DIGEST_BYTES < count <= MOST_BYTES:
        raise InputError(f"{path} has metadata of {count:,} bytes; at most {MOST_BYTES:,} are read.", REMEDY)
    blank = data[:start] + bytes(DIGEST_BYTES) + data[start + DIGEST_BYTES :]
    intact = hashlib.sha256(blank).digest() == data[start : start + DIGEST_BYTES]
    try:
        record = known(forms.parsed(decompress(data[start + DIGEST_BYTES : start + count])), str(path))
        _fit(record)
    except (ValueError, zlib.error) as error:
        raise InputError(f"{path} has metadata that cannot be read ({error}).", REMEDY) from None
    return Embedded(record, intact, count)


def _fit(record: dict[str, Any]) -> None:
    """Raise Misfit, or InputError from the manifest, where metadata has not the form that its readers count on.

    The table of variables is checked by `dataset.InputSpec`, where it is used.
    """
    forms.fit_keys(record, {}, optional=FORM)
    for index, tensor in enumerate(record.get("tensors", ())):
        forms.fit_keys(tensor, TENSOR_FORM, f"tensors[{index}]")
    if record.get("inputs") is not None:
        forms.fit_keys(record["inputs"], {}, "inputs", INPUTS_FORM)
        table = record["inputs"].get("variables") or {}
        forms.fit_keys(table, {}, "inputs.variables", {"name": str, "sha256": str, "variables": list[dict]})
    if record.get("manifest") is not None:
        Manifest.from_dict(record["manifest"])


def compress(text: bytes) -> bytes:
    """Return text compressed from the dictionary that suits it best, without zlib's checksum: there is the SHA-256."""
    return min((number + _deflated(text, path.read_bytes()) for number, path in DICTIONARIES.items()), key=len)


def _deflated(text: bytes, dictionary: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED, dictionary)
    return compressor.compress(text) + compressor.flush()


def decompress(data: bytes) -> bytes:
    """Return what `compress` was given, at most MOST_TEXT bytes of it: a small file must not fill the memory."""
    if data[:1] not in DICTIONARIES:
        raise ValueError("it was written by a newer mortcond")
    decompressor = zlib.decompressobj(-15, DICTIONARIES[data[:1]].read_bytes())
    text = decompressor.decompress(data[1:], MOST_TEXT)
    if not decompressor.eof:
        raise ValueError(f"it is cut short or unpacks to more than {MOST_TEXT:,} bytes")
    return text


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return asdict(value)
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return value.tolist()
    return str(value)


def _with_buffer(data: bytes, payload: bytes) -> bytes:
    """Put a new root in the place of a model's: its parts, and one buffer more, named NAME in the metadata."""
    data += bytes(-len(data) % 16)  # the buffers' alignment counts from the end
    model = root(data)
    builder = flatbuffers.Builder(len(data) + len(payload) + 1024)
    parts = data[_first_part(model) :]
    builder.head -= len(parts)
    builder.Bytes[builder.head :] = parts
    builder.minalign = 16

    def place(table: Table) -> int:
        return len(data) - table.position  # builders count from the end

    kept = [
        (entry, name) for entry, (name, _) in zip(model.tables(MODEL["metadata"]), metadata_entries(model), strict=True)
    ]
    buffers = [place(buffer) for buffer in model.tables(MODEL["buffers"])]
    content = _bytes(builder, payload)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, content, 0)
    buffers.append(builder.EndObject())
    name = builder.CreateString(NAME)
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUint32Slot(1, len(buffers) - 1, 0)
    entries = [*(place(entry) for entry, name in kept if name != NAME), builder.EndObject()]
    vectors = {MODEL["buffers"]: _offsets(builder, buffers), MODEL["metadata"]: _offsets(builder, entries)}
    builder.StartObject(max(len(model.fields), MODEL["metadata"] + 1))
    builder.PrependUint32Slot(0, model.number(0, "<I"), 0)
    others = {field: len(data) - model.target(field) for field in range(1, len(model.fields)) if model.fields[field]}
    for field, offset in (others | vectors).items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    return bytes(builder.Output())


def _first_part(model: Table) -> int:
    """Return where the parts begin that a new root still refers to.

    Offsets lead forward, and `graph.Writer` writes the list of buffers and the root last, so at the front: they go.
    """
    replaced = (MODEL["buffers"], MODEL["metadata"])
    kept = [field for field, place in enumerate(model.fields) if field and place and field not in replaced]
    tables = [*model.tables(MODEL["buffers"]), *model.tables(MODEL["metadata"])]
    return min([model.target(field) for field in kept] + [table.first_byte for table in tables])


def _bytes(builder: flatbuffers.Builder, data: bytes) -> int:
    builder.StartVector(1, len(data), 16)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return builder.EndVector()


def _offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
