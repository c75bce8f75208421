"""The OpenAPI document is the one that clients were written against.

Record it again after an intended change: `python -m tests.golden.http.test_openapi`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import orjson

from cdc.http.app import endpoints
from cdc.http.controls import Controls
from cdc.http.openapi import document
from cdc.http.reads import Reads

RECORDED = Path(__file__).with_name("openapi.jsonl")


def _operations() -> bytes:
    """One line for each operation: path, method and description."""
    nobody = cast("Any", None)
    paths = document(endpoints(Reads(nobody), Controls(nobody)))["paths"]
    lines = [
        orjson.dumps([path, method, operation])
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    return b"\n".join(lines) + b"\n"


def test_every_operation_is_the_recorded_one() -> None:
    assert _operations().splitlines() == RECORDED.read_bytes().splitlines()


if __name__ == "__main__":
    RECORDED.write_bytes(_operations())
