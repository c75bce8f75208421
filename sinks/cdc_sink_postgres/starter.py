"""The entry of a configuration made from a URL."""

from __future__ import annotations

from pydantic import SecretStr

from cdc.kit.starter import source_name
from cdc.spi import UrlEntry
from cdc_sink_postgres.options import PostgresSinkOptions


def from_url(url: str) -> UrlEntry:
    """See `cdc.spi.ReadsUrl`."""
    settings = PostgresSinkOptions(url=SecretStr(url)).settings
    return UrlEntry(source_name(settings.get("dbname") or settings["service"]), {"url": url})
