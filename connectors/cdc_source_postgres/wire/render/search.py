"""Full text search types as text, exactly as the server renders them."""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor

_WEIGHTS = ("", "C", "B", "A")
_POSITION_MASK = 0x3FFF
_VALUE, _OPERATOR = 1, 2
_NOT, _AND, _OR, _PHRASE = 1, 2, 3, 4
_PRIORITIES = {_OR: 1, _AND: 2, _PHRASE: 3, _NOT: 4}
# The server's own limit on nesting is its stack; ours keeps a hostile value from exhausting Python's.
MAX_DEPTH = 400


def tsvector_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    lexemes = [_lexeme(cursor) for _ in range(_count(cursor, 3))]
    cursor.finish()
    return " ".join(lexemes)


def _count(cursor: BigEndianCursor, least_bytes: int) -> int:
    """A count of items of at least so many bytes each."""
    count = cursor.i32()
    if count < 0 or count * least_bytes > cursor.left:
        message = f"{count} items announced, {cursor.left} bytes are left"
        raise DecodeError(message)
    return count


def _lexeme(cursor: BigEndianCursor) -> str:
    text = _quoted(cursor.cstring())
    positions = [cursor.u16() for _ in range(cursor.u16())]
    if not positions:
        return text
    return f"{text}:{','.join(f'{p & _POSITION_MASK}{_WEIGHTS[p >> 14]}' for p in positions)}"


def _quoted(text: str) -> str:
    doubled = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


def tsquery_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    # An operator takes two bytes.
    if _count(cursor, 2) == 0:
        cursor.finish()
        return ""
    text = _infix(cursor, -1, is_right_of_phrase=False, depth=0)
    cursor.finish()
    return text


def _infix(cursor: BigEndianCursor, parent_priority: int, *, is_right_of_phrase: bool, depth: int) -> str:
    """One node and its operands, which follow it: the right one first."""
    if depth > MAX_DEPTH:
        message = f"a tsquery nested deeper than {MAX_DEPTH}"
        raise DecodeError(message)
    kind = cursor.u8()
    if kind == _VALUE:
        return _operand(cursor)
    operator = cursor.u8()
    if kind != _OPERATOR or operator not in _PRIORITIES:
        message = "a tsquery with an unknown item"
        raise DecodeError(message)
    priority = _PRIORITIES[operator]
    if operator == _NOT:
        text = "!" + _infix(cursor, priority, is_right_of_phrase=False, depth=depth + 1)
        return f"( {text} )" if priority < parent_priority else text
    sign = _sign(cursor, operator)
    right = _infix(cursor, priority, is_right_of_phrase=operator == _PHRASE, depth=depth + 1)
    left = _infix(cursor, priority, is_right_of_phrase=False, depth=depth + 1)
    text = f"{left} {sign} {right}"
    needs_parentheses = priority < parent_priority or (operator == _PHRASE and is_right_of_phrase)
    return f"( {text} )" if needs_parentheses else text


def _sign(cursor: BigEndianCursor, operator: int) -> str:
    if operator == _PHRASE:
        distance = cursor.i16()
        return "<->" if distance == 1 else f"<{distance}>"
    return "&" if operator == _AND else "|"


def _operand(cursor: BigEndianCursor) -> str:
    weight, prefix = cursor.u8(), cursor.u8()
    text = _quoted(cursor.cstring())
    if not weight and not prefix:
        return text
    marks = "".join(letter for bit, letter in ((8, "A"), (4, "B"), (2, "C"), (1, "D")) if weight & bit)
    return f"{text}:{'*' if prefix else ''}{marks}"
