"""The findings of `cdc check` on an Iceberg sink: it tries what the sink does, with an object of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from pyiceberg.catalog import Catalog

from cdc.errors import CdcError
from cdc.lake.completeness import Aside
from cdc.spi import Finding, Severity
from cdc_sink_iceberg.catalog import guard, open_catalog, warehouse
from cdc_sink_iceberg.control import NAMESPACE, PREFIX, read_state
from cdc_sink_iceberg.options import IcebergOptions


def findings(options: IcebergOptions, where: str, docs: str) -> Sequence[Finding]:
    """Return the findings; create nothing that stays."""
    file = options.sqlite_file
    if file is not None and not file.exists():
        return [_new_folder(file.parent, docs)]
    try:
        with guard("reaching the catalog", where):
            catalog = open_catalog(options)
            try:
                catalog.list_namespaces()
                if options.catalog != "rest":
                    _try_files(catalog, options)
                aside = _aside(catalog, where)
            finally:
                catalog.close()
    except CdcError as error:
        return [Finding(Severity.ERROR, "catalog", str(error), error.remedy, docs)]
    # A REST catalog says where a table's files are only when the table is made.
    done = "answers" if options.catalog == "rest" else "answers, and its warehouse can be written"
    found = Finding(Severity.OK, "catalog", f"{where} {done}")
    return [found, *(one.details.finding(docs) for one in aside)]


def _new_folder(folder: Path, docs: str) -> Finding:
    there = folder
    while not there.exists():
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding(Severity.OK, "catalog", f"{folder} can be created")
    return Finding(Severity.ERROR, "catalog", f"{there} cannot be written", f"chmod u+rwx {there}", docs)


def _try_files(catalog: Catalog, options: IcebergOptions) -> None:
    path = f"{warehouse(options)}/cdc-check-{secrets.token_hex(4)}"
    io = catalog._load_file_io({}, path)
    with io.new_output(path).create() as file:
        file.write(b"check")
    io.delete(path)


def _aside(catalog: Catalog, where: str) -> list[Aside]:
    """The tables that any source has set aside."""
    if (NAMESPACE,) not in catalog.list_namespaces():
        return []
    sources = [name.removeprefix(PREFIX) for _, name in catalog.list_tables((NAMESPACE,))]
    return [one for source in sources for one in read_state(catalog, source, where)[1].aside]
