"""SQL_ASCII: bytes that are not UTF-8 stop a table's copy, or the stream, with words that say why."""

from __future__ import annotations

import pytest

from cdc.errors import SourceRefused
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.postgres.server import Database


@pytest.fixture
def ascii_database(database: Database) -> Database:
    name = f"{database.name}_ascii"
    with database.server.connect() as admin:
        admin.execute(f"create database {name} template template0 encoding 'SQL_ASCII' locale 'C'".encode())
    return Database(database.server, name)


def test_bytes_that_are_not_utf8_are_told_with_encoding_table_and_way_out_which_leads_out(
    ascii_database: Database, make_follower: FollowerFactory
) -> None:
    bad = r"insert into t values (1, convert_from('\xff41', 'SQL_ASCII'))"
    ascii_database.execute(
        "create table t (id int primary key, note text)", "create table u (id int primary key, note text)"
    )
    follower = make_follower(ascii_database).open()
    ascii_database.execute("insert into t values (0, 'fine'), (2, 'é')")
    assert [row["note"] for row in follower.rows()] == ["fine", "é"]
    ascii_database.execute(bad, "insert into u values (1, 'behind')")
    with pytest.raises(SourceRefused, match="SQL_ASCII") as streamed:
        follower.rows()
    with pytest.raises(SourceRefused, match="SQL_ASCII") as copied:
        follower.copy()
    assert "public.t, column note" in str(streamed.value.where)
    assert "public.t" in str(copied.value.where)
    assert '"!public.t" in tables' in streamed.value.remedy
    assert "exclude its column with `columns`, or the table in `tables`" in copied.value.remedy
    for error in (streamed.value, copied.value):
        assert "xff" not in error.message.lower()
    # WHEN the table is left out
    follower.options = follower.options.model_copy(update={"tables": ["public.*", "!public.t"]})
    assert [row["note"] for row in follower.restart().rows()] == ["behind"]
