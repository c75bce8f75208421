from __future__ import annotations

import pytest

from tests.support.postgres.decoders import Wire, wires


@pytest.fixture(params=wires(), ids=lambda wire: wire.name)
def wire(request: pytest.FixtureRequest) -> Wire:
    """Each implementation of the decoders that can be used here."""
    param: Wire = request.param
    return param
