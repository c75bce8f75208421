"""A program of its own: copies the file named by its argument to its standard output, another file.

A process that closes any descriptor of a file gives up every POSIX lock that it has on that file, so the one
that holds the database must not open it a second time: `publish` runs this as a child. It uses the standard
library only, to start in 0.03 s with 9 MB. The exit status is 0 or the system's number of what went wrong.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys

# Linux: make one file share another's blocks (btrfs, xfs): a copy of any size in milliseconds.
_FICLONE = 0x40049409


def copy(source: int, target: int) -> None:
    """All of one open file into the other, which is empty."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        # The file system can't share blocks, or these are two of them; the kernel copies.
        _copy_bytes(source, target)


def _copy_bytes(source: int, target: int) -> None:
    left = os.fstat(source).st_size
    offset = 0
    while left > 0:
        done = os.sendfile(target, source, offset, left)
        if done == 0:
            raise OSError(errno.EIO, f"the file ended {left} bytes early")
        offset += done
        left -= done


def main() -> int:
    """The exit status."""
    try:
        copy(os.open(sys.argv[1], os.O_RDONLY), sys.stdout.fileno())
    except OSError as error:
        return error.errno or errno.EIO
    return 0


if __name__ == "__main__":
    sys.exit(main())
