"""The demo's lake: a folder, or a bucket on a server with S3's protocol that ends with the demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self

from cdc.testing.servers.s3 import REGION, SeaweedServer

BUCKET = "demo"
PREFIX = "shop"


class DemoLake(Protocol):
    """A place for the lake; a context manager."""

    @property
    def options(self) -> Mapping[str, str]:
        """The sink's options that name the place."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that the daemon needs to reach it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def collect(self, folder: Path) -> None:
        """Bring the files to this folder, where they are compared."""
        ...


class FolderLake:
    """The folder `lake` beside the configuration."""

    options: Mapping[str, str] = {"url": "./lake"}
    environment: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def collect(self, folder: Path) -> None:
        """They are there."""


class BucketLake:
    """A bucket on an embedded SeaweedFS."""

    def __init__(self) -> None:
        self._server = SeaweedServer()

    def __enter__(self) -> Self:
        try:
            self._server.start()
            self._server.client().create_bucket(Bucket=BUCKET)
        except BaseException:
            self._server.destroy()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._server.destroy()

    @property
    def options(self) -> Mapping[str, str]:
        place = {"url": f"s3://{BUCKET}/{PREFIX}", "endpoint": self._server.endpoint}
        return {**place, "region": REGION, "addressing": "path"}

    @property
    def environment(self) -> Mapping[str, str]:
        return self._server.environment

    def collect(self, folder: Path) -> None:
        client = self._server.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/")
        for found in (one for page in pages for one in page.get("Contents", ())):
            path = folder / found["Key"].removeprefix(f"{PREFIX}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(BUCKET, found["Key"], str(path))
