"""Transforms in a running engine: rows are captured alike whichever way they come; new rules are noticed."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from cdc import failpoints
from cdc.engine import Outcome
from cdc.engine.pacing import Pacing
from cdc.errors import SourceGap, UnsupportedSchema
from cdc.model import ChangeSet
from cdc.testing.events import position
from tests.integration.engine.conftest import Bench, _canonical
from tests.integration.engine.test_engine_survives_crashes import KEYLESS, ORDERS, CrashAt, Writer

KEY = b"0f" * 32
HASHED = [
    {
        "table": "public.orders",
        "mask": {"id": "hash", "NOTE": {"truncate": 3}},
        "rename": {"big": "large"},
        "route": "raw.{schema}_{table}",
    },
    {"table": "public.keyless", "where": "id <> 3", "mask": {"note": "hash"}},
]


@pytest.fixture
def pacing() -> Pacing:
    """The catalog is asked often, so that no test waits for it."""
    return Pacing(discover_seconds=0.2)


def hashed(value: Any, key: bytes = KEY) -> str | None:
    return None if value is None else hmac.new(key, str(value).encode(), hashlib.sha256).hexdigest()


def orders(bench: Bench, key: bytes = KEY) -> list[dict[str, Any]]:
    return [
        {"id": hashed(row["id"], key), "note": row["note"][:3], "large": row["big"]}
        for row in bench.database.rows("public.orders")
    ]


def keyless(bench: Bench) -> list[dict[str, Any]]:
    rows = bench.database.rows("public.keyless")
    return [{"id": row["id"], "note": hashed(row["note"])} for row in rows if row["id"] != 3]


def is_equal(bench: Bench, name: str, expected: list[dict[str, Any]]) -> bool:
    return _canonical(bench.store.state(name)) == _canonical(expected)


def filled(bench: Bench, *, rows: int = 45) -> None:
    bench.database.create(ORDERS, [{"id": i, "note": f"old{i}", "big": f"b{i}"} for i in range(rows)])
    bench.database.create(KEYLESS, [{"id": i % 5, "note": "same"} for i in range(rows)])


def wait_until_equal(bench: Bench) -> None:
    bench.wait_for(lambda: is_equal(bench, "raw.public_orders", orders(bench)), "orders to be equal")
    bench.wait_for(lambda: is_equal(bench, "public.keyless", keyless(bench)), "keyless to be equal")


def remember(bench: Bench, text: str) -> None:
    """Have the source keep a text in the log."""
    after = position(bench.database.now.order + 1)
    bench.database.append(ChangeSet((), after, memory={"fact": text}))


def stop(bench: Bench) -> None:
    assert bench.running is not None
    bench.running.stop()


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_transformed_alike_in_copies_stream_and_buffers(bench: Bench, seed: int) -> None:
    filled(bench, rows=200)
    bench.transforms = HASHED
    writer = Writer(bench, seed)
    with writer.writing():
        bench.start()
        number = _requested(bench, "raw.public_orders", "public.keyless")
        assert bench.wait_until_done(number) is None
    wait_until_equal(bench)
    assert not bench.status().outdated


def test_a_crash_in_a_copy_and_new_rules_leave_no_row_of_the_old_rules(bench: Bench) -> None:
    filled(bench, rows=100)
    bench.transforms = HASHED
    crash = CrashAt("snapshot.rows-durable", 4)
    with failpoints.watched(crash.hit):
        bench.start()
        assert crash.crashed.wait(60)
        stop(bench)
    bench.transforms = [{**HASHED[0], "mask": {"id": "hash", "note": "redact"}}, HASHED[1]]
    bench.start()
    expected = [{**row, "note": "REDACTED"} for row in orders(bench)]
    bench.wait_for(lambda: is_equal(bench, "raw.public_orders", expected), "the new rules")
    assert not bench.status().outdated


def test_a_changed_mask_is_said_until_the_table_is_copied_again(bench: Bench) -> None:
    filled(bench)
    bench.transforms = HASHED
    bench.start()
    wait_until_equal(bench)
    stop(bench)
    bench.events.clear()
    bench.transforms = [{**HASHED[0], "mask": {"id": "hash", "note": "redact"}}, HASHED[1]]
    bench.start()
    bench.wait_for(lambda: bench.status().state == "streaming", "the stream")
    assert bench.status().outdated == ["raw.public_orders"]
    [warning] = [event for event in bench.events if "transforms of a table have changed" in event["event"]]
    assert warning["changed"] == ["mask of note"]
    assert warning["remedy"] == "cdc snapshot shop raw.public_orders"
    assert not is_equal(bench, "raw.public_orders", [{**row, "note": "REDACTED"} for row in orders(bench)])
    assert bench.wait_until_done(bench.request("raw.public_orders")) is None
    expected = [{**row, "note": "REDACTED"} for row in orders(bench)]
    bench.wait_for(lambda: is_equal(bench, "raw.public_orders", expected), "the new mask")
    bench.wait_for(lambda: bench.status().outdated == [], "the warning to end")


def test_a_key_that_is_masked_differently_has_its_table_copied_again(bench: Bench) -> None:
    filled(bench)
    bench.transforms = HASHED
    bench.start()
    wait_until_equal(bench)
    stop(bench)
    bench.mask_key = b"another key " * 3
    bench.start()
    bench.wait_for(
        lambda: is_equal(bench, "raw.public_orders", orders(bench, bench.mask_key)), "the new hashes"
    )
    bench.database.commit([("public.orders", "d", {"id": 7}, None, ["note", "big"])])
    bench.wait_for(
        lambda: is_equal(bench, "raw.public_orders", orders(bench, bench.mask_key)), "the deletion of a row"
    )
    assert bench.status().outdated == ["public.keyless"]


def test_a_row_that_may_have_entered_the_filter_without_all_values_has_its_table_copied(bench: Bench) -> None:
    filled(bench)
    bench.transforms = [{"table": "public.orders", "where": "note <> 'old3'"}]
    bench.start()
    bench.wait_for(lambda: len(bench.store.state("public.orders")) == 44, "the copy")
    bench.database.commit([("public.orders", "u", {"id": 3, "note": "new"}, None, ["big"])])
    bench.wait_until_equal("public.orders")
    assert any("copying table again" in event["event"] for event in bench.events)


def test_columns_that_never_change_need_no_old_values(bench: Bench) -> None:
    filled(bench)
    bench.transforms = [{"table": "public.orders", "where": "big <> 'b3' and id < 40", "where_fixed": True}]
    bench.start()
    bench.wait_for(lambda: len(bench.store.state("public.orders")) == 39, "the copy")
    bench.database.commit(
        [
            ("public.orders", "u", {"id": 4, "note": "new", "big": "b4"}),
            ("public.orders", "u", {"id": 3, "note": "new", "big": "b3"}),
            ("public.orders", "d", {"id": 5}, None, ["note", "big"]),
        ]
    )
    expected = [row for row in bench.database.rows("public.orders") if row["id"] not in (3, *range(40, 45))]
    bench.wait_for(lambda: is_equal(bench, "public.orders", expected), "the changes")
    assert [row["_cdc_op"] for row in bench.store.rows("public.orders")][-2:] == ["u", "d"]
    assert not any("copying table again" in event["event"] for event in bench.events)


def test_another_key_can_not_read_the_source_state(bench: Bench) -> None:
    filled(bench)
    bench.transforms = HASHED
    bench.start()
    wait_until_equal(bench)
    remember(bench, "email text default 'a@b.c'")
    bench.wait_for(lambda: "memory:fact" in _metadata(bench), "the source state")
    assert _metadata(bench)["memory:fact"].startswith("sealed:")
    stop(bench)
    changes: list[dict[str, Any]] = [{"mask_key": b"another key " * 3}, {"transforms": []}]
    for change in changes:
        before = {name: getattr(bench, name) for name in change}
        for name, value in change.items():
            setattr(bench, name, value)
        result = bench.start(once=True).join()
        assert result.outcome is Outcome.FAILED
        [error] = [error for error in result.errors.values() if isinstance(error, SourceGap)]
        assert "mask_key" in error.where
        assert "a@b.c" not in repr(bench.events)
        for name, value in before.items():
            setattr(bench, name, value)
    bench.mask_key, bench.on_gap = b"another key " * 3, "resnapshot"
    bench.start()
    bench.wait_for(
        lambda: is_equal(bench, "raw.public_orders", orders(bench, bench.mask_key)),
        "copies under the new key",
    )
    bench.wait_for(lambda: "memory:fact" not in _metadata(bench), "the old source state to go")


def test_a_state_from_before_the_masks_is_encrypted_at_the_next_start(bench: Bench) -> None:
    filled(bench)
    bench.start()
    bench.wait_until_equal("public.orders")
    remember(bench, "plain")
    bench.wait_for(lambda: _metadata(bench).get("memory:fact") == "plain", "the source state")
    stop(bench)
    bench.transforms = [HASHED[1]]
    bench.start()
    bench.wait_for(lambda: _metadata(bench)["memory:fact"].startswith("sealed:"), "the encryption")


@pytest.mark.parametrize(
    "entry",
    [
        {"table": "public.orders", "mask": {"id": "drop"}},
        {"table": "public.orders", "mask": {"id": "redact"}},
        {"table": "public.orders", "columns": {"include": ["note"]}},
        {"table": "public.orders", "mask": {"big": {"truncate": "year"}}},
        {"table": "public.orders", "rename": {"note": "big"}},
        {"table": "public.orders", "rename": {"note": "_cdc_op"}},
        {"table": "public.orders", "where": "missing = 1"},
        {"table": "public.orders", "where": "note = 1"},
        {"table": "public.orders", "route": "public.keyless"},
    ],
    ids=str,
)
def test_a_table_that_a_rule_does_not_fit_is_skipped_and_the_others_go_on(
    bench: Bench, entry: dict[str, Any]
) -> None:
    filled(bench)
    bench.transforms = [entry]
    result = bench.start(once=True).join()
    assert result.outcome is Outcome.FAILED
    errors = list(result.errors.values())
    assert errors
    assert all(isinstance(error, UnsupportedSchema) for error in errors)
    if "route" not in entry:
        assert [row["id"] for row in bench.store.state("public.keyless")]
        assert not bench.store.rows("public.orders")
        assert "sources.shop.transforms[0]" in str(errors[0])
        skipped = [one for one in bench.events if one["event"].startswith("skipping a table")]
        assert all(one["where"].startswith("sources.shop.transforms[0]") for one in skipped)
        assert skipped


def test_a_table_that_is_routed_elsewhere_is_copied_under_its_new_name(bench: Bench) -> None:
    filled(bench)
    bench.start()
    bench.wait_until_equal("public.orders")
    stop(bench)
    bench.transforms = [{"table": "public.*", "route": "{schema}_raw.{table}"}]
    bench.start()
    expected = bench.database.rows("public.orders")
    bench.wait_for(lambda: is_equal(bench, "public_raw.orders", expected), "the new name")
    stop(bench)
    rows = len(bench.store.rows("public_raw.orders"))
    bench.start(once=True).join()
    assert len(bench.store.rows("public_raw.orders")) == rows


def test_a_source_rename_keeps_a_fixed_name(bench: Bench) -> None:
    filled(bench)
    bench.transforms = [{"table": ["public.orders", "public.orders_old"], "route": "raw.{table}"}]
    bench.start()
    bench.wait_for(lambda: len(bench.store.state("raw.orders")) == 45, "the copy")
    bench.database.rename("public.orders", "orders_old")
    bench.database.commit([("public.orders_old", "c", {"id": 900, "note": "n", "big": "b"})])
    bench.wait_for(lambda: len(bench.store.rows("raw.orders_old")) >= 1, "the renamed table")
    assert bench.store.rows("raw.orders_old")[-1]["id"] == 900


def _requested(bench: Bench, *tables: str) -> int:
    bench.wait_for(lambda: bench.status().state == "streaming", "the stream")
    return bench.request(*tables)


def _metadata(bench: Bench) -> dict[str, str]:
    assert bench.running is not None
    return dict(bench.running.engine.pipelines.captures["shop"].log.metadata)
