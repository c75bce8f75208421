"""A mark that this version does not know stops the reader: it may be about rows."""

from __future__ import annotations

import pyarrow as pa
import pytest

from cdc.errors import StateError
from cdc.log.arrow import decode_batch, encode_batch
from cdc.testing.events import altered, table

T = table("public.t", {"id": pa.int64()}, version=1)


def test_an_unknown_mark_is_refused_with_its_name_and_the_remedy() -> None:
    body = b"".join(encode_batch(altered(T, 0), 1).body)
    assert decode_batch(memoryview(body), 0, T) is not None
    unknown = body.replace(b'"altered"', b'"unheard"')
    with pytest.raises(StateError, match=r"'unheard'.*does not support") as refused:
        decode_batch(memoryview(unknown), 0, T)
    assert refused.value.remedy == "Run the newer version that wrote it."
