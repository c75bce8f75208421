"""Tables whose copy is due stay incomplete under the names that they get without a row."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from cdc.lake.completeness import Incomplete, after_marks
from cdc.testing.events import altered, table

A = table("public.a", {"id": pa.int64()}, relation=1)
B = table("public.b", {"id": pa.int64()}, relation=2)
BEFORE = (Incomplete("public.a", "then", 1), Incomplete("public.b", "later", 2))


def test_a_renamed_table_is_incomplete_under_its_new_name() -> None:
    moved = replace(A, table=replace(A.table, name="c"))
    assert after_marks(BEFORE[:1], [altered(moved, 0)]) == (Incomplete("public.c", "then", 1),)


def test_a_new_definition_of_a_whole_table_leaves_it_whole() -> None:
    assert after_marks(BEFORE[:1], [altered(B, 0)]) == BEFORE[:1]


def test_two_tables_that_swap_names_are_both_incomplete() -> None:
    swapped = [altered(replace(A, table=B.table), 0), altered(replace(B, table=A.table), 1)]
    assert after_marks(BEFORE, swapped) == (
        Incomplete("public.a", "later", 2),
        Incomplete("public.b", "then", 1),
    )
