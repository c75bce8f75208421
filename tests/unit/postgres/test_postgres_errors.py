from __future__ import annotations

import pytest

from cdc.errors import CdcError, SourceBusy, SourceGap, SourceRefused, SourceUnavailable
from cdc_source_postgres import errors

WHERE = "sources.shop"
GONE = "Copy all tables again, or drop the slot and start with an empty state_dir and new, empty sinks."


@pytest.mark.parametrize(
    ("state", "message", "kind"),
    [
        ("42501", "Berechtigung nur für Superuser", SourceRefused),
        ("08006", "connection failure", SourceUnavailable),
        ("08P01", "unsupported startup parameter: replication", SourceRefused),
        ("28P01", "password authentication failed", SourceRefused),
        ("28000", "no pg_hba.conf entry", SourceRefused),
        ("3D000", "database does not exist", SourceRefused),
        ("40001", "could not serialize access", SourceUnavailable),
        ("42501", "permission denied for table t", SourceRefused),
        ("42704", 'role "r" does not exist', SourceRefused),
        ("42P01", 'relation "t" does not exist', SourceUnavailable),
        ("53300", "too many connections", SourceUnavailable),
        ("53400", "all replication slots are in use", SourceRefused),
        ("55000", 'logical decoding requires "wal_level" >= "logical"', SourceRefused),
        ("55000", "logische Dekodierung erfordert wal_level >= logical", SourceRefused),
        ("55006", 'replication slot "s" is active for PID 7', SourceBusy),
        ("55P03", "canceling statement due to lock timeout", SourceUnavailable),
        ("57P01", "terminating connection due to administrator command", SourceUnavailable),
        ("58P01", "requested WAL segment has already been removed", SourceGap),
        ("XX000", "invalid memory alloc request size 1080000003", SourceRefused),
        ("XX000", 'could not map filenumber "base/16384/18557" to relation OID', SourceGap),
        ("XX000", 'could not map filenode "base/16384/18557" to relation OID', SourceGap),
        ("XX000", "cache lookup failed for relation 18557", SourceRefused),
        ("ZZ999", "what nobody thought of", SourceRefused),
    ],
)
def test_state_decides_the_kind(state: str, message: str, kind: type[CdcError]) -> None:
    error = errors.translate_state(state, message, WHERE, "reading")
    assert type(error) is kind
    assert error.message == f"reading: {message} (SQLSTATE {state})"
    assert error.remedy


@pytest.mark.parametrize(
    ("state", "function", "kind"),
    [
        ("42704", "ReplicationSlotAcquire", SourceGap),
        ("42704", "get_publication_oid", SourceGap),
        ("42704", "get_role_oid", SourceRefused),
        ("55000", "StartLogicalReplication", SourceGap),
        ("55000", "CreateDecodingContext", SourceGap),
        ("55000", "RaiseSlotInvalidationError", SourceGap),
        ("55000", "ExecRefreshMatView", SourceRefused),
    ],
)
def test_function_decides_where_a_state_has_several_meanings(
    state: str, function: str, kind: type[CdcError]
) -> None:
    error = errors.translate_state(state, "in irgendeiner Sprache", WHERE, "reading", function=function)
    assert type(error) is kind


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("22P02", "the server refused a value"),
        ("23505", "the server refused a value"),
        ("P0001", "a function in the database raised an error"),
        ("P0004", "a function in the database raised an error"),
    ],
)
def test_states_that_quote_data_lose_the_servers_words(state: str, said: str) -> None:
    error = errors.translate_state(state, 'invalid input syntax: "a customer\'s name"', WHERE)
    assert str(error).startswith(f"sources.shop: {said} (SQLSTATE {state})")
    assert "customer" not in str(error)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            errors.slot_missing(WHERE, "cdc_shop"),
            SourceGap,
            f"sources.shop: the replication slot 'cdc_shop' no longer exists. {GONE}",
        ),
        (
            errors.slot_lost(WHERE, "cdc_shop", "wal_removed"),
            SourceGap,
            f"sources.shop: the replication slot 'cdc_shop' is invalidated (wal_removed). {GONE}",
        ),
        (
            errors.slot_ahead(WHERE, "cdc_shop", "0/10", "0/20"),
            SourceGap,
            "sources.shop: the replication slot 'cdc_shop' is at 0/20, past the end of our log at 0/10."
            f" The changes between them are lost. {GONE}",
        ),
        (
            errors.slot_taken(WHERE, "cdc_shop", 77, "other"),
            SourceBusy,
            "sources.shop: the replication slot 'cdc_shop' is in use by process 77 (other). Stop"
            " it, or on the server:"
            " select pg_terminate_backend(77);",
        ),
        (
            errors.slot_foreign(WHERE, "cdc_shop", "the plugin wal2json", "pgoutput"),
            SourceRefused,
            "sources.shop: the replication slot 'cdc_shop' is of the plugin wal2json, expected"
            " pgoutput. Set slot: to"
            " another name, or on the server: select pg_drop_replication_slot('cdc_shop');",
        ),
        (
            errors.publication_dropped(WHERE, "cdc_shop"),
            SourceGap,
            "sources.shop: the publication 'cdc_shop' was dropped; changes made since then are not"
            " in the stream."
            f" {GONE}",
        ),
        (
            errors.publication_missing(WHERE, "cdc_shop", "create publication cdc_shop for table public.t"),
            SourceRefused,
            "sources.shop: the publication 'cdc_shop' does not exist. Run: create publication"
            " cdc_shop for table"
            " public.t;",
        ),
    ],
)
def test_runtime_error_says_exactly_what_to_do(error: CdcError, kind: type[CdcError], text: str) -> None:
    assert type(error) is kind
    assert str(error) == text
