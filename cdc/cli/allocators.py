"""Keeps freed memory from piling up: what the daemon promises is resident memory, not what it has in use.

Arrow's own pool keeps freed pages for later, per thread, and so does glibc's malloc with one arena a thread.
A transaction of 3 M rows into two sinks peaked at 400 to 424 MiB with both, at 342 MiB so, in the same time.
Memory that is used again at once must not go back to the system meanwhile: each new page is a fault, and a
quarter of the processor time of a copy was the kernel's.
"""

from __future__ import annotations

import ctypes

import pyarrow as pa

# glibc's numbers for the options M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
# One arena for the interpreter's threads and one for Arrow's: our threads allocate large buffers, few at a
# time, so they rarely wait for each other there.
ARENAS = 2
# Buffers from this size on have pages of their own, which go back when they are freed; left to itself glibc
# raises the mark to 32 MiB with the sizes that it sees, and large buffers leave holes between small ones. The
# columns of a batch of 4 MiB are smaller.
OWN_PAGES_BYTES = 2 * 1024 * 1024
# So much may be free at the end of an arena until it is given back: some batches of each thread.
KEPT_BYTES = 64 * 1024 * 1024
# Freed memory goes back to the system this often: what one phase (the copy, a large delivery) has left would
# else add to the peak of the next, 30 to 50 MiB in a copy and then an update of 1.5 M rows.
GIVE_BACK_SECONDS = 1.0


def bound_resident_memory() -> None:
    """Call before the first thread starts. Does nothing for malloc where the C library is not glibc."""
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, OWN_PAGES_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back_free_memory() -> None:
    """Return what is free inside of malloc's arenas. Does nothing where the C library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
