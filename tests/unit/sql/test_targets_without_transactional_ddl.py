"""A target whose schema changes commit by themselves is refused before it holds a row."""

from dataclasses import replace

import pytest

from cdc.sql.sink import SqlSink


def test_a_sql_sink_without_transactional_ddl_is_refused_when_it_is_defined() -> None:
    capabilities = replace(SqlSink.capabilities, transactional_ddl=False)
    with pytest.raises(TypeError, match=r"Small declares transactional_ddl=False.*Implement cdc\.spi\.Sink"):
        type("Small", (SqlSink,), {"capabilities": capabilities})
