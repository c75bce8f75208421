"""After random ALTER TABLEs of several clauses the history knows what the catalog shows, or is unsure."""

from __future__ import annotations

import random
from collections.abc import Callable

import pymysql
import pytest

from tests.integration.mysql.schema.test_ddl_against_the_catalog import Follower, _plain
from tests.support.mysql.server import MysqlDatabase

STATEMENTS = 100
NAMES = "abcdefgh"
CHARSETS = ("latin1", "utf8mb4", "utf8mb3", "ascii", "latin2")
TYPES = ("int", "varchar(10)", "varchar(10)", "varchar(10)", "char(4)", "enum('x','y')", "text")
TABLE = """create table t (id int {}, a varchar(10), b varchar(10) character set latin1,
 c varchar(10) character set utf8mb3, d int, e int) character set utf8mb4"""
KEYS = ("", "primary key", "not null unique")


class Clauses:
    """Clauses over few names, so that many of one statement name the same column."""

    def __init__(self, chance: random.Random, flavour: str) -> None:
        self.chance = chance
        self.is_mariadb = flavour == "mariadb"
        plain = (self.drop, self.rename, self.charset, self.convert, self.two, self.drop_index)
        self.makers: tuple[Callable[[], str], ...] = (
            *plain,
            *[self.add, self.modify, self.change, self.index] * 2,
        )

    def statement(self) -> str:
        clauses = (self.chance.choice(self.makers)() for _ in range(self.chance.randint(2, 5)))
        return f"alter table t {', '.join(clauses)}"

    def add(self) -> str:
        return f"add column {self._guard('if not exists')}{self._name()} {self._type()}{self._place()}"

    def two(self) -> str:
        return f"add ({self._name()} {self._type()}, {self._name()} {self._type()})"

    def drop(self) -> str:
        return f"drop column {self._guard('if exists')}{self._name()}"

    def modify(self) -> str:
        return f"modify {self._guard('if exists')}{self._name()} {self._type()}{self._place()}"

    def change(self) -> str:
        names = f"{self._name()} {self._name()}"
        return f"change {self._guard('if exists')}{names} {self._type()}{self._place()}"

    def rename(self) -> str:
        return f"rename column {self._guard('if exists')}{self._name()} to {self._name()}"

    def index(self) -> str:
        kind = self.chance.choice(("unique key {}k ({})", "unique key {}l ({})", "primary key {}({})"))
        return "add " + kind.format(self._guard("if not exists"), f"{self._name()}(3)")

    def drop_index(self) -> str:
        return f"drop key {self._guard('if exists')}{self.chance.choice(('k', 'l', '`primary`'))}"

    def charset(self) -> str:
        return f"default character set {self.chance.choice(CHARSETS)}"

    def convert(self) -> str:
        return f"convert to character set {self.chance.choice(CHARSETS)}"

    def _name(self) -> str:
        return self.chance.choice(NAMES)

    def _sometimes(self, text: str) -> str:
        return text if self.chance.random() < 0.3 else ""

    def _guard(self, text: str) -> str:
        return self._sometimes(f"{text} ") if self.is_mariadb else ""

    def _type(self) -> str:
        kind = self.chance.choice(TYPES)
        charset = "" if kind == "int" else self._sometimes(f" character set {self.chance.choice(CHARSETS)}")
        return kind + charset + self._sometimes(" not null")

    def _place(self) -> str:
        return self.chance.choice(("", "", "", " first", f" after {self._name()}"))


@pytest.mark.every_server
def test_random_alters_are_followed_as_the_catalog_shows_them(mysql_database: MysqlDatabase) -> None:
    chance = random.Random(1)
    follower = Follower(mysql_database)
    clauses = Clauses(chance, follower.flavour)
    problems: list[str] = []
    followed = done = remade = 0
    while done < STATEMENTS:
        if done >= remade:
            remade += 8
            follower.cursor.execute("drop table if exists t")
            follower.cursor.execute(TABLE.format(chance.choice(KEYS)))
            follower.begin("t")
        statement = clauses.statement()
        try:
            follower.run(statement)
        except pymysql.err.MySQLError:
            continue
        done += 1
        found, now = follower.history.definition(follower.table("t")), follower.catalog("t")
        if found is not None and _plain(found) != _plain(now):
            problems.append(f"{statement}: {set(found.columns) ^ set(now.columns)} {found.key} {now.key}")
        if found is None or problems:
            follower.begin("t")
        followed += found is not None
    follower.close()
    assert problems == []
    assert followed > STATEMENTS // 4
