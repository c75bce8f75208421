"""What MariaDB's annotations prove of partial row images."""

from __future__ import annotations

from types import ModuleType

import pytest

from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.poor_images import KEPT_BYTES, PoorImage, is_update_of
from tests.support.mysql import frames
from tests.support.mysql.decoders import modules, start
from tests.support.mysql.frames import ABSENT, i32, text

COLUMNS = frames.plans("int", "varchar(20)", "int")
MAP = frames.table_map_body(columns=3)
OLD, NEW = [i32(1), ABSENT, ABSENT], [i32(1), text("b"), ABSENT]


@pytest.mark.parametrize(
    "statement",
    [
        "update t set v = 1",
        "UPDATE LOW_PRIORITY IGNORE `s`.`t` SET v = 1",
        "/* app */ -- x\n update s . t x join u set x.v = 1",
        "insert into t(id) values (1) on duplicate key update v = 2",
        "INSERT IGNORE T SET id = 1 ON DUPLICATE KEY UPDATE v = 2",
        'update "t" set v = 1',
    ],
)
def test_an_update_of_the_table_is_known(statement: str) -> None:
    assert is_update_of(statement.encode(), "s.t")


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "replace into t (id) values (1)",
        "/*!50000 replace */ /* */ into t (id) values (1)",
        "load data infile 'x' replace into table t",
        "update u set v = 1",
        "update other.t set v = 1",
        "update u, t set t.v = 1",
        "insert into t2 (id) values (1)",
        "insert into u select * from t",
        "set statement max_statement_time = 1 for update t set v = 1",
        "call p()",
        "with x as (select 1) update t set v = 1",
    ],
)
def test_what_may_replace_rows_is_not(statement: str) -> None:
    assert not is_update_of(statement.encode(), "s.t")


@pytest.mark.parametrize("wire", modules(), ids=lambda m: m.__name__.rpartition("_")[2])
def test_a_partial_image_needs_the_statement_that_it_comes_from(wire: ModuleType) -> None:
    def annotated(statement: str, *events: bytes) -> list[bytes]:
        annotation = frames.event(codes.ANNOTATE_ROWS_EVENT, statement.encode())
        return frames.transaction(annotation, frames.table_map(columns=3), *events)

    plan = frames.table_plan(COLUMNS, (0,), is_annotated=True)
    running = start(wire, {MAP[6:]: plan})
    update, whole = (
        frames.update(OLD, NEW),
        frames.update([i32(9), text("a"), i32(1)], [i32(9), text("b"), None]),
    )
    long = "update t set v = '" + "x" * KEPT_BYTES + "'"
    running.feed(frames.packets([*frames.start(), *annotated(long, update, whole)]))
    assert [row["c0"] for row in running.rows()] == [1, 9]
    for events in (
        annotated("replace into t (id, v) values (1, 'b')", update),
        annotated(long, update, update),
    ):
        with pytest.raises(PoorImage, match="may come from a REPLACE"):
            running.feed(frames.packets(events))
        running.decoder.skip_rows()
        running.feed(b"")
        running.decoder.take()
