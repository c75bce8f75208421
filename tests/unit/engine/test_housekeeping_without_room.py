from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cdc.engine.housekeeping import Housekeeping
from cdc.engine.pipelines import Pipelines
from cdc.state import LocalState


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process may grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_books_without_room_say_so_and_are_kept_again_when_there_is_room(tmp_path: Path) -> None:
    with closing(LocalState(tmp_path).open()) as state:
        housekeeping = Housekeeping(state, Pipelines())
        assert housekeeping.tick(final=True).state_dir_full is False
        written = LocalState(tmp_path).status()
        with no_room():
            assert housekeeping.tick(final=True).state_dir_full is True
            assert LocalState(tmp_path).status() == written
        assert housekeeping.tick(final=True).state_dir_full is False
        assert LocalState(tmp_path).status() != written
