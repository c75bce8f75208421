"""Writes the corpus of the target `binlog`: one file a case, one event a line.

Usage: python -m fuzz.seed_binlog. The files are kept; an input that once failed is added by hand, named after
its case.
"""

from __future__ import annotations

from cdc_source_mysql.wire import codes
from fuzz.binlog_outcome import TYPES
from fuzz.seed import write
from tests.support.mysql import frames
from tests.support.mysql.frames import ABSENT, i32, text

LIVE = b"\x7f\xff\xff\xff\x0f\x42\x3f"
ROW = [
    i32(7),
    text("é"),
    b"\x03\0\0\0\x05\x01\x00",
    b"\x80\0\0\x07\x05",
    LIVE,
    b"\x03\0\0\0abc",
    b"\x01\xff",
    b"\x02",
]
NULLS = [i32(8), *[None] * (len(TYPES) - 1)]
KEY = [i32(7), *[ABSENT] * (len(TYPES) - 1)]
ENDED = [*ROW[:4], b"\x65\x00\x00\x00\x00\x00\x01", *ROW[5:]]
MAP = frames.table_map(columns=len(TYPES))
VERSIONED = frames.table_map(table="v", columns=len(TYPES))


def partial() -> bytes:
    changed = [*ROW[:2], b"\x07\0\0\0\x00\x01$\x03\x05\x09\x00", *ROW[3:]]
    body = frames.rows_head([ROW, ROW], pairs=True) + frames.image(ROW) + b"\1\1" + frames.image(changed)
    return frames.event(codes.PARTIAL_UPDATE_ROWS_EVENT, body)


def compressed(kind: int, *images: list[bytes | None]) -> bytes:
    head = frames.rows_head(images, pairs=kind == codes.UPDATE_ROWS_COMPRESSED_EVENT_V1, version=1)
    return frames.event(kind, head + frames.compressed(b"".join(map(frames.image, images))))


def main() -> None:
    changes = [MAP, frames.write(ROW, NULLS), frames.update(ROW, NULLS, NULLS, ROW), frames.delete(ROW)]
    minimal = [MAP, frames.update(KEY, [ABSENT, *ROW[1:3], *KEY[3:]]), frames.delete(KEY)]
    history = [VERSIONED, frames.write(ROW, ENDED), frames.update(ROW, ENDED), frames.delete(ENDED)]
    whole = frames.write(ROW)
    pieces = [
        frames.event(codes.PARTIAL_ROW_DATA_EVENT, i32(2) + i32(i + 1) + b"\0" + piece)
        for i, piece in enumerate([whole[:30], whole[30:]])
    ]
    packed = [
        compressed(codes.WRITE_ROWS_COMPRESSED_EVENT_V1, ROW, NULLS),
        compressed(codes.UPDATE_ROWS_COMPRESSED_EVENT_V1, ROW, NULLS),
    ]
    inside = [frames.query("BEGIN"), *changes, frames.xid()]
    xa = [frames.query("XA START X'61',X'',1"), *changes, frames.event(codes.XA_PREPARE_EVENT, bytes(13))]
    heartbeat = frames.event(codes.HEARTBEAT_EVENT_V2, b"\1\1f\2\3\xfc\0\7\0")
    cases = {
        "changes": frames.transaction(*changes),
        "minimal": frames.transaction(*minimal),
        "partial_json": frames.transaction(MAP, partial()),
        "versioned": [frames.mariadb_gtid(1), *history, frames.xid()],
        "mariadb_compressed": [frames.mariadb_gtid(2), MAP, *packed, *pieces, frames.xid()],
        "payload": [frames.gtid(4, commit_us=1 << 50, original_us=1 << 49), frames.payload(inside)],
        "payload_plain": [
            frames.tagged_gtid(5, "tag", commit_us=1 << 50),
            frames.payload(inside, method=255),
        ],
        "xa": [frames.gtid(6), *xa, frames.gtid(7), frames.query("XA COMMIT X'61',X'',1")],
        "statements": [
            frames.mariadb_gtid(3, 1, codes.MARIADB_STANDALONE),
            frames.query_compressed("create table x (a int)"),
            frames.query("BEGIN"),
            *changes,
            frames.query("ROLLBACK"),
        ],
        "files": [heartbeat, *frames.transaction(*changes), frames.rotate("binlog.000002"), heartbeat],
    }
    for case, events in cases.items():
        write("binlog", case, [*frames.start(), *events])


if __name__ == "__main__":
    main()
