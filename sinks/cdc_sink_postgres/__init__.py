"""The Postgres sink: a database as mirror, changelog or history of the source."""

from cdc_sink_postgres.sink import PostgresSink

__all__ = ["PostgresSink"]
