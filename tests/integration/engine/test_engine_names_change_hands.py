"""Names that change hands while a copy is pending or under way: each table starts from its own rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.engine.pacing import Pacing
from cdc.model import Resnapshot, TableSchema
from cdc.spi import SnapshotChunk
from cdc.testing.events import transaction
from tests.integration.engine.conftest import Bench
from tests.integration.engine.test_engine_follows_table_identity import (
    BOTH_IDENTITIES,
    OTHER,
    ROWS,
    ask_to_read_again,
    facts,
    hold_copies,
    let_copies_go,
    ops,
    row,
    wait_for_retry,
)


@pytest.fixture
def pacing() -> Pacing:
    """The catalog is asked often, so that no test waits for it."""
    return Pacing(discover_seconds=0.2)


@BOTH_IDENTITIES
def test_a_table_dropped_before_its_second_copy_and_created_again_loses_its_old_rows(
    bench: Bench, schema: TableSchema
) -> None:
    # GIVEN a table that waits to be read again, its rows in the sink, WHEN it is dropped for a while
    bench.database.create(schema, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    hold_copies(bench)
    ask_to_read_again(bench, schema)
    wait_for_retry(bench, "snapshot:shop")
    bench.database.drop(schema.table)
    bench.database.advance()
    bench.wait_for(lambda: 'table:["public", "t"]' not in facts(bench), "the table to be forgotten")
    let_copies_go(bench)
    # THEN its next life begins with nothing
    bench.database.create(replace(schema, relation=9), [row(7, "second life")])
    bench.wait_until_equal("public.t")


@BOTH_IDENTITIES
def test_names_swapped_while_one_is_copied_begin_anew(bench: Bench, schema: TableSchema) -> None:
    # GIVEN a live table, and another with its first chunks in the log
    other = replace(OTHER, key=schema.key, identity=schema.identity)
    bench.workers = 1
    bench.database.create(other, ROWS[:5])
    bench.start()
    live = '"phase":"live"'
    bench.wait_for(lambda: live in facts(bench).get('table:["public", "other"]', ""), "a live table")
    count = [0]

    def swap_before_the_third(_chunk: SnapshotChunk) -> None:
        count[0] += 1
        if count[0] == 3:
            with bench.database.changed:
                bench.database.rename("public.t", "between")
                renamed = bench.database.rename("public.other", "t")
                bench.database.rename("public.between", "other")
                bench.database.commit([("public.t", "c", row(80)), ("public.other", "c", row(81))])
                ask_to_read_again(bench, renamed)
            # A copy that ended first would leave two live tables, whose swap needs none.
            told = 'table:["public", "other"]'
            bench.wait_for(lambda: '"relation":1' in facts(bench).get(told, ""), "the swap to be captured")

    bench.database.before_read = swap_before_the_third
    # WHEN they swap their names
    bench.database.create(schema, ROWS)
    bench.wait_for(lambda: count[0] >= 3, "the swap in the middle of the copy")
    # THEN each name starts from its own rows
    bench.wait_until_equal("public.t")
    bench.wait_until_equal("public.other")
    assert "t" in ops(bench, "public.other")


@BOTH_IDENTITIES
def test_a_live_table_renamed_in_the_set_that_asks_to_read_it_again_is_equal(
    bench: Bench, schema: TableSchema
) -> None:
    # GIVEN a live table
    bench.database.create(schema, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    # WHEN one set asks for a new copy and holds a change under the table's new name
    with bench.database.changed:
        at = bench.database.now.order
        renamed = bench.database.rename("public.t", "t2")
        bench.database.tables[renamed.table].tuples[3:7] = [None] * 4
        bench.database.tables[renamed.table].tuples.append((at, dict(row(50))))
        request = Resnapshot(schema.table, "its rows were rewritten", schema.relation)
        *parts, last = transaction(at, [(renamed, "c", row(50))])
        bench.database.append(*parts, replace(last, resnapshot=(request,)))
    # THEN the capture goes on, and the copy is the table's
    bench.wait_until_equal("public.t2")
    assert ops(bench, "public.t2")[0] == "t"
    bench.database.commit([("public.t2", "c", row(51))])
    bench.wait_until_equal("public.t2")
    assert not any("operator action needed" in e["event"] for e in bench.events)
