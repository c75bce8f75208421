"""Walks over row images of the binlog to count them: how long each value is, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

# Column type → bytes of its metadata in a TABLE_MAP event; others have none.
_META_BYTES = {
    4: 1,
    5: 1,
    15: 2,
    16: 2,
    17: 1,
    18: 1,
    19: 1,
    242: 1,
    245: 1,
    246: 2,
    252: 1,
    253: 2,
    254: 2,
    255: 1,
}
_META_BYTES |= {140: 1, 141: 2}
# Column type → bytes of a value, where all are equally long.
_FIXED = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 7: 4, 8: 8, 9: 3, 10: 3, 11: 3, 12: 8, 13: 1}
# Temporal types with a fraction → bytes in front of it.
_FRACTIONAL = {17: 4, 18: 5, 19: 3}
_BLOBS = frozenset({140, 242, 245, 252, 255})
_VARCHARS = frozenset({15, 141, 253})
_BIT, _DECIMAL, _STRING, _ENUM, _SET = 16, 246, 254, 247, 248
# Bytes of so many leftover digits of a decimal.
_DIGITS = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


def lenenc(data: bytes, at: int) -> tuple[int, int]:
    """A length-encoded number and where the next byte is."""
    first = data[at]
    if first < 251:
        return first, at + 1
    size = {252: 2, 253: 3, 254: 8}[first]
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


@dataclass(frozen=True)
class TableShape:
    """Of a TABLE_MAP event: what is needed to walk over the table's rows."""

    table_id: int
    schema: str
    name: str
    types: bytes
    metas: tuple[bytes, ...]

    @classmethod
    def parse(cls, body: bytes) -> TableShape:
        at = 8
        schema = body[at + 1 : at + 1 + body[at]].decode()
        at += body[at] + 2
        name = body[at + 1 : at + 1 + body[at]].decode()
        at += body[at] + 2
        count, at = lenenc(body, at)
        types = body[at : at + count]
        _, at = lenenc(body, at + count)
        metas = []
        for kind in types:
            size = _META_BYTES.get(kind, 0)
            metas.append(body[at : at + size])
            at += size
        return cls(int.from_bytes(body[:6], "little"), schema, name, types, tuple(metas))


class RowWalker:
    """The rows of one event, from `start` on; `images` a row."""

    def __init__(self, shape: TableShape, body: bytes, start: int, images: int) -> None:
        self._shape = shape
        self._body = body
        count, at = lenenc(body, start)
        size = (count + 7) // 8
        self._present = []
        for _ in range(images):
            bits = body[at : at + size]
            self._present.append([i for i in range(count) if bits[i // 8] >> i % 8 & 1])
            at += size
        self._at = at

    def count(self) -> int:
        rows = 0
        while self._at < len(self._body):
            for present in self._present:
                self._image(present)
            rows += 1
        assert self._at == len(self._body), f"{self._shape.name}: the last row image is cut"
        return rows

    def _image(self, present: list[int]) -> None:
        nulls = self._body[self._at : self._at + (len(present) + 7) // 8]
        self._at += len(nulls)
        for i, column in enumerate(present):
            if not nulls[i // 8] >> i % 8 & 1:
                self._at += self._length(self._shape.types[column], self._shape.metas[column])

    def _length(self, kind: int, meta: bytes) -> int:
        """Of the value at the cursor, its own length included."""
        if kind in _FIXED:
            return _FIXED[kind]
        if kind in _FRACTIONAL:
            return _FRACTIONAL[kind] + (meta[0] + 1) // 2
        if kind in _BLOBS:
            return self._prefixed(meta[0])
        if kind in _VARCHARS:
            return self._prefixed(2 if int.from_bytes(meta, "little") > 255 else 1)
        if kind == _BIT:
            return meta[1] + (meta[0] > 0)
        if kind == _DECIMAL:
            whole, scale = meta[0] - meta[1], meta[1]
            return whole // 9 * 4 + _DIGITS[whole % 9] + scale // 9 * 4 + _DIGITS[scale % 9]
        assert kind == _STRING, f"{self._shape.name}: a column of type {kind}"
        if meta[0] in (_ENUM, _SET):
            return meta[1]
        length = meta[1] | ((meta[0] & 0x30) ^ 0x30) << 4 if meta[0] & 0x30 != 0x30 else meta[1]
        return self._prefixed(2 if length > 255 else 1)

    def _prefixed(self, size: int) -> int:
        return size + int.from_bytes(self._body[self._at : self._at + size], "little")
