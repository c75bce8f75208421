"""What a user starts is an interpreter: no forks here."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def as_users_start_it(fresh_processes: None) -> None:
    """Every command of this folder imports what it needs itself."""
