"""Conditions on rows: a small part of SQL, parsed by sqlglot, evaluated by Arrow's kernels, NULL as in SQL.

What is not listed here is refused when the configuration is loaded: a condition that means something else
in the database than here would keep or lose rows silently. Texts are compared by their characters, as in
the collation "C".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.errors import ConfigError, UnsupportedSchema
from cdc.installing import install_command
from cdc.model import Column, TableSchema
from cdc.transform.canonical import name_of
from cdc.transform.literals import Literal, kind_of, plain, shared_type

Columns = Mapping[str, pa.Array]
Evaluate = Callable[[Columns], Any]

_REMEDY = (
    "Supported: and, or, not, =, <>, <, <=, >, >=, is [not] null, is [not] true, in, between, like, ilike,"
    " lower, upper, trim, length, coalesce; columns, numbers, 'texts', dates as 'YYYY-MM-DD', true, false,"
    " null."
)


class InvalidCondition(ValueError):
    """Defect of a condition, with the remedy for the configuration's message."""

    def __init__(self, message: str, remedy: str = _REMEDY) -> None:
        self.remedy = remedy
        super().__init__(message)


def _sqlglot() -> Any:
    try:
        return importlib.import_module("sqlglot")
    except ModuleNotFoundError as error:
        remedy = f"Run: {install_command('transforms', 'sqlglot')}"
        raise ConfigError("where needs the package sqlglot, which is not installed", remedy=remedy) from error


@dataclass(frozen=True, slots=True)
class Name:
    """A column as a condition writes it: in quotes its exact name, else in any case."""

    text: str
    quoted: bool

    def find(self, schema: TableSchema) -> Column | None:
        exact = [column for column in schema.columns if column.name == self.text]
        if exact or self.quoted:
            return exact[0] if exact else None
        loose = [column for column in schema.columns if column.name.lower() == self.text.lower()]
        return loose[0] if len(loose) == 1 else None


@dataclass(frozen=True, slots=True)
class _Operand:
    """A value of a condition: its Arrow type, and how it is had from a batch's columns."""

    type: pa.DataType
    evaluate: Evaluate


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression bound to a table. `columns` are those that it reads."""

    columns: tuple[str, ...]
    evaluate: Evaluate


class Expression:
    """A parsed condition."""

    def __init__(self, text: str, tree: Any) -> None:
        self.text = text
        self._tree = tree
        self._exp = _sqlglot().exp

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidCondition, or ConfigError where the parser is not installed."""
        sqlglot = _sqlglot()
        try:
            tree = sqlglot.parse_one(text, into=sqlglot.exp.Condition, dialect="postgres")
        except sqlglot.errors.SqlglotError:
            raise InvalidCondition("where is not an SQL condition") from None
        made = cls(text, tree)
        made._check(tree)
        return made

    @property
    def names(self) -> Sequence[Name]:
        found = (_name(node) for node in self._tree.find_all(self._exp.Column))
        return tuple(dict.fromkeys(found))

    def bind(self, schema: TableSchema, where: str) -> Condition:
        """Raises UnsupportedSchema if a column is missing, or has a type that the condition does not fit."""
        binder = _Binder(self._exp, schema, where)
        operand = binder.condition(self._tree)
        return Condition(tuple(dict.fromkeys(binder.columns)), operand)

    def _check(self, tree: Any) -> None:
        """Refuse what no binder knows, before any table is seen."""
        for node in tree.walk():
            reason = _refusal(self._exp, node)
            if reason:
                raise InvalidCondition(reason)
        if not self.names:
            raise InvalidCondition("where names no column")


class _Binder:
    """Turns a tree into nested functions on Arrow arrays, for one table."""

    def __init__(self, exp: Any, schema: TableSchema, where: str) -> None:
        self._exp = exp
        self._schema = schema
        self._where = where
        self.columns: list[str] = []

    def condition(self, node: Any) -> Evaluate:
        """A three-valued boolean."""
        exp = self._exp
        special = {
            exp.Paren: lambda found: self.condition(found.this),
            exp.And: self._both,
            exp.Or: self._both,
            exp.Not: self._not,
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Like: self._like,
            exp.ILike: self._like,
        }.get(type(node))
        if special is not None:
            return special(node)
        name = _comparisons(exp).get(type(node))
        if name is not None:
            return self._compare(node.this, node.expression, name)
        return self._flag(self._operand(node))

    def _flag(self, operand: _Operand | Literal) -> Evaluate:
        """A boolean column or literal as a condition."""
        if isinstance(operand, Literal):
            if operand.value is None or isinstance(operand.value, bool):
                scalar = pa.scalar(operand.value, pa.bool_())
                return lambda columns: scalar
            raise self._refused("a literal is not a condition")
        if not pa.types.is_boolean(operand.type):
            raise self._refused(f"a value of type {name_of(operand.type)} is not a condition")
        return operand.evaluate

    def _both(self, node: Any) -> Evaluate:
        kernel = pc.and_kleene if isinstance(node, self._exp.And) else pc.or_kleene
        left, right = self.condition(node.this), self.condition(node.expression)
        return lambda columns: kernel(left(columns), right(columns))

    def _not(self, node: Any) -> Evaluate:
        inner = self.condition(node.this)
        return lambda columns: pc.invert(inner(columns))

    def _between(self, node: Any) -> Evaluate:
        low = self._compare(node.this, node.args["low"], "greater_equal")
        high = self._compare(node.this, node.args["high"], "less_equal")
        return lambda columns: pc.and_kleene(low(columns), high(columns))

    def _is(self, node: Any) -> Evaluate:
        exp = self._exp
        negate = bool(node.args.get("negate"))
        if isinstance(node.expression, exp.Null):
            operand = self._value(node.this)
            kernel = pc.is_valid if negate else pc.is_null
            return lambda columns: kernel(operand.evaluate(columns))
        if not isinstance(node.expression, exp.Boolean):
            raise self._refused("`is` is followed by something other than null, true or false")
        wanted, inner = bool(node.expression.this), self.condition(node.this)

        def evaluate(columns: Columns) -> Any:
            is_same = pc.fill_null(pc.equal(inner(columns), pa.scalar(wanted)), fill_value=False)
            return pc.invert(is_same) if negate else is_same

        return evaluate

    def _in(self, node: Any) -> Evaluate:
        parts = [self._compare(node.this, item, "equal") for item in node.expressions]

        def evaluate(columns: Columns) -> Any:
            found = parts[0](columns)
            for part in parts[1:]:
                found = pc.or_kleene(found, part(columns))
            return found

        return evaluate

    def _like(self, node: Any) -> Evaluate:
        operand = self._value(node.this)
        if not pa.types.is_string(operand.type):
            raise self._refused(f"like is used on a value of type {name_of(operand.type)}, which is no text")
        pattern, ignore = str(node.expression.name), isinstance(node, self._exp.ILike)
        return lambda columns: pc.match_like(operand.evaluate(columns), pattern, ignore_case=ignore)

    def _compare(self, left: Any, right: Any, name: str) -> Evaluate:
        first, second = self._operand(left), self._operand(right)
        if isinstance(first, Literal) and isinstance(second, Literal):
            raise self._refused("two literals are compared")
        try:
            if isinstance(first, Literal):
                assert isinstance(second, _Operand)
                return self._against(second, first, _MIRRORED[name])
            if isinstance(second, Literal):
                return self._against(first, second, name)
        except ValueError as error:
            raise self._refused(str(error)) from None
        kind, other = kind_of(first.type), kind_of(second.type)
        if not kind or kind != other or (kind not in ("number", "text") and first.type != second.type):
            kinds = name_of(first.type), name_of(second.type)
            raise self._refused(f"a value of type {kinds[0]} is compared with one of type {kinds[1]}")
        return self._kernel(name, first, second)

    def _against(self, operand: _Operand, literal: Literal, name: str) -> Evaluate:
        scalar = literal.scalar(operand.type, ordered=name not in ("equal", "not_equal"))
        return self._kernel(name, operand, _Operand(scalar.type, lambda _columns: scalar))

    def _kernel(self, name: str, first: _Operand, second: _Operand) -> Evaluate:
        kernel = getattr(pc, name)
        is_exact = first.type != second.type and "number" in (kind_of(first.type), kind_of(second.type))
        try:
            shared = (
                shared_type(first.type, second.type) if is_exact and _mixes(first.type, second.type) else None
            )
        except ValueError as error:
            raise self._refused(str(error)) from None
        if shared is None:
            return lambda columns: kernel(plain(first.evaluate(columns)), plain(second.evaluate(columns)))
        return lambda columns: kernel(
            first.evaluate(columns).cast(shared), second.evaluate(columns).cast(shared)
        )

    def _value(self, node: Any) -> _Operand:
        operand = self._operand(node)
        if isinstance(operand, Literal):
            raise self._refused("a literal is not a column")
        return operand

    def _operand(self, node: Any) -> _Operand | Literal:
        exp = self._exp
        if isinstance(node, exp.Paren):
            return self._operand(node.this)
        if isinstance(node, exp.Column):
            return self._column(node)
        literal = _literal(exp, node)
        if literal is not None:
            return literal
        if isinstance(node, exp.Coalesce):
            return self._coalesce(node)
        if isinstance(node, (exp.Length, exp.Lower, exp.Upper, exp.Trim)):
            return self._function(node)
        return _Operand(pa.bool_(), self.condition(node))

    def _function(self, node: Any) -> _Operand:
        exp = self._exp
        inner = self._value(node.this)
        if not pa.types.is_string(inner.type):
            kind = name_of(inner.type)
            raise self._refused(f"{node.key}() is used on a value of type {kind}, which is no text")
        if isinstance(node, exp.Length):
            return _Operand(pa.int32(), lambda columns: pc.utf8_length(inner.evaluate(columns)))
        kernels = {exp.Lower: pc.utf8_lower, exp.Upper: pc.utf8_upper, exp.Trim: pc.utf8_trim_whitespace}
        kernel = kernels[type(node)]
        return _Operand(pa.string(), lambda columns: kernel(inner.evaluate(columns)))

    def _coalesce(self, node: Any) -> _Operand:
        first = self._value(node.this)
        try:
            rest = [self._alternative(first, item) for item in node.expressions]
        except ValueError as error:
            raise self._refused(str(error)) from None

        def evaluate(columns: Columns) -> Any:
            return pc.coalesce(first.evaluate(columns), *(item(columns) for item in rest))

        if kind_of(first.type) in ("", "uuid"):
            raise self._refused(f"coalesce is used on a value of type {name_of(first.type)}")
        return _Operand(first.type, evaluate)

    def _alternative(self, first: _Operand, node: Any) -> Evaluate:
        operand = self._operand(node)
        if isinstance(operand, Literal):
            scalar = operand.scalar(first.type, ordered=False).cast(first.type)
            return lambda columns: scalar
        if operand.type != first.type:
            message = f"coalesce mixes the types {name_of(first.type)} and {name_of(operand.type)}"
            raise ValueError(message)
        return operand.evaluate

    def _column(self, node: Any) -> _Operand:
        name = _name(node)
        column = name.find(self._schema)
        if column is None:
            raise UnsupportedSchema(
                f"the table has no column {name.text!r}, which the condition names",
                where=self._where,
                remedy='Correct the name, or leave the table out: table: ["…", "!schema.table"].',
            )
        self.columns.append(column.name)
        return _Operand(column.type, lambda columns: columns[column.name])

    def _refused(self, reason: str) -> UnsupportedSchema:
        return UnsupportedSchema(f"the condition does not fit the table: {reason}", where=self._where)


_MIRRORED = {
    "equal": "equal",
    "not_equal": "not_equal",
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}


def _mixes(first: pa.DataType, second: pa.DataType) -> bool:
    """Return whether Arrow's own promotion may fail or round; among signed integers it does neither."""
    return any(pa.types.is_decimal(type_) or pa.types.is_uint64(type_) for type_ in (first, second))


def _comparisons(exp: Any) -> dict[Any, str]:
    return {
        exp.EQ: "equal",
        exp.NEQ: "not_equal",
        exp.LT: "less",
        exp.LTE: "less_equal",
        exp.GT: "greater",
        exp.GTE: "greater_equal",
    }


def _refusal(exp: Any, node: Any) -> str:
    """Why a node of the tree is not supported; empty if it is."""
    plain = (
        *(exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is),
        *(exp.Between, exp.Lower, exp.Upper, exp.Length, exp.Coalesce, exp.Identifier, exp.Literal),
        *(exp.Boolean, exp.Null),
    )
    special = {
        exp.Cast: _is_dated_literal(exp, node) or "where uses a cast, which is not supported",
        exp.DataType: isinstance(node.parent, exp.Cast) or "where names a type",
        exp.Column: node.args.get("table") is None
        or "where names a column with its table: write the column alone",
        exp.In: bool(node.args.get("expressions")) or "where uses a subquery, which is not supported",
        exp.Trim: not (node.args.get("expression") or node.args.get("position"))
        or "where uses a form of trim that is not supported: write trim(column)",
        exp.Neg: isinstance(node.this, exp.Literal) or "where calculates, which is not supported",
        exp.Like: _is_text(exp, node.args.get("expression")) or "where uses like without a literal text",
        exp.ILike: _is_text(exp, node.args.get("expression")) or "where uses ilike without a literal text",
    }
    verdict = special.get(
        type(node), isinstance(node, plain) or f"where uses {node.key.upper()}, which is not supported"
    )
    return verdict if isinstance(verdict, str) else ""


def _name(node: Any) -> Name:
    return Name(str(node.this.this), bool(node.this.args.get("quoted")))


def _is_text(exp: Any, node: Any) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _is_dated_literal(exp: Any, node: Any) -> bool:
    """`date '2024-01-01'`, `timestamp '…'`."""
    kinds = ("DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME")
    return isinstance(node, exp.Cast) and _is_text(exp, node.this) and node.to.this.name in kinds


def _literal(exp: Any, node: Any) -> Literal | None:
    if isinstance(node, exp.Null):
        return Literal(None)
    if isinstance(node, exp.Boolean):
        return Literal(bool(node.this))
    if isinstance(node, exp.Cast):
        return Literal(str(node.this.this))
    if isinstance(node, exp.Neg):
        return Literal.number(f"-{node.this.this}")
    if isinstance(node, exp.Literal):
        return Literal(str(node.this)) if node.is_string else Literal.number(str(node.this))
    return None
