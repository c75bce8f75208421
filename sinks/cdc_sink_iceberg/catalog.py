"""The catalog that the options name, and its errors as ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    ForbiddenError,
    NoSuchTableError,
    RESTError,
    UnauthorizedError,
)
from sqlalchemy.exc import SQLAlchemyError

from cdc.errors import CdcError, SinkRefused, SinkUnavailable
from cdc.lake.layout import escape
from cdc.model import TableId
from cdc_sink_iceberg.durable import DurableFileIO
from cdc_sink_iceberg.options import IcebergOptions

_FILE_IO = f"{DurableFileIO.__module__}.{DurableFileIO.__qualname__}"


def open_catalog(options: IcebergOptions) -> Catalog:
    """Open the catalog; a SQLite file is created."""
    properties = {name: value.get_secret_value() for name, value in options.properties.items()}
    properties |= {"type": options.catalog, "py-io-impl": _FILE_IO}
    uri = options.database if options.catalog == "sql" else options.uri and options.uri.get_secret_value()
    if uri:
        properties["uri"] = uri
    if options.warehouse is not None:
        properties["warehouse"] = warehouse(options)
    if options.sqlite_file is not None:
        options.sqlite_file.parent.mkdir(parents=True, exist_ok=True)
    with quiet():
        return load_catalog(options.catalog_name, **properties)


def warehouse(options: IcebergOptions) -> str:
    """Return the place of the tables, as a catalog takes it."""
    if options.folder is not None:
        return f"file://{options.folder}"
    return (options.warehouse or "").rstrip("/")


def location(options: IcebergOptions, table: TableId) -> str | None:
    """Return the folder of a table; None where the catalog chooses it."""
    if options.catalog == "rest":
        return None
    return f"{warehouse(options)}/{escape(table.schema)}/{escape(table.name)}"


@contextmanager
def quiet() -> Iterator[None]:
    """PyIceberg warns of what its users cannot change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def guard(doing: str, where: str) -> Iterator[None]:
    """Convert errors of the catalog, its database and its files into ours."""
    try:
        with quiet():
            yield
    except CdcError:
        raise
    except (UnauthorizedError, ForbiddenError) as error:
        remedy = "Check the credentials in `properties`, and their grants."
        raise SinkRefused(f"{doing} is not allowed", where=where, remedy=remedy) from error
    except CommitFailedException as error:
        message = f"{doing} met a commit of another writer"
        raise SinkUnavailable(message, where=where, remedy="It is retried automatically.") from error
    except (
        CommitStateUnknownException, NoSuchTableError, RESTError, OSError, SQLAlchemyError,
    ) as error:  # fmt: skip
        message = f"{doing} is not possible ({type(error).__name__})"
        raise SinkUnavailable(message, where=where) from error
