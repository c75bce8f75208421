"""A place in a statement's tokens, and the small things that every grammar rule is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.tokens import END, NUMBER, QUOTED, STRING, SYMBOL, WORD, Token


class NotUnderstood(Exception):
    """The grammar lacks what comes here; the text says where, without values."""


@dataclass(frozen=True, slots=True)
class Context:
    """Context of a statement, on which its meaning depends besides its text."""

    database: str
    sql_mode: int
    flavour: str
    explicit_timestamps: bool | None
    server_collation: str = ""


class TokenCursor:
    def __init__(self, tokens: Sequence[Token], context: Context) -> None:
        self._tokens = tokens
        self._at = 0
        self.context = context

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._tokens)

    def peek(self, ahead: int = 0) -> Token:
        index = self._at + ahead
        return self._tokens[index] if index < len(self._tokens) else END

    def rest(self) -> Sequence[Token]:
        """Everything from here on; the cursor stays."""
        return self._tokens[self._at :]

    def take(self) -> Token:
        token = self.peek()
        self._at += 1
        return token

    def sees(self, *words: str) -> bool:
        """Return whether the next tokens are these keywords, in this order."""
        return all(self.peek(i).upper == word for i, word in enumerate(words))

    def sees_any(self, words: frozenset[str] | set[str]) -> bool:
        return self.peek().upper in words

    def accept(self, *words: str) -> bool:
        """Take these keywords, all of them or none."""
        if not self.sees(*words):
            return False
        self._at += len(words)
        return True

    def accept_any(self, words: frozenset[str] | set[str]) -> str:
        """Take one of the keywords; '' if the next token is none of them."""
        word = self.peek().upper
        if word not in words:
            return ""
        self._at += 1
        return word

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise NotUnderstood(f"{' '.join(words)} was expected {self.here()}")

    def sees_symbol(self, symbol: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token.kind == SYMBOL and token.text == symbol

    def accept_symbol(self, symbol: str) -> bool:
        if not self.sees_symbol(symbol):
            return False
        self._at += 1
        return True

    def expect_symbol(self, symbol: str) -> None:
        if not self.accept_symbol(symbol):
            raise NotUnderstood(f"{symbol!r} was expected {self.here()}")

    def here(self) -> str:
        """Where the cursor is, in words; literals are not shown."""
        token = self.peek()
        if token is END:
            return "at the end"
        return f"at {token.text!r}" if token.kind in {WORD, SYMBOL} else f"at a {token.kind}"

    def name(self) -> str:
        """An identifier, quoted or not."""
        token = self.peek()
        if token.kind not in {WORD, QUOTED}:
            raise NotUnderstood(f"a name was expected {self.here()}")
        self._at += 1
        return token.text

    def table(self) -> TableId:
        """`[database.]table`; MySQL also allows a leading dot."""
        self.accept_symbol(".")
        first = self.name()
        if self.accept_symbol("."):
            return TableId(first, self.name())
        return TableId(self.context.database, first)

    def column(self) -> str:
        """A column's name without what qualifies it."""
        name = self.name()
        while self.accept_symbol("."):
            name = self.name()
        return name

    def text(self) -> str:
        token = self.take()
        if token.kind != STRING:
            raise NotUnderstood("a string was expected")
        return token.text

    def number(self) -> int:
        token = self.take()
        if token.kind != NUMBER or not token.text.isdigit():
            raise NotUnderstood("a number was expected")
        return int(token.text)

    def skip_parentheses(self) -> None:
        """Take `( … )` with everything in it."""
        self.expect_symbol("(")
        depth = 1
        while depth:
            if self.at_end:
                raise NotUnderstood("a parenthesis is not closed")
            token = self.take()
            if token.kind == SYMBOL:
                depth += (token.text == "(") - (token.text == ")")

    def skip_to_comma(self) -> None:
        """Take everything up to the next comma or closing parenthesis of this level."""
        while not self.at_end and not self.sees_symbol(",") and not self.sees_symbol(")"):
            if self.sees_symbol("("):
                self.skip_parentheses()
            else:
                self._at += 1

    def has_any(self, words: frozenset[str]) -> bool:
        """Return whether one of the keywords is anywhere in the statement."""
        return any(token.upper in words for token in self._tokens)

    def skip_all(self) -> None:
        self._at = len(self._tokens)

    def names_in_parentheses(self) -> tuple[str, ...]:
        """`(a, b)`."""
        self.expect_symbol("(")
        names = [self.name()]
        while self.accept_symbol(","):
            names.append(self.name())
        self.expect_symbol(")")
        return tuple(names)
