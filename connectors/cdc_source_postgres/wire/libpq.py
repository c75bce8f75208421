"""The calls of libpq that psycopg offers only with Python objects around each row.

They are taken from the very library that psycopg's connections live in: a second copy of libpq would read
other structures.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import cache

import psycopg
from psycopg import pq

# psycopg's compiled forms, and the modules that are linked with their libpq. In its pure-Python form a call
# costs so much that nothing is gained.
_LINKED = {"binary": "psycopg_binary.pq", "c": "psycopg_c.pq"}


def copy_data_calls(pgconn: object) -> tuple[int, int] | None:
    """The addresses of PQgetCopyData and PQfreemem; None where this connection can't be asked that way."""
    return _addresses() if isinstance(pgconn, pq.PGconn) else None


@cache
def _addresses() -> tuple[int, int] | None:
    module = _LINKED.get(pq.__impl__)
    if module is None:
        return None
    try:
        # A look-up by this handle finds the libraries that the module is linked with.
        library = ctypes.CDLL(str(importlib.import_module(module).__file__))
        get, free = (
            ctypes.cast(call, ctypes.c_void_p).value for call in (library.PQgetCopyData, library.PQfreemem)
        )
    except (ImportError, OSError, AttributeError):
        # Windows looks into the module alone.
        return None
    return (get, free) if get and free else None


def copy_data_error(pgconn: pq.abc.PGconn) -> psycopg.OperationalError:
    """Return the error that psycopg would raise after PQgetCopyData failed."""
    return psycopg.OperationalError(pgconn.get_error_message())
