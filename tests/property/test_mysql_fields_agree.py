"""The compiled and the pure-Python fields of the binlog are two programs for one contract: whatever bytes
come, both give equal arrays, count the same policy and consume as much, or both raise.
"""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.errors import DecodeError, UnrepresentableValue
from cdc.native import implementation
from cdc.native.unrepresentable import RowError, UnrepresentablePolicy
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire import values_python as wire_values_python
from tests.support.mysql.fields import json_plan
from tests.support.mysql.json_binary import encode
from tests.support.mysql.json_documents import random_value
from tests.support.mysql.plans import PLANS
from tests.support.plain_arrow import plain

pytestmark = pytest.mark.skipif(implementation() != "c", reason="there is only one decoder here")

EXAMPLES = 400
REFUSED = "refused"


# Bytes in which zeros, signs and the smaller lengths come often.
BYTES = st.lists(
    st.sampled_from([0, 0, 1, 2, 4, 7, 8, 0x7F, 0x80, 0x99, 0xFF]) | st.integers(0, 255), max_size=30
).map(bytes)


@st.composite
def stored(draw: st.DrawFn, column: ColumnPlan) -> bytes:
    """One value with more bytes behind it, mostly with a length that fits."""
    data = draw(BYTES)
    if column.prefix_bytes and draw(st.integers(0, 9)):
        return len(data).to_bytes(column.prefix_bytes, "little") + data + draw(st.binary(max_size=2))
    return data


def outcome(wire: ModuleType, column: ColumnPlan, policy: str, values: list[bytes | None]) -> Any:
    obeyed = UnrepresentablePolicy(policy)
    field = wire.make_field(column, obeyed)
    consumed = []
    try:
        for value in values:
            consumed.append(0 if value is None else field.append(value))
            if value is None:
                field.append_null()
        array = field.finish()
    except (DecodeError, UnrepresentableValue):
        return REFUSED
    except RowError as error:
        return error.row
    array.validate(full=True)
    return consumed, plain(array), obeyed.count


def check(column: ColumnPlan, policy: str, values: list[bytes | None]) -> None:
    from cdc_source_mysql.wire import values as wire_values

    assert outcome(wire_values, column, policy, values) == outcome(wire_values_python, column, policy, values)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_fields_agree_on_any_bytes(data: st.DataObject) -> None:
    column = data.draw(st.sampled_from(PLANS))
    values = data.draw(st.lists(st.none() | stored(column), min_size=1, max_size=4))
    check(column, data.draw(st.sampled_from(["error", "null"])), values)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_fields_agree_on_damaged_json(seed: int, data: st.DataObject) -> None:
    chance = random.Random(seed)
    document = bytearray(encode(random_value(chance, chance.randint(0, 3))))
    for _ in range(data.draw(st.integers(0, 3))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    value = len(document).to_bytes(4, "little") + bytes(document)
    check(json_plan(), "error", [value])
