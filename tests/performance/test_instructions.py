"""No part of a change's way needs more instructions than its budget, whatever else the machine does.

A part that needs more for a good reason gets a new budget: `python -m benchmarks.instructions --write`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import pytest

from benchmarks import instructions
from cdc.native import unavailable_reason

REASONS = {
    "callgrind is not installed: apt install valgrind": not (shutil.which("valgrind") and shutil.which("cc")),
    f"the compiled decoders are not there: {unavailable_reason()}": bool(unavailable_reason()),
    f"the budget counts the interpreter of Python {instructions.budget_version()}": (
        instructions.budget_version() != instructions.minor_version()
    ),
}
# Counted again where a part needs more: it may be where its objects lie in memory.
PADDINGS = (700, 5000)


@pytest.mark.skipif(any(REASONS.values()), reason="; ".join(why for why, holds in REASONS.items() if holds))
def test_no_part_needs_more_instructions_than_its_budget() -> None:
    counted = instructions.count()
    assert counted.keys() == instructions.budget().keys()
    for padding in PADDINGS:
        if over(counted):
            again = instructions.count(padding)
            counted = {part: min(number, again[part]) for part, number in counted.items()}
    assert over(counted) == {}


def over(counted: Mapping[str, int]) -> dict[str, str]:
    """The parts that need more than their budget, and how much."""
    budget = instructions.budget()
    return {
        part: f"{number:,} of {budget[part]:,} allowed"
        for part, number in counted.items()
        if number > budget[part] * (1 + instructions.TOLERANCE)
    }
