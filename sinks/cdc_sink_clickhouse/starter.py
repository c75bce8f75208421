"""The entry of a configuration made from a URL."""

from __future__ import annotations

from pydantic import SecretStr

from cdc.kit.starter import source_name
from cdc.spi import UrlEntry
from cdc_sink_clickhouse.options import ClickHouseSinkOptions


def from_url(url: str) -> UrlEntry:
    """See `cdc.spi.ReadsUrl`."""
    address = ClickHouseSinkOptions(url=SecretStr(url)).address
    return UrlEntry(source_name(address.host), {"url": url})
