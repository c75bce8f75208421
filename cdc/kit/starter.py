"""The text of a starter configuration, as `cdc init` writes it: the same for every kind of source.

The connector adds what it has seen: the tables, and notes on them. Each installed sink may add an entry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from cdc.errors import CdcError, ConfigError, PluginError, SourceUnavailable
from cdc.kit.report import counted
from cdc.kit.selection import quoted_part
from cdc.model import TableId, printable
from cdc.spi import Finding, WritesSinkStarter, registry

# The comments are aligned where the entries are shorter than this.
COMMENT_COLUMN = 34
# The longest name that a configuration takes.
NAME_CHARACTERS = 48


class _Seen(Protocol):
    @property
    def table(self) -> TableId: ...


SeenT = TypeVar("SeenT", bound=_Seen)


@dataclass(frozen=True, slots=True)
class Starter:
    """A source named `name`, of the type `connector`, written from `origin`. `shown_url` has no password;
    `tables` are lines of the list, `schemas` the names of the schemas (or databases) that have tables,
    `options` lines of the source's other options.
    """

    name: str
    connector: str
    origin: str
    shown_url: str
    tables: Iterable[str]
    schemas: Iterable[str] = ()
    options: Iterable[str] = ()

    def text(self) -> str:
        """Return the whole file, comments included; the url itself comes from the environment."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        variable = re.sub(r"[^A-Z0-9]+", "_", self.name.upper()) + "_URL"
        yield f"# Written by cdc init from the {printable(self.origin)}."
        yield f"# {variable} holds the URL: {printable(self.shown_url)}"
        yield "# Next: cdc check && cdc run"
        yield "state_dir: ./cdc-data"
        yield "sources:"
        yield f"  {self.name}:"
        yield f"    type: {self.connector}"
        yield f"    url: ${{{variable}}}"
        yield "    tables:"
        yield from self.tables
        yield from self.options
        yield "sinks:"
        yield from (f"  {line}" for line in self._sinks())

    def _sinks(self) -> Iterator[str]:
        """Yield the entries that the installed sinks suggest; skip a sink whose extra is missing."""
        for plugin in registry.installed("cdc.sinks"):
            with suppress(PluginError):
                sink = registry.load("cdc.sinks", plugin.name)
                if isinstance(sink, WritesSinkStarter):
                    yield from sink.starter(self.name, list(self.schemas))


def unusable_url(error: ValueError, shape: str, where: str = "cdc init") -> ConfigError:
    """Return the error for a URL that the options refused; `shape` is an example of a URL."""
    reason: object = error
    if isinstance(error, ValidationError):
        detail = error.errors()[0]
        reason = detail.get("ctx", {}).get("error") or detail["msg"]
    remedy = getattr(reason, "remedy", "") or f"Give the URL as {shape}"
    return ConfigError(str(reason), where=where, remedy=remedy)


@contextmanager
def usable_url(shape: str) -> Iterator[None]:
    """Turn what the options say of a URL inside the block into the error of `cdc init`."""
    try:
        yield
    except ValueError as error:
        raise unusable_url(error, shape) from error


@contextmanager
def looking_once(explain: Callable[[CdcError], Finding]) -> Iterator[None]:
    """Give an error of the block the fix that `cdc check` has for it: nobody tries again here."""
    try:
        yield
    except SourceUnavailable as error:
        raise SourceUnavailable(error.message, where=error.where, remedy=explain(error).fix) from error


def url_without_password(scheme: str, user: str, host: str, port: int | str, database: str) -> str:
    """Return the URL to show; without a user or host it has a form that is not worth showing."""
    if not user or not host:
        return "the url given to cdc init"
    return f"{scheme}://{quote(user, safe='')}:...@{host}:{port}/{quote(database, safe='')}"


def source_name(shown: str) -> str:
    """Return a name for a source whose database, or host, is called so."""
    name = re.sub(r"[^a-z0-9_]+", "_", shown.lower()).strip("_") or "source"
    return (name if name[0].isalpha() else f"source_{name}")[:NAME_CHARACTERS]


def table_lines(
    seen: Iterable[SeenT], rows: Callable[[SeenT], int | None], notes: Callable[[SeenT], Iterator[str]]
) -> Iterator[str]:
    """Yield an entry for each schema of the tables seen, with the lines that `notes` has of its tables.

    `rows` gives the server's estimate, or None for a table whose size the server does not know.
    """
    schemas: dict[str, list[SeenT]] = {}
    for table in seen:
        schemas.setdefault(table.table.schema, []).append(table)
    for schema, tables in schemas.items():
        yield entry(f"{quoted_part(schema)}.*", _sizes([rows(table) for table in tables]))
        for table in tables:
            yield from notes(table)


def _sizes(rows: list[int | None]) -> str:
    """`3 tables, about 12,000 rows`, and how many of them the server has no estimate of."""
    tables, known = counted(len(rows), "table"), [count for count in rows if count is not None]
    if not known:
        return f"{tables}, row count unknown (no statistics)"
    unknown = len(rows) - len(known)
    if unknown and not sum(known):
        return f"{tables}, {len(known):,} without rows, row count of {unknown:,} unknown (no statistics)"
    about = f"about {counted(_rounded(sum(known)), 'row')}" if sum(known) else "no rows"
    return f"{tables}, {about}" + (
        f" in {len(known):,}, unknown in {unknown:,} (no statistics)" if unknown else ""
    )


def _rounded(count: int) -> int:
    """Return an estimate with two significant digits: the server knows no more."""
    return round(count, min(0, 2 - len(str(count))))


def entry(pattern: str, comment: str) -> str:
    """Return a line of the list of tables."""
    text = f"      - {json.dumps(pattern, ensure_ascii=not pattern.isprintable())}"
    comment = " ".join(comment.split())
    return f"{text:<{COMMENT_COLUMN}}# {comment}" if len(text) < COMMENT_COLUMN else f"{text}  # {comment}"


def option(key: str, value: str, comment: str) -> str:
    """Return a line with an option of the source."""
    return f"{f'    {key}: {value}':<{COMMENT_COLUMN}}# {comment}"


def note(comment: str) -> str:
    """Return a remark to put below its entry."""
    return f"      # {comment}"
