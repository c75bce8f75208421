"""Writes the corpus: frames of every message with fitting and unfitting values, one file a case.

Usage: python -m fuzz.seed. The files are kept; an input that once failed is added by hand, named after its
case.
"""

from __future__ import annotations

import struct

from fuzz.mutation import FOLDER
from fuzz.outcomes import TYPES
from tests.support.postgres import frames
from tests.support.postgres.frames import UNCHANGED, Text

WORDS = frames.array(25, [(2, 1)], [b"a", None])
GRID = frames.array(23, [(2, 1), (2, 1)], [struct.pack(">i", i) for i in range(4)])
QUERY = b"\0\0\0\3\2\2\1\0\0cat\0\1\1\1rat\0"
FITTING = [
    struct.pack(">i", 7),
    "text é".encode(),
    b"\1",
    struct.pack(">i", 8000),
    struct.pack(">q", 86_400_000_000),
    frames.numeric("-123456.789"),
    b'\1{"a": 1}',
    bytes(range(16)),
    struct.pack(">qii", 3_600_000_001, -2, 14),
    frames.numeric("12345.6789"),
    frames.numeric("-98765432109876543210.5"),
    GRID,
    WORDS,
    QUERY,
    b"\2" + struct.pack(">iiii", 4, 1, 4, 5),
    b"\2\x20\0\4\x7f\0\0\1",
    b"a",
    b"\0\1\2",
    struct.pack(">q", 1_000_000),
    struct.pack(">q", -1),
]
TEXTS = [
    *("7", "text", "t", "2020-02-29", "2020-02-29 12:00:00.5+00", "-1.50", '{"a": 1}'),
    *("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "1 day", "1.5", "-2.25", "{{1,2},{3,4}}", '{a,NULL,"b c"}'),
    *("'cat' & 'rat'", "[1,5)", "127.0.0.1", "a", "\\x000102", "00:00:01", "-$0.01"),
]


def write(target: str, case: str, entry: list[bytes]) -> None:
    folder = FOLDER / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{case}.hex").write_text("".join(f"{frame.hex()}\n" for frame in entry))


def main() -> None:
    assert len(FITTING) == len(TEXTS) == len(TYPES)
    nulls = [None] * len(TYPES)
    texts = [Text(text.encode()) for text in TEXTS]
    key = [FITTING[0], *nulls[1:]]
    changed = [struct.pack(">i", 8), *FITTING[1:]]
    toasted = [FITTING[0], UNCHANGED, *FITTING[2:]]
    cases = {
        "insert_binary": [frames.insert(1, FITTING)],
        "insert_text": [frames.insert(1, texts)],
        "insert_nulls": [frames.insert(1, nulls)],
        "update_key_change": [frames.update(1, changed, old=key)],
        "update_unchanged_toast": [frames.insert(1, FITTING), frames.update(1, toasted)],
        "update_full_image": [frames.update(1, toasted, old=FITTING, kind=b"O")],
        "delete_key": [frames.delete(1, key)],
        "delete_full_image": [frames.delete(1, FITTING, kind=b"O")],
        "mixed_formats": [frames.insert(1, texts), frames.insert(1, FITTING), frames.insert(1, texts)],
    }
    for case, messages in cases.items():
        write("pgoutput", case, [frames.begin(), *messages, frames.commit()])
    head, tail = frames.copy_header(), frames.COPY_TRAILER
    write("copy", "one_row", [head + frames.copy_row(FITTING), tail])
    write("copy", "rows_and_nulls", [head, frames.copy_row(nulls), frames.copy_row(FITTING), tail])
    write("copy", "one_frame", [head + frames.copy_row(FITTING) * 2 + tail])
    write("copy", "header_extension", [frames.copy_header(b"more") + frames.copy_row(FITTING), tail])


if __name__ == "__main__":
    main()
