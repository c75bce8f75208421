"""The history of definitions: how it reads a Relation message, and when it asks for a copy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_source_postgres.options import select
from cdc_source_postgres.schema.catalog_looks import Look, Seen
from cdc_source_postgres.schema.definition import Definition
from cdc_source_postgres.schema.history import LEGACY, OUTSIDE, REKEYED, UNPROVEN, History
from cdc_source_postgres.schema.history_entries import Place
from cdc_source_postgres.schema.shapes import UNKNOWN_ATTNUM
from cdc_source_postgres.schema.steps import UNNAMED
from cdc_source_postgres.wire.messages import Relation, RelationColumn
from tests.support.postgres.definitions import INT, RELID, TEXT, column, sent, table

BASE = table(column(1, "id"), column(2, "a", TEXT), column(3, "b", TEXT))
RENAMED = table(column(1, "id"), column(2, "b", TEXT, "701"), column(3, "a", TEXT, "701"))
RETYPED = table(column(1, "id"), column(2, "a", TEXT), column(3, "b", INT, "701"))


def look(number: int, running: str = "") -> Look:
    """A look that contains the transactions with a smaller number, but for those that were running."""
    oldest = min([int(xid) for xid in running.split(",") if xid] + [number])
    return Look.of(number * 100, f"{oldest}:{number}:{running}")


def place(number: int) -> Place:
    """The transaction of that number, which commits at a hundred times it."""
    return Place(number, number * 100)


def seen(definition: Definition, number: int, running: str = "") -> Seen:
    return Seen(look(number, running), definition, sent())


def message(definition: Definition, *names: str, name: str = "t") -> Relation:
    """What the stream shows of that definition, under other names of its columns if given."""
    shown = zip(names or [c.name for c in definition.columns], definition.columns, strict=False)
    columns = tuple(RelationColumn(int(c.number == 1), n, c.type_oid, c.typmod) for n, c in shown)
    return Relation(RELID, "public", name, "d", columns)


def history(*found: Seen) -> History:
    made = History(select(["public.*", "!public.hidden"]))
    made.restore({})
    for one in found:
        made.observe(one)
    made.delivered(made.news())
    return made


def numbers(found: History, shown: Relation, at: int) -> list[int]:
    meaning = found.meaning(shown, place(at))
    assert meaning is not None
    return list(meaning.numbers)


def reasons(found: History) -> list[str]:
    return [stale.reason for stale in found.news().stale]


@pytest.mark.parametrize(
    ("xid", "commit_lsn", "is_contained"),
    [(9, 900, True), (10, 1000, False), (11, 1100, False), (7, 990, False), (8, 990, True), (9, 2000, False)],
    ids=["before", "the next", "later", "still running", "over", "commits behind it"],
)
def test_a_look_contains_what_was_over_when_it_was_taken(
    xid: int, commit_lsn: int, is_contained: bool
) -> None:
    assert look(10, "7").contains(xid, commit_lsn) == is_contained


def test_a_look_knows_transactions_of_the_epoch_before_and_after() -> None:
    epoch = 1 << 32
    found = Look.of(100, f"{5 * epoch + 3}:{5 * epoch + 10}:")
    assert found.contains(epoch - 1, 50)
    assert found.contains(4, 50)
    assert not found.contains(12, 50)
    assert Look.from_text(found.text()).contains(4, 50)


def test_a_message_is_read_by_the_definition_of_its_own_time() -> None:
    found = history(seen(BASE, 10), seen(BASE, 20), seen(RENAMED, 30), seen(RENAMED, 40))
    assert numbers(found, message(BASE), 15) == [1, 2, 3]
    assert numbers(found, message(RENAMED), 35) == [1, 2, 3]
    # Between the two looks names may have changed hands any way: the place counts.
    assert numbers(found, message(BASE, "id", "x", "b"), 25) == [1, 2, 3]
    assert reasons(found) == []


def test_a_message_behind_every_look_wants_a_new_one() -> None:
    found = history(seen(BASE, 10), seen(BASE, 20))
    assert found.meaning(message(BASE), place(25)) is None
    found.confirm([RELID], look(30))
    assert numbers(found, message(BASE), 25) == [1, 2, 3]


def test_a_message_that_fits_no_definition_asks_for_a_copy_once() -> None:
    found = history(seen(BASE, 10), seen(BASE, 20))
    assert numbers(found, message(RETYPED), 15) == [1, 2, UNKNOWN_ATTNUM]
    assert reasons(found) == [UNPROVEN]
    found.delivered(found.news())
    numbers(found, message(RETYPED), 16)
    assert reasons(found) == []


def test_a_transaction_that_no_look_can_see_yet_is_read_by_the_newest_definition() -> None:
    found = history(seen(BASE, 10), seen(BASE, 20, running="15"))
    assert found.meaning(message(BASE), place(15)) is None
    assert list(found.meaning_unseen(message(BASE), place(15)).numbers) == [1, 2, 3]
    assert reasons(found) == []
    found.meaning_unseen(message(RETYPED), place(15))
    assert reasons(found) == [UNPROVEN]


def test_a_stale_table_is_asked_for_once_and_what_came_before_counts_as_copied() -> None:
    found = history(seen(BASE, 10))
    found.observe(seen(RETYPED, 20))
    assert len(reasons(found)) == 1
    found.delivered(found.news())
    for shown in (message(BASE), message(RETYPED), message(BASE, "id", "z")):
        numbers(found, shown, 15)
    found.observe(seen(RETYPED, 30))
    assert reasons(found) == []


@pytest.mark.parametrize("within", [True, False], ids=["by a part of a transaction", "not at all"])
def test_a_request_that_did_not_become_durable_is_made_again(within: bool) -> None:
    found = history()
    found.observe(seen(BASE, 10))
    memory = {key: text for key, text in found.news().memory.items() if text is not None}
    found.delivered(found.news())
    found.observe(seen(RETYPED, 20))
    if within:
        found.delivered(replace(found.news(), memory={}))
    found.restore(memory)
    found.observe(seen(RETYPED, 30))
    assert len(reasons(found)) == 1


def test_a_durable_request_is_not_made_again() -> None:
    found = history(seen(BASE, 10))
    found.observe(seen(RETYPED, 20))
    memory = {key: text for key, text in found.news().memory.items() if text is not None}
    again = history()
    again.restore(memory)
    again.observe(seen(RETYPED, 30))
    numbers(again, message(BASE), 15)
    assert numbers(again, message(RETYPED), 25) == [1, 2, 3]
    assert reasons(again) == []


def test_what_a_snapshot_taught_of_a_new_table_survives_a_restart_of_the_stream() -> None:
    found = history()
    found.learn(seen(BASE, 10))
    found.restore({})
    found.observe(seen(RETYPED, 20))
    assert len(reasons(found)) == 1


def test_the_memory_moves_on_when_the_stream_has_passed_a_look() -> None:
    found = history(seen(BASE, 10), seen(RENAMED, 30))
    found.passed(1000)
    found.delivered(found.news())
    found.passed(2999)
    assert found.news().memory == {}
    found.passed(3000)
    memory = {key: text for key, text in found.news().memory.items() if text is not None}
    again = history()
    again.restore(memory)
    assert again.meaning(message(RENAMED), place(35)) is None
    again.confirm([RELID], look(40))
    assert numbers(again, message(RENAMED), 35) == [1, 2, 3]


def test_a_dropped_table_is_forgotten_when_the_stream_has_passed_it() -> None:
    found = history(seen(BASE, 10))
    found.dropped([RELID], look(20))
    assert list(found.meaning_dropped(message(BASE)).numbers) == [1, 2, 3]
    found.passed(2000)
    assert not found.knows(RELID)
    assert list(found.news().memory.values()) == [None]


def test_a_table_that_left_the_selection_is_copied_when_it_returns() -> None:
    found = history(seen(BASE, 10))
    found.observe(seen(replace(BASE, name="hidden"), 20))
    assert reasons(found) == []
    found.observe(seen(BASE, 30))
    assert reasons(found) == [OUTSIDE]


def test_a_table_that_left_the_selection_between_two_looks_is_copied() -> None:
    found = history(seen(BASE, 10))
    found.left_out(RELID, place(15))
    found.confirm([RELID], look(15))
    assert reasons(found) == []
    found.confirm([RELID], look(20))
    assert reasons(found) == [OUTSIDE]


def test_a_table_of_an_earlier_release_s_log_is_copied() -> None:
    found = history()
    found.restore({f"rewrite:{RELID}": "730=1,2|x|0"})
    assert found.relids() == [RELID]
    found.observe(seen(BASE, 10))
    assert reasons(found) == [LEGACY]
    assert found.news().memory[f"rewrite:{RELID}"] is None


def test_rows_under_another_key_than_the_newest_look_has_are_a_reason_for_a_copy() -> None:
    found = history(seen(BASE, 10), seen(BASE, 20))
    found.passed(1500)
    found.keyed(RELID, [1], place(15))
    found.keyed(RELID, [], place(15))
    assert reasons(found) == []
    found.keyed(RELID, [2], place(15))
    assert reasons(found) == [REKEYED]
    # What the copy contains is no reason for another one, nor is a key that the catalog never has.
    found.delivered(found.news())
    found.keyed(RELID, [2], place(16))
    found.passed(3000)
    found.keyed(RELID, [2], place(40))
    assert reasons(found) == []


@pytest.mark.parametrize("is_by_schema", [True, False])
def test_a_table_that_may_have_left_the_schema_that_it_is_sent_by_is_a_reason_for_a_copy(
    is_by_schema: bool,
) -> None:
    published = sent(members={}, schemas={"2200": "950:700"}) if is_by_schema else sent()
    found = history()
    for number in (10, 20):
        found.observe(Seen(look(number), replace(BASE, named=f"16402:{number}"), published))
    assert bool(reasons(found)) is is_by_schema


@pytest.mark.parametrize(
    ("named", "reason"), [("16402:700", ""), ("16402:702", UNNAMED), ("16390:701,16402:700", UNNAMED)]
)
def test_a_table_stored_without_the_version_of_its_name_is_copied_unless_it_is_as_it_was_created(
    named: str, reason: str
) -> None:
    by_schema = sent(members={}, schemas={"2200": "950:700"})
    found = history(Seen(look(10), BASE, by_schema))
    found.observe(Seen(look(20), replace(BASE, named=named), by_schema))
    assert reasons(found) == [reason] * bool(reason)
