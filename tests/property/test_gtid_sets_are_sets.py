"""GTID sets behave as sets of numbers, and every form gives back the same set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdc_source_mysql.binlog.gtid import GtidSet

SERVERS = ["3e11fa47-71ca-11e1-9e33-c80aa9429562", "024da167-0c0c-11e8-8442-00059a3c7b00"]
# Small numbers, so that runs touch.
Numbers = frozenset[tuple[str, str, int]]
sets: st.SearchStrategy[Numbers] = st.frozensets(
    st.tuples(st.sampled_from(SERVERS), st.sampled_from(["", "blue", "red"]), st.integers(1, 30)), max_size=60
)


def _of(numbers: Numbers) -> GtidSet:
    found = GtidSet()
    for server, tag, number in numbers:
        found.add(server, tag, number)
    return found


@given(sets)
def test_text_and_bytes_give_back_the_set(numbers: Numbers) -> None:
    found = _of(numbers)
    assert found.count() == len(numbers)
    assert GtidSet.parse(str(found)) == found
    assert GtidSet.decode(found.encode()) == found


@given(sets, sets)
def test_operations_are_those_of_sets(left: Numbers, right: Numbers) -> None:
    ours, theirs = _of(left), _of(right)
    assert ours.union(theirs) == _of(left | right)
    assert ours.subtract(theirs) == _of(left - right)
    assert ours.issubset(theirs) == (left <= right)
    assert (ours == theirs) == (left == right)
    assert all(ours.contains(*one) == (one in left) for one in left | right)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=30))
def test_runs_add_up_to_their_numbers(runs: list[tuple[int, int]]) -> None:
    by_run, one_by_one = GtidSet(), GtidSet()
    for first, more in runs:
        by_run.add_run(SERVERS[0], "", first, first + more)
        for number in range(first, first + more + 1):
            one_by_one.add(SERVERS[0], "", number)
    assert by_run == one_by_one
