"""New names of tables: templates with `{schema}` and `{table}`, and the way back from a new name.

The way back has to be exact, since the engine knows a table by its new name only. So a part of the name
that the patterns leave open must be in the template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from cdc.model import TableId

_PART = r'(?:"(?:[^"]|"")+"|[^".]+)'
_NAME = re.compile(rf"!?(?P<schema>{_PART})\.(?P<name>{_PART})")
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_KNOWN = ("schema", "table")
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class _Template:
    """A part of a name: literal texts and variables in turns, `literals` one more than `variables`."""

    literals: tuple[str, ...]
    variables: tuple[str, ...]

    @classmethod
    def parse(cls, part: str) -> Self:
        text = _unquoted(part)
        pieces = _VARIABLE.split(text)
        literals, variables = tuple(pieces[::2]), tuple(pieces[1::2])
        for name in variables:
            if name not in _KNOWN:
                message = f"{{{name}}} is unknown in route: write {{schema}} or {{table}}"
                raise ValueError(message)
        return cls(literals, variables)

    def fill(self, values: Mapping[str, str]) -> str:
        pairs = zip(self.variables, self.literals[1:], strict=True)
        return self.literals[0] + "".join(values[name] + literal for name, literal in pairs)

    def match(self, text: str, bound: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
        """Every way to read `text` as this part."""
        if not text.startswith(self.literals[0]):
            return
        rest = text[len(self.literals[0]) :]
        if not self.variables:
            if not rest:
                yield bound
            return
        tail = _Template(self.literals[1:], self.variables[1:])
        for end in range(1, len(rest) + 1):
            value = rest[:end]
            if bound.get(self.variables[0], value) == value:
                yield from tail.match(rest[end:], {**bound, self.variables[0]: value})


@dataclass(frozen=True, slots=True)
class Route:
    """`sources` are the parts of source names that the patterns spell out."""

    schema: _Template
    table: _Template
    literal: tuple[Mapping[str, str], ...]

    @classmethod
    def parse(cls, text: str, patterns: Sequence[str]) -> Self:
        """ValueError says what is wrong with the template, or with the patterns that it is for."""
        match = _NAME.fullmatch(text)
        if match is None or text.startswith("!"):
            message = "route must be schema.table, such as raw.{schema}_{table}"
            raise ValueError(message)
        schema, table = _Template.parse(match["schema"]), _Template.parse(match["name"])
        literal = [_literal_parts(pattern) for pattern in patterns if not pattern.startswith("!")]
        for name in _KNOWN:
            if name not in schema.variables + table.variables and not _is_single(name, literal):
                message = (
                    f"route needs {{{name}}}: several tables would get one name, as the pattern leaves the"
                    f" {name} open"
                )
                raise ValueError(message)
        return cls(schema, table, tuple(literal))

    def target(self, table: TableId) -> TableId:
        values = {"schema": table.schema, "table": table.name}
        return TableId(self.schema.fill(values), self.table.fill(values))

    def origins(self, target: TableId) -> Iterator[TableId]:
        """Every name that would become `target`; some may be none of the route's tables."""
        for schema_bound in self.schema.match(target.schema, {}):
            for bound in self.table.match(target.name, schema_bound):
                for literal in self.literal or ({},):
                    values = {**literal, **bound}
                    yield TableId(values["schema"], values["table"])


def _literal_parts(pattern: str) -> Mapping[str, str]:
    match = _NAME.fullmatch(pattern)
    if match is None:
        return {}
    parts = {"schema": match["schema"], "table": match["name"]}
    return {name: _unquoted(part) for name, part in parts.items() if part[0] == '"' or not _GLOB & set(part)}


def _is_single(name: str, literal: Sequence[Mapping[str, str]]) -> bool:
    return all(name in parts for parts in literal) and len({parts[name] for parts in literal}) == 1


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
