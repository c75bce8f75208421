"""Writes to ClickHouse: tables that are only inserted into, in which the newest version of a row counts."""

from cdc_sink_clickhouse.sink import ClickHouseSink

__all__ = ["ClickHouseSink"]
