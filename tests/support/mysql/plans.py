"""A column's plan of every way of decoding the binlog's values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from cdc_source_mysql.schema.type_plan import ColumnPlan
from tests.support.mysql.fields import plan

TEXT = pa.string()
DATETIME = pa.timestamp("us")
TIMESTAMP = pa.timestamp("us", "UTC")


def _plans() -> list[ColumnPlan]:
    whole = [("int8", "int8"), ("int16", "int16"), ("int24", "int32"), ("int32", "int32"), ("int64", "int64")]
    numbers = [
        plan(kind, getattr(pa, f"{'u' if unsigned else ''}{arrow}")(), unsigned=unsigned)
        for kind, arrow in whole
        for unsigned in (False, True)
    ]
    numbers += [plan("float32", pa.float32()), plan("float64", pa.float64()), plan("year", pa.int16())]
    numbers += [plan("bool", pa.bool_()), *(plan("bit", pa.uint64(), size=size) for size in (1, 3, 8))]
    decimals = [
        plan("decimal", (pa.decimal128 if p <= 38 else pa.decimal256)(p, s), precision=p, scale=s)
        for p, s in ((1, 0), (5, 2), (18, 18), (20, 3), (38, 30), (65, 30))
    ]
    temporals = [
        plan(kind, arrow if not as_text else TEXT, fsp=fsp, as_text=as_text)
        for kind, arrow in (
            ("date", pa.date32()),
            ("datetime", DATETIME),
            ("timestamp", pa.timestamp("us", "UTC")),
        )
        for fsp in (0, 1, 3, 6)
        for as_text in (False, True)
    ]
    temporals += [plan("time", TEXT, fsp=fsp) for fsp in range(7)]
    temporals += [plan(kind, DATETIME) for kind in ("datetime_old", "timestamp_old")]
    temporals += [plan("time_old", TEXT)]
    labels = [
        plan("enum", TEXT, size=1, labels=("a", "é")),
        plan("set", TEXT, size=1, labels=("a", "é", "c")),
    ]
    labels += [plan("set", TEXT, size=8, labels=tuple(map(str, range(64))))]
    return [*numbers, *decimals, *temporals, *labels, *_prefixed()]


def _prefixed() -> list[ColumnPlan]:
    charsets = ("utf8", "ascii", "latin1", "ucs2", "utf16", "gbk", "cp1250")
    texts = [plan("string", TEXT, charset=charset, prefix_bytes=1) for charset in charsets]
    texts += [plan("string", TEXT, charset="utf8", prefix_bytes=2, compressed=True)]
    others: dict[str, tuple[Any, dict[str, Any]]] = {
        "bytes": (pa.binary(), {}),
        "binary": (pa.binary(), {"size": 7}),
        "uuid": (pa.uuid(), {}),
        "inet4": (TEXT, {}),
        "inet6": (TEXT, {}),
        "json": (pa.json_(), {}),
        "geometry": (pa.binary(), {}),
        "vector": (pa.list_(pa.float32()), {}),
    }
    return texts + [
        plan(kind, arrow, prefix_bytes=prefix, **attributes)
        for kind, (arrow, attributes) in others.items()
        for prefix in (1, 2)
    ]


PLANS = _plans()
