"""Migrations of MySQL and MariaDB tables as real applications run them (Rails, Django, Laravel, Prisma)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_FILE = Path(__file__).with_name("ordinary.sql")
_STATEMENTS = {
    "{users}": "create table {t} (id bigint primary key auto_increment, name varchar(50),"
    " email varchar(255) not null)",
    "{rows}": "insert into {t} (name, email) values ('Ann', 'a@x'), ('Bob', 'b@x'), (null, 'c@x')",
    "{more}": "insert into {t} (name, email) values ('more', 'z')",
    "{touch}": "update {t} set email = concat(email, 'y') where id <= 2",
}


class Recipe(NamedTuple):
    """`before` runs before the source starts, `steps` while it runs or is stopped; `table` is their `{t}`."""

    name: str
    before: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def table(self) -> str:
        return f"m_{self.name}"


def recipes() -> list[Recipe]:
    """Every recipe, with its own table's name in its statements."""
    paragraphs = _FILE.read_text(encoding="utf-8").split("\n\n")[1:]
    return [_recipe(paragraph.strip().splitlines()) for paragraph in paragraphs]


def _recipe(lines: list[str]) -> Recipe:
    name = lines[0].removeprefix("-- ")
    statements = [_filled(line, f"m_{name}") for line in lines[1:]]
    at = statements.index("--")
    return Recipe(name, tuple(statements[:at]), tuple(statements[at + 1 :]))


def _filled(line: str, table: str) -> str:
    for name, statement in _STATEMENTS.items():
        line = line.replace(name, statement)
    return line.replace("{t}", table)
