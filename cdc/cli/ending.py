"""The end of a process whose workers may still be running."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn


def end_process(reason: BaseException) -> NoReturn:
    """Flush the streams, and end the process at once with the exit code of `reason`.

    The interpreter is not finalised. Finalising ends each other thread where it next takes the interpreter's
    lock, which for a worker that did not stop in time is inside DuckDB or pyarrow: C++ answers with SIGABRT
    or SIGSEGV. A copy under way would hold up the end, because its pool of threads is joined first. Nothing
    is lost: what sinks and log have committed is durable, and the rest is applied again, as after a kill.
    """
    code = reason.code if isinstance(reason, SystemExit) else 1
    if not isinstance(reason, SystemExit):
        sys.excepthook(type(reason), reason, reason.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        # The reader of a pipe may have gone, and with it the stream.
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
