"""A table at one place of the stream: its definition, as the catalog or a DDL message gives it.

Plain values, without a connection. A definition holds all that decides what rows look like and where they
are stored, with the `xmin` ("version") of the catalog rows behind it: whatever was changed, even if it was
changed back, makes two definitions differ.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from operator import attrgetter
from typing import Any, Self

from cdc.model import TableId

# The first characters of a stored definition; a later form gets another number.
_FORM = "1:"


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A live column. `missing` is what rows older than the column have, as an array of one value in the
    server's print; None when they have NULL or their own. `version` and `default_version` are the xmin of its
    pg_attribute and pg_attrdef row.
    """

    number: int
    name: str
    type_oid: int
    typmod: int
    ndims: int
    collation: int
    generated: str
    identity: str
    not_null: bool
    missing: str | None
    version: str
    default_version: str

    @property
    def meaning(self) -> ColumnDefinition:
        """Without what is no part of the column's own DDL: a GRANT moves the version, VACUUM FULL also takes
        the missing value away.
        """
        return replace(self, missing=None, version="", default_version="")


@dataclass(frozen=True, slots=True)
class Key:
    """A primary key or the index of the replica identity: its oid and xmin, and column numbers in its
    order.
    """

    is_primary: bool
    is_identity: bool
    is_immediate: bool
    version: str
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A table of the partition tree; a plain table is the only node of its own. `file` is 0 for one that is
    partitioned itself; `version` is the xmin of the pg_inherits row, `bound` a digest of the partition bound.
    """

    relid: int
    parent: int
    kind: str
    persistence: str
    file: int
    toast: int
    version: str
    bound: str


# `dataclasses.asdict` copies deeply, which thousands of tables would notice.
_COLUMN_VALUES, _KEY_VALUES, _NODE_VALUES = (
    attrgetter(*(each.name for each in fields(kind))) for kind in (ColumnDefinition, Key, Node)
)


@dataclass(frozen=True, slots=True)
class Definition:
    """A table. `attributes` is the highest column number ever used, dropped columns included.

    `identity` is d, n, f or i. `types` gives, for each type of the user's own that a column uses, directly or
    inside of another one, what printed values depend on, by part: an enum's labels by oid, a composite's
    attributes by number, a domain's base. `named` moves with name, schema or owner of the table, or of one
    that it is a partition of.
    """

    relid: int
    schema: str
    namespace: int
    name: str
    kind: str
    persistence: str
    identity: str
    attributes: int
    ancestors: tuple[int, ...]
    columns: tuple[ColumnDefinition, ...]
    keys: tuple[Key, ...]
    tree: tuple[Node, ...]
    types: Mapping[str, Mapping[str, str]]
    named: str = ""

    @property
    def table(self) -> TableId:
        return TableId(self.schema, self.name)

    @property
    def files(self) -> Mapping[int, Node]:
        """The nodes that store rows, by relid."""
        return {node.relid: node for node in self.tree if node.file}

    @property
    def primary_key(self) -> Key | None:
        return next((key for key in self.keys if key.is_primary), None)

    @property
    def identity_columns(self) -> tuple[int, ...]:
        """The numbers of the columns by which the server identifies old rows; empty for full rows or none."""
        for key in self.keys:
            # A deferrable primary key identifies no row in the WAL.
            by_default = self.identity == "d" and key.is_primary and key.is_immediate
            if by_default or (self.identity == "i" and key.is_identity):
                return key.columns
        return ()

    @property
    def row_key(self) -> tuple[int, ...]:
        """The numbers of the columns by which sinks identify rows; empty when all columns do."""
        primary = self.primary_key
        if self.identity == "f" and primary is not None and primary.is_immediate:
            return primary.columns
        return self.identity_columns

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """From the JSON value of `definition_query`."""
        types = document["types"] or {}
        return cls(
            relid=document["relid"],
            schema=document["schema"],
            namespace=document["namespace"],
            name=document["name"],
            kind=document["kind"],
            persistence=document["persistence"],
            identity=document["identity"],
            attributes=document["attributes"],
            ancestors=tuple(document["ancestors"] or ()),
            columns=tuple(ColumnDefinition(*column) for column in document["columns"] or ()),
            keys=tuple(_key(key) for key in document["keys"] or ()),
            tree=tuple(Node(*node) for node in document["tree"]),
            types={oid: {k: _text(v) for k, v in (parts or {}).items()} for oid, parts in types.items()},
            # Event triggers do not send it, and older logs do not have it.
            named=document.get("named") or "",
        )

    def text(self) -> str:
        """For the log's memory: short, and read again by `from_text`."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        values["columns"] = [_COLUMN_VALUES(column) for column in self.columns]
        values["keys"] = [_KEY_VALUES(key) for key in self.keys]
        values["tree"] = [_NODE_VALUES(node) for node in self.tree]
        packed = zlib.compress(json.dumps(values, separators=(",", ":")).encode())
        return _FORM + base64.b85encode(packed).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """ValueError for a text of another form."""
        if not text.startswith(_FORM):
            raise ValueError(text[: len(_FORM)])
        return cls.parse(json.loads(zlib.decompress(base64.b85decode(text.removeprefix(_FORM)))))


@dataclass(frozen=True, slots=True)
class Membership:
    """How a publication lists a table by name: `version` is oid and xmin of the row, `columns` the numbers of
    its column list, `row_filter` and `rest` digests.
    """

    version: str
    columns: str | None
    row_filter: str | None
    rest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationContents:
    """Contents of a publication: `operations` are letters of `iudt`, `members` the tables that it lists, by
    relid, `schemas` the schemas, by oid.
    """

    all_tables: bool
    operations: str
    via_root: bool
    generated: str
    members: Mapping[str, Membership]
    schemas: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(PublicationContents):
    """Part of a publication that concerns one table: a difference in it may mean that changes were not sent.

    `publication` is oid and xmin of the publication; of the members and schemas those are here that list the
    table or a table that it is a partition of.
    """

    publication: str

    @property
    def is_sent(self) -> bool:
        return self.all_tables or bool(self.members or self.schemas)

    @property
    def is_by_schema(self) -> bool:
        """Whether it is sent only because of the schema that it is in."""
        return bool(self.schemas) and not (self.all_tables or self.members)

    def text(self) -> str:
        """For the log's memory."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        values = json.loads(text)
        members = {relid: Membership(**member) for relid, member in values.pop("members").items()}
        return cls(members=members, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationDefinition(PublicationContents):
    """The publication as a whole."""

    oid: int
    version: str

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """From the JSON value of `publication_query`."""
        values = dict(document)
        members = {relid: Membership(*m) for relid, m in (values.pop("members") or {}).items()}
        return cls(members=members, schemas=values.pop("schemas") or {}, **values)

    def sent(self, definition: Definition) -> Sent:
        """Return the part that concerns that table."""
        relids = [str(relid) for relid in (definition.relid, *definition.ancestors)]
        # The schemas of ancestors are not known: with ancestors every schema counts.
        own = str(definition.namespace)
        contents = {each.name: getattr(self, each.name) for each in fields(PublicationContents)}
        contents["members"] = {relid: self.members[relid] for relid in relids if relid in self.members}
        contents["schemas"] = {k: v for k, v in self.schemas.items() if k == own or definition.ancestors}
        return Sent(publication=f"{self.oid}:{self.version}", **contents)


def _key(values: Sequence[Any]) -> Key:
    is_primary, is_identity, is_immediate, version, columns = values
    return Key(is_primary, is_identity, is_immediate, version, tuple(columns))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
