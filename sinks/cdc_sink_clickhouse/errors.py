"""Meanings of the server's errors, decided by their code at this one boundary.

The server's messages can quote values of rows: only the name of an error is repeated.
"""

from __future__ import annotations

import re

from clickhouse_connect.driver.exceptions import ClickHouseError

from cdc.errors import CdcError, SinkRefused, SinkUnavailable

_RETRIED = "It is retried automatically."
_LOGIN = "Correct user and password in url."
# What a denied statement needs. Names of columns are left out; the object has no values.
_GRANT = re.compile(r"have (?:the )?grant ([A-Z][A-Z ]*?)(?:\([^)]*\))? ON (.+?)\.? \(ACCESS_DENIED\)")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)\s*(?:\(version [^)]*\))?\s*$")

# Codes of errors that pass, with what the operator can do meanwhile.
_PASSING = {
    60: f"A table was dropped meanwhile. {_RETRIED}",
    81: f"A database was dropped meanwhile. {_RETRIED}",
    159: _RETRIED,
    160: _RETRIED,
    164: f"The server or the user's profile is read-only. {_RETRIED}",
    202: _RETRIED,
    203: _RETRIED,
    209: _RETRIED,
    210: _RETRIED,
    225: f"The server has no Keeper, which `engine: replicated` needs. {_RETRIED}",
    236: _RETRIED,
    241: f"The server is out of memory. {_RETRIED}",
    242: f"The table is read-only while its replica has no Keeper. {_RETRIED}",
    243: f"Free disk space on the server. {_RETRIED}",
    252: f"Parts are inserted faster than the server merges them: raise flush.interval. {_RETRIED}",
    279: _RETRIED,
    285: _RETRIED,
    319: _RETRIED,
    373: f"Another statement of this sink is still running, or a second daemon. {_RETRIED}",
    394: _RETRIED,
    425: _RETRIED,
    999: f"The server has lost its Keeper. {_RETRIED}",
}
_REFUSED_LOGIN = frozenset({192, 193, 194, 516})
_ACCESS_DENIED = 497
UNKNOWN_TABLE, UNKNOWN_DATABASE = 60, 81
# What one table is refused for; the others can still be stored.
_OF_ONE_TABLE = frozenset(
    {6, 27, 36, 38, 41, 43, 44, 48, 50, 53, 69, 70, 72, 117, 131, 190, 321, 349, 407, 524}
)


def code_of(error: BaseException | None) -> int | None:
    """Return the server's code of an error; None if the server did not send one."""
    if not isinstance(error, ClickHouseError):
        return None
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return code
    found = re.search(r"\b[Cc]ode:? (\d+)", str(error))
    return int(found[1]) if found else None


def name_of(error: ClickHouseError) -> str:
    """Return the server's name of an error, as far as known."""
    name = getattr(error, "name", None)
    found = _NAME.search(str(error).strip())
    code = code_of(error)
    known = name if isinstance(name, str) and name else found[1] if found else ""
    return known + f" (code {code})" * (code is not None) or type(error).__name__


def translated_error(error: ClickHouseError, operation: str, where: str) -> CdcError:
    """Return the driver's error as one of ours."""
    code = code_of(error)
    if code is None:
        return SinkUnavailable(f"{operation}: the server does not answer", where=where, remedy=_RETRIED)
    message = f"{operation}: {name_of(error)}"
    if code in _PASSING:
        return SinkUnavailable(message, where=where, remedy=_PASSING[code])
    if code in _REFUSED_LOGIN:
        return SinkRefused(message, where=where, remedy=_LOGIN)
    if code == _ACCESS_DENIED:
        lacking = _GRANT.search(str(error))
        message += f": the user lacks {lacking[1]} on {lacking[2]}" if lacking else ""
        remedy = "Run cdc check: it prints the statement for each missing privilege."
        return SinkRefused(message, where=where, remedy=remedy)
    return SinkRefused(message, where=where, remedy="The server's log says more; run cdc check.")


def table_refusal(error: Exception, where: str) -> CdcError | None:
    """Return the error as ours if it refused what was done to one table."""
    if not isinstance(error, ClickHouseError) or code_of(error) not in _OF_ONE_TABLE:
        return None
    remedy = "Exclude the table or the column in the source's configuration; the server's log says more."
    return SinkRefused(f"the server refused the table: {name_of(error)}", where=where, remedy=remedy)
