"""The command `cdc demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cdc.cli.demo.story import run_demo

DEFAULT_FOLDER = Path("demo-data")


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the copies go; an earlier demo there is replaced.")
    ] = DEFAULT_FOLDER,
) -> None:
    """Follow an embedded Postgres into DuckDB and Parquet, kill it once, prove that all is equal."""
    run_demo(folder, Console(highlight=False))
