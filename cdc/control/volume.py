"""Refuses a state directory that goes with the container, where the image asks for that.

The kernel's list of mounts decides: bind mounts, named volumes and persistent volume claims are alike there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cdc.errors import ConfigError, StateError

# The image sets it to `required`.
VARIABLE = "CDC_STATE_VOLUME"
MOUNTS = Path("/proc/self/mountinfo")

# What is written there is in memory, or in the container's own layer.
_VOLATILE = frozenset({"aufs", "overlay", "ramfs", "rootfs", "tmpfs"})
# Docker and Podman name a volume that nobody named by 64 hexadecimal digits: the next container gets another.
_ANONYMOUS = re.compile(r"/volumes/[0-9a-f]{64}/_data(?:/|$)")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """`root` is the folder of the file system that is mounted at `point`."""

    root: str
    point: str
    kind: str


def require_volume(
    state_dir: Path, environment: Mapping[str, str] = os.environ, mounts: Path = MOUNTS
) -> None:
    """Raise ConfigError if a volume is required and `state_dir` is on none that outlives the container."""
    wanted = environment.get(VARIABLE) or "optional"
    if wanted not in ("required", "optional"):
        raise ConfigError(
            f"must be required or optional (got {wanted!r})",
            where=VARIABLE,
            remedy=f"Run with: -e {VARIABLE}=required",
        )
    problem = _problem(state_dir, mounts) if wanted == "required" else None
    if problem is None:
        return
    raise ConfigError(
        f"{problem}: the log and the cursors would be lost with the container",
        where=f"state_dir {state_dir}",
        remedy="Mount a named volume, a host folder or a volume claim:"
        f" docker run -v cdc-state:{_mount_point(state_dir)} …"
        f" (or, for a trial that may lose its state: -e {VARIABLE}=optional)",
    )


def _mount_point(state_dir: Path) -> Path:
    """The folder of the image that holds `state_dir`: a new volume takes over its owner."""
    # os.path.isdir is no error where this account may not look.
    there = next(folder for folder in (state_dir, *state_dir.parents) if os.path.isdir(folder))  # noqa: PTH112
    return state_dir if there == Path("/") else there


def make_state_dir(state_dir: Path) -> None:
    """Create the folder, unless it is there. Raise StateError if this account may not."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        may_write = os.access(state_dir, os.W_OK | os.X_OK)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _unusable(state_dir, f"cannot be created: {reason}") from error
    if not may_write:
        raise _unusable(state_dir, "cannot be written")


def _unusable(state_dir: Path, problem: str) -> StateError:
    user, group, folder = os.geteuid(), os.getegid(), _mount_point(state_dir)
    return StateError(
        f"the folder {problem}",
        where=f"state_dir {state_dir}",
        remedy=f"Give {folder}, or the host's folder that is mounted there, to the account of the daemon:"
        f" chown -R {user}:{group} {folder}",
    )


def _problem(state_dir: Path, mounts: Path) -> str | None:
    mount = _mount_of(os.path.realpath(state_dir), mounts.read_text("utf-8", "surrogateescape"))
    if mount.point == "/":
        return "no volume is mounted there"
    if mount.kind in _VOLATILE:
        return f"what is mounted at {mount.point} is {mount.kind}, which keeps nothing"
    if _ANONYMOUS.search(mount.root):
        return f"the volume mounted at {mount.point} has no name"
    return None


def _mount_of(path: str, text: str) -> Mount:
    """The mount that holds `path`: the deepest, and of several at one point the last, which hides others."""
    found = Mount("/", "/", "")
    for mount in _parsed(text):
        holds = mount.point in ("/", path) or path.startswith(f"{mount.point}/")
        if holds and len(mount.point) >= len(found.point):
            found = mount
    return found


def _parsed(text: str) -> Iterator[Mount]:
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        root, point = head.split(" ")[3:5]
        yield Mount(_plain(root), _plain(point), tail.split(" ")[0])


def _plain(field: str) -> str:
    """The kernel escapes spaces and the like in octal."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), field)
