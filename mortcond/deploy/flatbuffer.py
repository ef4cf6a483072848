"""Reading the flatbuffer that a `.tflite` file is, with every offset checked before it is followed.

Comes in: bytes from anywhere. Goes out: the parts of the model that the other modules need, or Malformed where an
offset leaves the file, a vector is longer than the rest of the file, or an index names nothing. Standard library only.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

IDENTIFIER = b"TFL3"

# Fields by their place in the schema's tables.
MODEL = {"operator_codes": 1, "subgraphs": 2, "buffers": 4, "metadata": 6, "signatures": 7}
SUBGRAPH = {"tensors": 0, "inputs": 1, "outputs": 2, "operators": 3}
TENSOR = {"shape": 0, "type": 1, "buffer": 2, "name": 3, "quantization": 4, "shape_signature": 7}
OPERATOR = {"opcode_index": 0, "inputs": 1, "outputs": 2}
METADATA = {"name": 0, "buffer": 1}


class Malformed(ValueError):
    """The bytes are no model of this format."""


@dataclass(frozen=True)
class Table:
    """One table of a flatbuffer: its fields are found through a vtable."""

    data: bytes
    position: int

    @property
    def vtable(self) -> int:
        return self.position - self._unpack("<i", self.position)

    @property
    def first_byte(self) -> int:
        """Where the table or its vtable begins, whichever comes first."""
        return min(self.position, self.vtable)

    @cached_property
    def fields(self) -> tuple[int, ...]:
        """The places of the fields, relative to the table; 0 where a field is absent."""
        vtable = self.vtable
        size = self._unpack("<H", vtable)
        if size < 4 or size % 2:
            raise Malformed("a table without fields")
        self._check(vtable, size)
        return struct.unpack_from(f"<{(size - 4) // 2}H", self.data, vtable + 4)

    def number(self, field: int, form: str = "<i", default: int = 0) -> int:
        """Return a number, `default` where the field is absent."""
        place = self._place(field)
        return self._unpack(form, place) if place else default

    def table(self, field: int) -> "Table | None":
        place = self._place(field)
        return Table(self.data, self._follow(place)) if place else None

    def start(self) -> int:
        """Return where the offset at the table's very position leads: a file begins with one to its root."""
        return self._follow(self.position)

    def target(self, field: int) -> int:
        """Return where the offset in a field that is present leads."""
        return self._follow(self._place(field))

    def tables(self, field: int) -> list["Table"]:
        start, count = self.vector(field, 4)
        return [Table(self.data, self._follow(start + 4 * index)) for index in range(count)]

    def integers(self, field: int) -> tuple[int, ...]:
        start, count = self.vector(field, 4)
        return struct.unpack_from(f"<{count}i", self.data, start)

    def bytes(self, field: int) -> bytes:
        start, count = self.vector(field, 1)
        return self.data[start : start + count]

    def text(self, field: int) -> str:
        return self.bytes(field).decode("utf-8", "replace")

    def vector(self, field: int, item_size: int) -> tuple[int, int]:
        """Return where a vector's items start and how many there are; (0, 0) where it is absent."""
        place = self._place(field)
        if not place:
            return 0, 0
        start = self._follow(place)
        count = self._unpack("<I", start)
        self._check(start + 4, count * item_size)
        return start + 4, count

    def _place(self, field: int) -> int:
        offset = self.fields[field] if field < len(self.fields) else 0
        return self.position + offset if offset else 0

    def _follow(self, place: int) -> int:
        target = place + self._unpack("<I", place)
        self._check(target, 4)
        return target

    def _unpack(self, form: str, place: int) -> int:
        self._check(place, struct.calcsize(form))
        return struct.unpack_from(form, self.data, place)[0]

    def _check(self, place: int, size: int) -> None:
        if place < 0 or place + size > len(self.data):
            raise Malformed("an offset leaves the file: it is cut short or overwritten")


def root(data: bytes) -> Table:
    """Return the Model table of a `.tflite` file.

    Raises Malformed where the file does not begin like one.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise Malformed("it does not begin with the mark of a .tflite file")
    return Table(data, Table(data, 0).start())


def metadata_entries(model: Table) -> Iterator[tuple[str, Table]]:
    """Yield each metadata entry's name and the table of the buffer that holds it."""
    buffers = model.tables(MODEL["buffers"])
    for entry in model.tables(MODEL["metadata"]):
        index = entry.number(METADATA["buffer"], "<I")
        if index >= len(buffers):
            raise Malformed("metadata in a buffer that does not exist")
        yield entry.text(METADATA["name"]), buffers[index]
