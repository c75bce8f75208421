"""The entry that `cdc init` writes for a Parquet sink."""

from __future__ import annotations

from collections.abc import Collection

from cdc.kit.urls import local_path
from cdc.lake.s3_options import SCHEME
from cdc.spi import UrlEntry

URL_SCHEMES = ("parquet", SCHEME)
URL_SHAPE = "parquet:///lake, or s3://BUCKET/PREFIX"


def entry(source: str, schemas: Collection[str]) -> list[str]:
    """See `WritesSinkStarter.starter`."""
    del schemas
    return [
        "lake:",
        "  type: parquet",
        f"  from: [{source}]",
        "  url: ./lake                   # every change, as files that anything reads; or s3://BUCKET/PREFIX",
        "  flush: {interval: 30s}        # each flush writes a file per table; many small files",
        "                                # are slow to read, so a lake waits longer than a mirror",
    ]


def from_url(url: str) -> UrlEntry:
    """See `cdc.spi.ReadsUrl`."""
    if url.lower().startswith(f"{SCHEME}://"):
        return UrlEntry("parquet", {"url": url})
    return UrlEntry("parquet", {"url": local_path(url, URL_SHAPE)})
