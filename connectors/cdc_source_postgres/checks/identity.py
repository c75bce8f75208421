"""Whether each table's updates and deletes identify their rows: replica identities, keys, partitions unlike
their root.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdc.kit.report import Report, listed
from cdc.kit.selection import exclusion_of
from cdc_source_postgres.schema.tables import Leaf, TableInfo
from cdc_source_postgres.statements import replica_identity_default, replica_identity_full

# From here on a whole old row in every update and delete is worth a word: it doubles what the server writes.
WIDE_COLUMNS = 20


def check_identities(infos: Sequence[TableInfo], report: Report) -> None:
    """One finding a table that has something to say; one for all that are fine."""
    before = len(report.findings)
    for info in infos:
        for leaf in info.leaves:
            if leaf.replica_identity != "f" and not leaf.has_identity:
                _report_missing(info, leaf, report)
        if info.replica_identity == "f":
            _report_full(info, report)
        _check_leaves(info, report)
    if len(report.findings) == before:
        report.ok("replica-identity", "every selected table has a key or replica identity")


def _report_missing(info: TableInfo, leaf: Leaf, report: Report) -> None:
    message = (
        f"{leaf.table} {_reason(info, leaf)}: once it is published, its application's updates and"
        " deletes fail"
    )
    identified = (
        f"{replica_identity_default(leaf.table)}; or"
        if info.immediate_pk
        else f"{replica_identity_full(leaf.table)}; or give it a primary key, or"
    )
    fix = f"{identified} exclude it: {exclusion_of(info.table)}"
    report.error("replica-identity", message, fix)


def _reason(info: TableInfo, leaf: Leaf) -> str:
    if leaf.replica_identity == "n":
        return "has REPLICA IDENTITY NOTHING"
    if leaf.replica_identity == "i":
        return "has lost the index of its REPLICA IDENTITY"
    if info.pk:
        return "has only a deferrable primary key, which is no replica identity"
    return "has no primary key and no replica identity"


def _report_full(info: TableInfo, report: Report) -> None:
    if not info.immediate_pk:
        report.warn(
            "no-key",
            f"{info.table} has {'only a deferrable' if info.pk else 'no'} primary key: a mirror identifies"
            " rows by all their values, and counts equal rows",
            "Make the primary key not deferrable if the application allows it."
            if info.pk
            else "If its rows have a unique key, declare it as the primary key.",
        )
    elif len(info.columns) >= WIDE_COLUMNS:
        report.ok(
            "replica-identity-full",
            f"{info.table} has a primary key and REPLICA IDENTITY FULL: each update and delete"
            f" writes all {len(info.columns)}"
            " columns of the old row",
            f"If the old values are not needed: {replica_identity_default(info.table)};",
        )


def _check_leaves(info: TableInfo, report: Report) -> None:
    """The stream describes a partition's rows by the root's identity, while the partition's own decides what
    is written.
    """
    if not info.is_partitioned:
        return
    other = [
        leaf for leaf in info.leaves if leaf.replica_identity != info.replica_identity and leaf.has_identity
    ]
    other += [leaf for leaf in info.leaves if leaf.replica_identity == "f" != info.replica_identity]
    if other:
        word = "full" if info.replica_identity == "f" else "default"
        statement = replica_identity_full if word == "full" else replica_identity_default
        message = (
            f"partitions of {info.table} have another replica identity than the table itself:"
            f" {listed([p.table for p in other])}"
        )
        fix = " ".join(f"{statement(leaf.table)};" for leaf in other)
        report.warn("partition-identity", message, fix)
