"""The Iceberg sink: tables of an Iceberg catalog."""

from cdc_sink_iceberg.sink import IcebergSink

__all__ = ["IcebergSink"]
