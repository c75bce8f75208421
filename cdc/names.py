"""How names are written for people: in messages, logs, status, findings and `cdc tail`.

A name is whatever a database allows: it can hold dots, quotes, line breaks and terminal escapes. A plain name
is written as it is. Any other name is written in double quotes with inner quotes doubled, and characters
that do not print as escapes, so that no name breaks a line or a terminal, and `"a.b".c` is not `a."b.c"`.

Beside the model, not in it: the command line writes names before it needs Arrow.
"""

from __future__ import annotations

import re

# Letters and digits of any script, and what names commonly hold beside them.
_PLAIN = re.compile(r"[\w$-]+")


def shown(name: str) -> str:
    """Return a schema, table or column name as texts for people show it."""
    if _PLAIN.fullmatch(name):
        return name
    quoted = name.replace('"', '""')
    return f'"{printable(quoted)}"'


def printable(text: str, keep: str = "") -> str:
    """Return the text with every character that does not print as its escape, those in `keep` left alone.

    A backslash is doubled where an escape is written beside it, so that the two can be told apart.
    """
    if all(character.isprintable() or character in keep for character in text):
        return text
    return "".join(_escaped(character, keep) for character in text)


def _escaped(character: str, keep: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable() or character in keep:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()
