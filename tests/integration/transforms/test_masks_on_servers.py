"""Masks, filters and routes on real servers: copy and stream alike, and no masked value on disk."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.leaks import leaks
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc

KEY = "0f" * 32
# Each in another part of the life of a table.
SECRETS = (
    *("copied@example.com", "streamed@example.com", "moved@example.com", "deleted@example.com"),
    *("buffered@example.com", "huge@example.com", "default@example.com", "second@example.com"),
    *("123-45-6789", "987-65-4321", "Secret Copied", "Secret Streamed", "+49 170 1234567", "+49 170 7654321"),
    *("label-one", "label-two", "hidden note", "left out note", "other tenant"),
)
MASKS = {
    "email": "hash",
    "ssn": "drop",
    "full_name": "tokenise",
    "phone": {"keep_last": 2},
    "note": "redact",
    "mood": "redact",
    "born": {"truncate": "year"},
    "mail2": "hash",
    "late": "hash",
}
TRANSFORMS: list[dict[str, Any]] = [
    {"table": "{schema}.people", "mask": MASKS, "columns": {"exclude": ["left_out"]}},
    {"table": "{schema}.people", "rename": {"full_name": "name_token"}, "route": "crm.{table}"},
    {"table": "{schema}.visits", "where": "tenant <> 0", "mask": {"email": "hash"}},
]
PEOPLE = """create table people (email {text} primary key, full_name varchar(60), ssn varchar(20),
    phone varchar(20), note {longer}, mood {mood}, born date, left_out varchar(40), tenant int,
    mail2 varchar(60) default 'default@example.com')"""
VISITS = "create table visits (id int primary key, email varchar(60), tenant int, place varchar(40))"


def hashed(value: str | None) -> str | None:
    return None if value is None else hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()


def transforms(schema: str) -> list[dict[str, Any]]:
    return [{**entry, "table": entry["table"].replace("{schema}", schema)} for entry in TRANSFORMS]


def person(email: str, name: str, phone: str = "+49 170 1234567") -> str:
    return f"""insert into people (email, full_name, ssn, phone, note, mood, born, left_out, tenant)
        values ('{email}', '{name}', '123-45-6789', '{phone}', 'hidden note', 'label-one', '1984-05-06',
        'left out note', 1)"""


COPIED = (
    person("copied@example.com", "Secret Copied"),
    person("moved@example.com", "Secret Copied"),
    person("deleted@example.com", "Secret Copied"),
    "insert into visits values (1, 'copied@example.com', 1, 'in')",
    "insert into visits values (2, 'copied@example.com', 0, 'other tenant')",
    "insert into visits values (3, 'copied@example.com', 1, 'in'), (4, null, null, 'other tenant')",
)
STREAMED = (
    person("streamed@example.com", "Secret Streamed", "+49 170 7654321"),
    "update people set email = 'second@example.com', ssn = '987-65-4321' where email = 'moved@example.com'",
    "delete from people where email = 'deleted@example.com'",
    "update people set note = 'hidden note 2', mood = 'label-two' where email = 'copied@example.com'",
    "alter table people add column late varchar(40) default 'default@example.com'",
    person("huge@example.com", "Secret Streamed"),
    # In, out, in and out again, by another key, and never in.
    "update visits set tenant = 2, place = 'entered' where id = 2",
    "update visits set tenant = 0, place = 'other tenant' where id = 3",
    "insert into visits values (5, 'streamed@example.com', 0, 'other tenant')",
    "update visits set place = 'other tenant again' where id = 5",
    "insert into visits values (6, 'streamed@example.com', 3, 'in')",
    "update visits set id = 60 where id = 6",
    "update visits set id = 50, tenant = 1, place = 'entered' where id = 5",
    "delete from visits where id = 4",
)


def write_config(pipeline: Pipeline, schema: str, **options: Any) -> None:
    (pipeline.folder / "mask.key").write_text(KEY)
    pipeline.configure(transforms=transforms(schema), mask_key="${file:mask.key}", **options)


def run(pipeline: Pipeline, *, ok: bool = True) -> str:
    """What `run --once` says; it goes to a file too, in which leaks are looked for."""
    result = pipeline.run_once()
    text = result.stdout + result.stderr
    with (pipeline.folder / "daemon.log").open("a") as log:
        log.write(text)
    assert (result.returncode == 0) == ok, text[-6000:]
    return text


def say(pipeline: Pipeline, *arguments: str) -> str:
    result = run_cdc(*arguments, cwd=pipeline.folder)
    text = result.stdout + result.stderr
    with (pipeline.folder / "commands.log").open("a") as log:
        log.write(text)
    return text


def mirror(pipeline: Pipeline, table: str, columns: str, key: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(pipeline.mirror), read_only=True) as connection:
        return connection.execute(f"select {columns} from {table} order by {key}").fetchall()


def assert_delivered(pipeline: Pipeline, source: Database | MysqlDatabase, schema: str) -> None:
    people = source.query("select email, phone, note, mood, born, tenant, mail2, late from people")
    expected: list[tuple[Any, ...]] = sorted(
        (
            hashed(e),
            f"***{p[-2:]}",
            n and "REDACTED",
            m and "REDACTED",
            b.replace(month=1, day=1),
            t,
            hashed(d),
            hashed(x),
        )
        for e, p, n, m, b, t, d, x in people
    )
    columns = "email, phone, note, mood, born, tenant, mail2, late"
    assert mirror(pipeline, "crm.people", columns, "email") == expected
    tokens = mirror(pipeline, "crm.people", "distinct name_token", "name_token")
    assert len(tokens) == 2
    assert all(token[6] == " " and token[0].isupper() for (token,) in tokens)
    visits = source.query("select id, email, tenant, place from visits where tenant <> 0")
    expected = sorted((i, hashed(e), t, p) for i, e, t, p in visits)
    assert mirror(pipeline, f'"{schema}".visits', "id, email, tenant, place", "id") == expected
    names = {name for name, *_ in mirror(pipeline, "(describe crm.people)", "column_name", "1")}
    assert not {"ssn", "left_out", "full_name"} & names


def look_around(pipeline: Pipeline) -> None:
    """Every command that shows something of rows."""
    say(pipeline, "status")
    say(pipeline, "status", "--json")
    say(pipeline, "check")
    assert "crm.people" in say(pipeline, "tail", "--from", "earliest")
    say(pipeline, "log")


def assert_masked_in_copy_stream_and_copy_again(
    pipeline: Pipeline, source: Database | MysqlDatabase, schema: str
) -> None:
    source.execute(*COPIED)
    write_config(pipeline, schema)
    run(pipeline)
    source.execute(*STREAMED)
    run(pipeline)
    assert_delivered(pipeline, source, schema)
    look_around(pipeline)
    say(pipeline, "snapshot", "crm.people")
    source.execute(person("buffered@example.com", "Secret Streamed"))
    run(pipeline)
    assert_delivered(pipeline, source, schema)
    assert leaks(pipeline.folder, ["entered"]), "nothing is found at all"
    assert leaks(pipeline.folder, SECRETS) == []


@pytest.mark.halved
def test_no_masked_value_of_postgres_reaches_the_disk(database: Database, tmp_path: Path) -> None:
    database.execute(
        "create type mood as enum ('label-one', 'label-two')",
        PEOPLE.format(text="text", longer="text", mood="mood"),
        VISITS,
        "alter table visits replica identity full",
    )
    pipeline = Pipeline(database, tmp_path, tables="public.*")
    assert_masked_in_copy_stream_and_copy_again(pipeline, database, "public")


@pytest.mark.halved(other=True)
def test_no_masked_value_of_mysql_reaches_the_disk(mysql_database: MysqlDatabase, tmp_path: Path) -> None:
    mysql_database.execute(
        PEOPLE.format(text="varchar(60)", longer="text", mood="enum('label-one', 'label-two')"), VISITS
    )
    name = mysql_database.name
    pipeline = MysqlPipeline(mysql_database.server, tmp_path, tables=[f"{name}.*"])
    assert_masked_in_copy_stream_and_copy_again(pipeline, mysql_database, name)
