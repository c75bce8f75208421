"""Definitions of tables, made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cdc_source_postgres.schema.definition import ColumnDefinition, Definition, Key, Membership, Node, Sent

INT, TEXT, VARCHAR, NUMERIC, ENUM, COMPOSITE = 23, 25, 1043, 1700, 20001, 20002
RELID = 16400


def column(
    number: int, name: str, type_oid: int = INT, version: str = "700", **other: Any
) -> ColumnDefinition:
    values: dict[str, Any] = {
        "typmod": -1,
        "ndims": 0,
        "collation": 0,
        "generated": "",
        "identity": "",
        "not_null": False,
        "missing": None,
        "default_version": "",
    }
    return ColumnDefinition(
        number=number, name=name, type_oid=type_oid, version=version, **{**values, **other}
    )


def node(relid: int = RELID, *, file: int | None = None, **other: Any) -> Node:
    values: dict[str, Any] = {
        "parent": 0,
        "kind": "r",
        "persistence": "p",
        "toast": 0,
        "version": "",
        "bound": "",
    }
    return Node(relid=relid, file=relid if file is None else file, **{**values, **other})


def leaf(relid: int, **other: Any) -> Node:
    return node(relid, **{"parent": RELID, "version": "700", "bound": "b", **other})


def table(*columns: ColumnDefinition, attributes: int | None = None, **other: Any) -> Definition:
    values: dict[str, Any] = {
        "schema": "public",
        "namespace": 2200,
        "name": "t",
        "kind": "r",
        "persistence": "p",
        "identity": "d",
        "ancestors": (),
        "keys": (Key(True, False, True, "16410:700", (1,)),),
        "tree": (node(),),
        "types": {},
    }
    highest = attributes if attributes is not None else max((c.number for c in columns), default=0)
    return Definition(relid=RELID, columns=columns, attributes=highest, **{**values, **other})


def partitioned(*leaves: Node) -> Definition:
    root = node(kind="p", file=0)
    return table(column(1, "id"), kind="p", tree=(root, *leaves))


def sent(**other: Any) -> Sent:
    values: dict[str, Any] = {
        "publication": "900:700",
        "all_tables": False,
        "operations": "iudt",
        "via_root": True,
        "generated": "n",
        "members": {str(RELID): Membership("901:700", None, None, "rest")},
        "schemas": {},
    }
    return Sent(**{**values, **other})


def unlisted(**other: Any) -> Sent:
    return replace(sent(**other), members={}, all_tables=True)
