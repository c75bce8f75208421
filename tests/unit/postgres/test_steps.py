"""Steps between two definitions: what is proven harmless, and what has the table copied again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_source_postgres.schema.definition import Definition, Membership, Sent
from cdc_source_postgres.schema.steps import Circumstances, Reading, classify, why_unsent
from tests.support.postgres.definitions import (
    COMPOSITE,
    ENUM,
    INT,
    NUMERIC,
    RELID,
    TEXT,
    VARCHAR,
    column,
    leaf,
    node,
    partitioned,
    sent,
    table,
    unlisted,
)

LISTED, UNLISTED = Circumstances(listed=True), Circumstances()
ID, A, B = column(1, "id"), column(2, "a", TEXT), column(3, "b")
BASE = table(ID, A, B)
TOASTED = (node(file=500, toast=600),)
MOODS = {str(ENUM): {"1": "700:sad", "2": "700:fine"}}
PAIRS = {str(COMPOSITE): {"1": '["a",23,-1,false,"700"]'}}


def moved(found: Definition, **other: object) -> Definition:
    return replace(found, **other)  # type: ignore[arg-type]


HARMLESS = {
    "nothing": (BASE, Reading.BY_NAME),
    "a column added": (table(ID, A, B, column(4, "c")), Reading.BY_PLACE),
    "a column added with a default": (table(ID, A, B, column(4, "c", missing="{7}")), Reading.BY_PLACE),
    "a column added and renamed": (table(ID, A, B, column(4, "d", version="701")), Reading.BY_PLACE),
    "a column renamed": (table(ID, column(2, "x", TEXT, "701"), B), Reading.BY_PLACE),
    "columns whose names changed places": (
        table(ID, column(2, "b", TEXT, "701"), column(3, "a", INT, "701")),
        Reading.BY_PLACE,
    ),
    "one renamed and one added": (
        table(ID, column(2, "x", TEXT, "701"), B, column(4, "c")),
        Reading.BY_PLACE,
    ),
    "a column dropped": (table(ID, A, attributes=3), Reading.BY_NAME),
    "a column added and dropped again": (table(ID, A, B, attributes=4), Reading.BY_PLACE),
    "a default set": (table(ID, A, column(3, "b", default_version="701")), Reading.BY_PLACE),
    "not null": (table(ID, A, column(3, "b", INT, "701", not_null=True)), Reading.BY_PLACE),
    "text to varchar without a rewrite": (
        table(ID, column(2, "a", VARCHAR, "701", typmod=84), B),
        Reading.BY_PLACE,
    ),
    "another identity": (moved(BASE, identity="f"), Reading.BY_PLACE),
    "another name": (moved(BASE, name="u"), Reading.BY_PLACE),
    "vacuum full of a listed table": (moved(BASE, tree=(node(file=500),)), Reading.BY_PLACE),
}
COPIED = {
    "a rewrite with a column added": (
        moved(table(ID, A, B, column(4, "c")), tree=(node(file=500),)),
        "ALTER TABLE rewrote",
    ),
    "a rewrite with a default changed": (
        moved(table(ID, A, column(3, "b", default_version="701")), tree=(node(file=500),)),
        "ALTER TABLE rewrote",
    ),
    "a rewrite with a column dropped": (
        moved(table(ID, A, attributes=3), tree=(node(file=500),)),
        "ALTER TABLE rewrote",
    ),
    "another type": (table(ID, A, column(3, "b", TEXT, "701")), "type of a column"),
    "one column dropped, another added": (table(ID, A, column(4, "b")), "(column b)"),
    "one dropped, one added and dropped": (table(ID, A, attributes=4), "added and dropped"),
    "one added, one added and dropped": (table(ID, A, B, column(5, "c")), "added and dropped"),
    "one dropped, another renamed": (
        table(ID, column(2, "b", TEXT, "701"), attributes=3),
        "dropped and others altered",
    ),
    "a generated column became ordinary": (BASE, "generated"),
    "unlogged before": (BASE, "unlogged"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_step_that_is_proven_harmless_copies_nothing(name: str) -> None:
    after, reading = HARMLESS[name]
    step = classify(BASE, after, LISTED)
    assert (step.reason, step.reading) == ("", reading)


@pytest.mark.parametrize("name", COPIED)
def test_a_step_that_is_not_proven_copies_the_table_again(name: str) -> None:
    after, reason = COPIED[name]
    before = BASE
    if reason == "generated":
        before = table(ID, A, column(3, "b", generated="s"))
    elif reason == "unlogged":
        before = moved(BASE, persistence="u", tree=(node(persistence="u"),))
    assert reason in classify(before, after, LISTED).reason


def test_a_table_that_is_unlogged_now_is_copied_when_it_is_logged_again() -> None:
    unlogged = moved(BASE, persistence="u", tree=(node(file=500, persistence="u"),))
    again = moved(BASE, tree=(node(file=501),))
    assert classify(BASE, unlogged, UNLISTED).reason == ""
    assert "unlogged" in classify(unlogged, again, UNLISTED).reason


@pytest.mark.parametrize(
    ("before", "after", "circumstances", "is_copied"),
    [
        (node(), node(file=500), LISTED, False),
        (node(), node(file=500), Circumstances(watched=True), False),
        (node(), node(file=500), UNLISTED, True),
        (node(toast=600), node(file=500, toast=600), UNLISTED, False),
        (node(toast=600), node(file=500, toast=601), UNLISTED, True),
    ],
    ids=["listed by name", "watched", "no TOAST table", "truncated", "rewritten"],
)
def test_new_files_alone_are_harmless_only_where_the_table_cannot_have_been_unlogged(
    before: object, after: object, circumstances: Circumstances, is_copied: bool
) -> None:
    step = classify(moved(BASE, tree=(before,)), moved(BASE, tree=(after,)), circumstances)
    assert bool(step.reason) == is_copied


@pytest.mark.parametrize(
    ("rewriting", "is_copied"), [(1, True), (2, True), (4, True), (8, False), (12, True), (0, False)]
)
def test_a_rewrite_that_an_event_trigger_tells_of_copies_the_table(rewriting: int, is_copied: bool) -> None:
    step = classify(BASE, BASE, Circumstances(watched=True, rewriting=rewriting))
    assert bool(step.reason) == is_copied


ONE, TWO = leaf(1001), leaf(1002)
PARTITION_STEPS = {
    "the same": (partitioned(ONE, TWO), frozenset[int](), False),
    "attached": (partitioned(ONE, TWO, leaf(1003)), frozenset[int](), True),
    "attached and empty": (partitioned(ONE, TWO, leaf(1003)), frozenset([1003]), False),
    "attached, empty and truncated before": (
        partitioned(ONE, TWO, leaf(1003, file=1500)),
        frozenset([1003]),
        True,
    ),
    "detached": (partitioned(ONE), frozenset[int](), True),
    "detached and attached again": (partitioned(ONE, leaf(1002, version="701")), frozenset[int](), True),
    "with other bounds": (partitioned(ONE, leaf(1002, bound="c")), frozenset[int](), True),
    "truncated or rewritten": (partitioned(ONE, leaf(1002, file=1500)), frozenset[int](), True),
    "a level between, without rows": (
        partitioned(ONE, TWO, leaf(1004, kind="p", file=0)),
        frozenset[int](),
        False,
    ),
    "a partition unlogged": (
        partitioned(ONE, leaf(1002, file=1500, persistence="u")),
        frozenset[int](),
        False,
    ),
}


@pytest.mark.parametrize("name", PARTITION_STEPS)
def test_partitions_that_came_went_or_changed_in_silence_copy_their_root(name: str) -> None:
    after, empty, is_copied = PARTITION_STEPS[name]
    step = classify(partitioned(ONE, TWO), after, Circumstances(listed=True, empty=empty))
    assert bool(step.reason) == is_copied


def test_a_partition_that_is_logged_again_copies_its_root() -> None:
    before = partitioned(ONE, leaf(1002, persistence="u"))
    assert "unlogged" in classify(before, partitioned(ONE, leaf(1002, file=1500)), LISTED).reason


@pytest.mark.parametrize(
    ("before", "after", "is_copied"),
    [
        (MOODS, {str(ENUM): {**MOODS[str(ENUM)], "3": "701:great"}}, False),
        (MOODS, {str(ENUM): {"1": "701:blue", "2": "700:fine"}}, True),
        (MOODS, {str(ENUM): {"1": "702:sad", "2": "700:fine"}}, True),
        (PAIRS, {str(COMPOSITE): {**PAIRS[str(COMPOSITE)], "2": '["b",23,-1,false,"701"]'}}, True),
        (PAIRS, {str(COMPOSITE): {"1": '["z",23,-1,false,"701"]'}}, True),
        ({}, MOODS, False),
    ],
    ids=["value added", "renamed", "renamed and back", "attribute added", "attribute renamed", "new type"],
)
def test_types_whose_stored_values_print_differently_copy_their_tables(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]], is_copied: bool
) -> None:
    step = classify(moved(BASE, types=before), moved(BASE, types=after), LISTED)
    assert bool(step.reason) == is_copied


@pytest.mark.parametrize(
    ("type_oid", "now", "is_copied"),
    [
        (NUMERIC, {"typmod": 786438}, False),
        (VARCHAR, {"typmod": 84}, False),
        (INT, {"type_oid": 20}, True),
        (1042, {"typmod": 84}, True),
        (869, {"type_oid": 650}, True),
    ],
    ids=["numeric", "varchar", "int to bigint", "char(n)", "inet to cidr"],
)
def test_only_types_with_the_same_bytes_and_text_change_without_a_copy(
    type_oid: int, now: dict[str, int], is_copied: bool
) -> None:
    before = column(3, "b", type_oid, typmod=20)
    after = replace(before, version="701", **now)  # type: ignore[arg-type]
    assert bool(classify(table(ID, A, before), table(ID, A, after), LISTED).reason) == is_copied


def member(
    version: str = "901:700", columns: str | None = None, row_filter: str | None = None
) -> dict[str, Membership]:
    return {str(RELID): Membership(version, columns, row_filter, "rest")}


SENT_STEPS = {
    "the same": (sent(), sent(), ""),
    "altered and altered back": (sent(), sent(publication="900:701"), "altered"),
    "fewer operations": (sent(), sent(publication="900:701", operations="i"), "operations"),
    "via root": (sent(), sent(publication="900:701", via_root=False), "publish_via_partition_root"),
    "generated columns": (sent(), sent(publication="900:701", generated="s"), "publish_generated_columns"),
    "dropped and added": (sent(), sent(members=member("902:701")), "taken out of the publication"),
    "a column list": (sent(), sent(members=member("902:701", "1 2")), "column list"),
    "a row filter": (sent(), sent(members=member("902:701", None, "x")), "row filter"),
    "no longer listed": (sent(), sent(members={}), ""),
    "listed again": (sent(members={}), sent(members=member("902:701")), "not in the publication"),
    "by its schema": (sent(), sent(members={}, schemas={"2200": "903:701"}), "in another way"),
    "its schema put back": (
        sent(members={}, schemas={"2200": "903:701"}),
        sent(members={}, schemas={"2200": "904:702"}),
        "schema was taken out",
    ),
    "all tables": (unlisted(), unlisted(), ""),
}


@pytest.mark.parametrize("name", SENT_STEPS)
def test_whatever_moves_in_the_publication_copies_its_tables(name: str) -> None:
    before, after, reason = SENT_STEPS[name]
    assert isinstance(before, Sent)
    found = why_unsent(before, after)
    assert (reason in found) if reason else not found
