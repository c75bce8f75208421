"""Whatever happens to the bytes of a log's tail, what opens is a prefix of what was committed, or a
refusal.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.errors import LogCorrupt, StateError
from cdc.log import SegmentedLog
from cdc.model import Commit
from cdc.testing.events import append, append_parts
from tests.support.logs import idle, newest, one, opened, parts, rows

# Every byte is tried in a stride that the seed moves, so that runs together try all and each is quick.
STRIDE = 61


class _History:
    """A log folder of a few commits, and what the log held after each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states: list[tuple[Commit | None, dict[str, str], list[dict[str, Any]]]] = []
        with opened(folder) as log:
            self._note(log)
            self.head = newest(folder).stat().st_size
            steps = [[one(1, 1, 2)], parts(2, 2, 3), [idle(3)], [one(4, 5)]]
            for number, step in enumerate(steps):
                append_parts(log, step, {"n": str(number), f"k{number}": "x"})
                self._note(log)
        self.data = newest(folder).read_bytes()

    def _note(self, log: SegmentedLog) -> None:
        self.states.append((log.end, dict(log.metadata), rows(log)))

    def open_with(
        self, data: bytes, folder: Path
    ) -> tuple[Commit | None, dict[str, str], list[dict[str, Any]]]:
        folder.mkdir()
        try:
            (folder / newest(self.folder).name).write_bytes(data)
            with opened(folder) as log:
                state = (log.end, dict(log.metadata), rows(log))
                append(log, one(99, 99))
                assert [*state[2], rows(log)[-1]] == rows(log)
            return state
        finally:
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> _History:
    return _History(tmp_path_factory.mktemp("log"))


def test_log_cut_at_any_byte_opens_as_a_prefix_of_its_commits(history: _History, tmp_path: Path) -> None:
    ends = [0]
    for length in range(history.head + random.randrange(STRIDE), len(history.data) + 1, STRIDE):
        state = history.open_with(history.data[:length], tmp_path / "cut")
        ends.append(history.states.index(state))
    assert ends == sorted(ends)
    assert history.open_with(history.data, tmp_path / "cut") == history.states[-1]


def test_log_with_zeros_for_its_tail_opens_as_a_prefix_of_its_commits(
    history: _History, tmp_path: Path
) -> None:
    for length in range(history.head, len(history.data), 5 * STRIDE):
        data = history.data[:length] + bytes(len(history.data) - length)
        assert history.open_with(data, tmp_path / "cut") in history.states


def test_any_flipped_bit_is_refused_or_cuts_the_newest_commit(history: _History, tmp_path: Path) -> None:
    before_last = history.states[-2]
    refused = 0
    for at in range(random.randrange(STRIDE), len(history.data), STRIDE):
        data = bytearray(history.data)
        bit = random.randrange(8)
        data[at] ^= 1 << bit
        try:
            state = history.open_with(bytes(data), tmp_path / "flipped")
            assert state == before_last, f"bit {bit} of byte {at}"
        except (LogCorrupt, StateError):
            refused += 1
    assert refused > 0


def test_log_cut_in_its_head_is_refused(history: _History, tmp_path: Path) -> None:
    for length in range(0, history.head, 7):
        with pytest.raises(LogCorrupt):
            history.open_with(history.data[:length], tmp_path / "cut")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("one"), st.integers(1, 4)),
        st.tuples(st.just("parts"), st.integers(2, 4)),
        st.tuples(st.just("abandon"), st.integers(1, 3)),
        st.tuples(st.just("idle"), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0)),
        st.tuples(st.just("truncate"), st.integers(0, 100)),
        st.tuples(st.just("trim"), st.integers(0, 100)),
    ),
    max_size=25,
)


class _Model:
    """What a log must hold, as a list of commits."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[int], dict[str, str]]] = []
        self.trimmed = 0

    def ids(self) -> list[int]:
        return [i for ids, _ in self.commits for i in ids]

    def borders(self) -> list[int]:
        borders = [0]
        for ids, _ in self.commits:
            borders.append(borders[-1] + len(ids))
        return borders


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, segment_bytes=st.sampled_from([1, 5_000, 1_000_000]))
def test_any_sequence_of_calls_leaves_what_a_list_would_hold(
    steps: list[tuple[str, int]], segment_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    log = SegmentedLog(folder, segment_bytes=segment_bytes)
    model = _Model()
    try:
        for at, (kind, number) in enumerate(steps, 1):
            log = _step(log, model, at, kind, number, segment_bytes)
            found = rows(log)
            assert [row["_cdc_seq"] for row in found] == list(range(log.start, len(model.ids())))
            assert [row["id"] for row in found] == model.ids()[log.start :]
            assert log.metadata == (model.commits[-1][1] if model.commits else {})
            assert log.start <= model.trimmed
    finally:
        log.close()
        shutil.rmtree(folder)


def _step(
    log: SegmentedLog, model: _Model, at: int, kind: str, number: int, segment_bytes: int
) -> SegmentedLog:
    facts = dict(model.commits[-1][1]) if model.commits else {}
    if kind == "one":
        append(log, one(at, *range(number)), metadata={"at": str(at)})
        model.commits.append((list(range(number)), facts | {"at": str(at)}))
    elif kind == "idle":
        append(log, idle(at), metadata={"at": None, "idle": str(at)})
        facts.pop("at", None)
        model.commits.append(([], facts | {"idle": str(at)}))
    elif kind == "parts":
        append_parts(log, parts(at, number, 2))
        model.commits.append((list(range(2 * number)), facts))
    elif kind == "abandon":
        with log.begin() as entry:
            for part in parts(at, number + 1, 2)[:-1]:
                entry.append(part)
    elif kind == "reopen":
        log.close()
        return SegmentedLog(log.folder, segment_bytes=segment_bytes)
    elif kind == "truncate":
        _truncate(log, model, number)
    else:
        model.trimmed = max(model.trimmed, number * len(model.ids()) // 100)
        log.trim(model.trimmed, max_bytes=0)
    return log


def _truncate(log: SegmentedLog, model: _Model, percent: int) -> None:
    borders = model.borders()
    target = borders[percent * (len(borders) - 1) // 100]
    if target < log.start or target == borders[-1]:
        return
    log.truncate(target)
    while model.borders()[-1] > target:
        model.commits.pop()
