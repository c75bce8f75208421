"""SQL_ASCII: bytes that are not UTF-8 stop a table's copy, or the stream, with words that say why."""

from __future__ import annotations

import pytest

from cdc.errors import SourceRefused
from tests.integration.postgres_source.conftest import FollowerFactory
from tests.support.postgres import Database


@pytest.fixture
def ascii_database(database: Database) -> Database:
    name = f"{database.name}_ascii"
    with database.server.connect() as admin:
        admin.execute(f"create database {name} template template0 encoding 'SQL_ASCII' locale 'C'".encode())
    return Database(database.server, name)


def test_bytes_that_are_not_utf8_are_told_with_the_encoding_and_what_to_do(
    ascii_database: Database, make_follower: FollowerFactory
) -> None:
    bad = r"insert into t values (1, convert_from('\xff41', 'SQL_ASCII'))"
    ascii_database.execute("create table t (id int primary key, note text)")
    follower = make_follower(ascii_database).open()
    ascii_database.execute(bad)
    with pytest.raises(SourceRefused, match="SQL_ASCII") as streamed:
        follower.rows()
    with pytest.raises(SourceRefused, match="SQL_ASCII") as copied:
        follower.copy()
    assert "public.t" in str(copied.value.where)
    for error in (streamed.value, copied.value):
        assert "exclude the table" in error.remedy
        assert "xff" not in error.message.lower()
