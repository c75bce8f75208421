"""Waivers of contract suites: each names a promise that an implementation cannot keep, with a reason. A
waiver of a promise that is kept fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

import pytest

Suite = TypeVar("Suite", bound=type)


def honours_waivers(suite: Suite) -> Suite:
    """Let every test of a suite read the class attribute `waived` of its subclass."""
    for name, test in list(vars(suite).items()):
        if name.startswith("test_"):
            setattr(suite, name, _waivable(name, test))
    return suite


def stale_waivers(suite: type) -> list[str]:
    """Waivers of a subclass that name no test, or give no reason."""
    waived: Mapping[str, str] = getattr(suite, "waived", {})
    return [name for name, reason in waived.items() if not hasattr(suite, name) or not reason.strip()]


def _waivable(name: str, test: Callable[..., None]) -> Callable[..., None]:
    @wraps(test)
    def run(self: Any, *args: Any, **kwargs: Any) -> None:
        reason = self.waived.get(name)
        if reason is None:
            test(self, *args, **kwargs)
            return
        try:
            test(self, *args, **kwargs)
        except Exception:  # noqa: BLE001  (whatever broke, the waiver foresaw it)
            pytest.skip(f"waived: {reason}")
        pytest.fail(f"the waiver of {name} is stale: the promise is kept")

    return run
