"""The words of a statement, as the server's lexer reads them, and a cursor over them.

Depends on the statement's sql_mode (ANSI_QUOTES, NO_BACKSLASH_ESCAPES) and on the flavour (`/*M! */` is code
on MariaDB only). Version-dependent comments count as code: the server blanks those it skips before it logs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdc.model import TableId
from cdc_source_mysql.schema.charsets import decode_text

ANSI_QUOTES: Final = 1 << 2
NO_BACKSLASH_ESCAPES: Final = 1 << 20
REAL_AS_FLOAT: Final = 1 << 0
NO_AUTO_VALUE_ON_ZERO: Final = 1 << 19
STRICT: Final = 1 << 21 | 1 << 22
NO_ENGINE_SUBSTITUTION: Final = 1 << 30
PAD_CHAR_TO_FULL_LENGTH: Final = 1 << 31
# MariaDB: other names of types, other grammar. MySQL has no such mode, and uses the bit for nothing.
ORACLE: Final = 1 << 9

WORD: Final = "word"
QUOTED: Final = "quoted"
STRING: Final = "string"
NUMBER: Final = "number"
BYTES: Final = "bytes"
# MariaDB's x'…': a text where a number is expected, unlike 0x….
BYTE_TEXT: Final = "byte text"
SYMBOL: Final = "symbol"

_SPACE = re.compile(r"[\s\x00]+")
_LINE = re.compile(r"(?:#|--(?=[\s\x00-\x1f]|$))[^\n]*", re.MULTILINE)
_VERSION = re.compile(r"/\*(M?)!(\d{5,6})?")
_HEX = re.compile(r"[xX]'([0-9a-fA-F]*)'|0x([0-9a-fA-F]+)(?![\w$])")
_BITS = re.compile(r"[bB]'([01]*)'|0b([01]+)(?![\w$])")
_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![0-9A-Za-z_$\x80-\U0010ffff])")
_WORD = re.compile(r"[0-9A-Za-z_$\x80-\U0010ffff]+")
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}
# The character sets in which a statement needs no conversion of its own.
_PLAIN = frozenset({"utf8mb4", "utf8mb3", "utf8", "ascii", "binary", ""})


class NotLexed(Exception):
    """The text ends inside of a string or a comment."""


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what it means: quotes removed, escapes resolved; of BYTES and BYTE_TEXT the hex digits.
    `start` and `end` are offsets in the statement.
    """

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The keyword that an unquoted word may be; '' for anything else than a word."""
        return self.text.upper() if self.kind == WORD else ""


# What is seen after the last one.
END: Final = Token("end", "", -1, -1)


def decode_statement(sql: bytes, charset: str) -> str:
    """The statement's text. Bytes without a counterpart (a binary literal) become U+FFFD."""
    if charset not in _PLAIN:
        text = decode_text(sql, charset)
        if text is not None:
            return text
    return sql.decode("utf-8", errors="replace")


def tokenize(sql: str, sql_mode: int, flavour: str) -> list[Token]:
    """All tokens in order.

    Raises:
        NotLexed: the text can't be cut into tokens.
    """
    return _Lexer(sql, sql_mode, flavour).run()


def words_in(sql: str) -> frozenset[str]:
    """Everything that may be a name in a text that can't be cut into tokens."""
    return frozenset(_WORD.findall(sql)) | frozenset(re.findall(r"[`\"]([^`\"]+)[`\"]", sql))


class _Lexer:
    def __init__(self, sql: str, sql_mode: int, flavour: str) -> None:
        self._sql = sql
        self._at = 0
        self._tokens: list[Token] = []
        self._ansi = bool(sql_mode & ANSI_QUOTES)
        self._escapes = not sql_mode & NO_BACKSLASH_ESCAPES
        self._is_mariadb = flavour == "mariadb"
        self._in_version = False

    def run(self) -> list[Token]:
        while True:
            self._skip()
            if self._at >= len(self._sql):
                return self._tokens
            self._token()

    def _skip(self) -> None:
        while self._at < len(self._sql):
            match = _SPACE.match(self._sql, self._at) or _LINE.match(self._sql, self._at)
            if match is not None:
                self._at = match.end()
            elif self._sql.startswith("/*", self._at):
                self._comment()
            elif self._in_version and self._sql.startswith("*/", self._at):
                self._in_version = False
                self._at += 2
            else:
                return

    def _comment(self) -> None:
        version = _VERSION.match(self._sql, self._at)
        if version is not None and (self._is_mariadb or not version[1]):
            self._in_version = True
            self._at = version.end()
            return
        end = self._sql.find("*/", self._at + 2)
        if end < 0:
            raise NotLexed
        self._at = end + 2

    def _token(self) -> None:
        sql, at = self._sql, self._at
        char = sql[at]
        if char == "`" or (char == '"' and self._ansi):
            text, end = self._quoted(char, escapes=False)
            self._add(QUOTED, text, end)
        elif char in "'\"":
            text, end = self._quoted(char, escapes=self._escapes)
            self._add(STRING, text, end)
        elif not self._literal():
            match = _WORD.match(sql, at)
            if match is not None:
                self._add(WORD, match[0], match.end())
            else:
                self._add(SYMBOL, char, at + 1)

    def _literal(self) -> bool:
        """Take a number, unless it is part of a name: `db.2024`, `1st`."""
        if self._after_dot():
            return False
        for pattern, base in ((_HEX, 16), (_BITS, 2)):
            match = pattern.match(self._sql, self._at)
            if match is not None:
                digits = match[1] if match[1] is not None else match[2]
                is_text = self._is_mariadb and base == 16 and match[1] is not None
                self._add(BYTE_TEXT if is_text else BYTES, _hex_of(digits, base), match.end())
                return True
        match = _NUMBER.match(self._sql, self._at)
        if match is None or (match[0][0] == "." and self._touches_name()):
            return False
        self._add(NUMBER, match[0], match.end())
        return True

    def _after_dot(self) -> bool:
        last = self._tokens[-1] if self._tokens else None
        return last is not None and last.kind == SYMBOL and last.text == "." and last.end == self._at

    def _touches_name(self) -> bool:
        last = self._tokens[-1] if self._tokens else None
        return last is not None and last.kind in {WORD, QUOTED} and last.end == self._at

    def _quoted(self, quote: str, *, escapes: bool) -> tuple[str, int]:
        sql, at = self._sql, self._at + 1
        special = re.compile(rf"{re.escape(quote)}|\\" if escapes else re.escape(quote))
        parts: list[str] = []
        while True:
            match = special.search(sql, at)
            if match is None or match.end() > len(sql):
                raise NotLexed
            parts.append(sql[at : match.start()])
            at = match.end()
            following = sql[at : at + 1]
            if match[0] == "\\":
                if not following:
                    raise NotLexed
                parts.append(_ESCAPES.get(following, following))
            elif following == quote:
                parts.append(quote)
            else:
                return "".join(parts), at
            at += 1

    def _add(self, kind: str, text: str, end: int) -> None:
        self._tokens.append(Token(kind, text, self._at, end))
        self._at = end


def _hex_of(digits: str, base: int) -> str:
    if base == 16:
        return digits.lower().zfill(len(digits) + len(digits) % 2)
    size = (len(digits) + 7) // 8
    return int(digits or "0", 2).to_bytes(size, "big").hex()


class NotUnderstood(Exception):
    """The grammar lacks what comes here; the text says where, without values."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Settings of a statement's session, from its event. `explicit_timestamps` is
    explicit_defaults_for_timestamp, None when that isn't known; `server_collation` is collation_server, which
    new databases get. `keeps_literals`: character_set_connection, to which the server converts texts,
    has all characters of the client's set.
    """

    explicit_timestamps: bool | None = None
    server_collation: str = ""
    keeps_literals: bool = True


USUAL_SESSION: Final = SessionSettings()


@dataclass(frozen=True, slots=True)
class Context:
    """Context of a statement, on which its meaning depends besides its text."""

    database: str
    sql_mode: int
    flavour: str
    session: SessionSettings = USUAL_SESSION

    def shows(self, text: str) -> bool:
        """Return whether a literal's text in the statement is the text that the server makes of it."""
        return self.session.keeps_literals or text.isascii()


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
