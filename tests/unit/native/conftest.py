from __future__ import annotations

from types import ModuleType

import pytest

from cdc.native import implementation
from cdc_source_postgres.wire import python as wire_python


def _modules() -> list[ModuleType]:
    if implementation() != "c":
        return [wire_python]
    from cdc_source_postgres.wire import native as wire_native

    return [wire_native, wire_python]


@pytest.fixture(params=_modules(), ids=lambda module: module.__name__.rpartition("_")[2])
def wire(request: pytest.FixtureRequest) -> ModuleType:
    """Each implementation of the decoders that can be used here."""
    module: ModuleType = request.param
    return module
