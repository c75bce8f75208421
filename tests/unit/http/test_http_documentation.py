"""docs/http.md names every path with what the code says of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from cdc.http.app import endpoints
from cdc.http.controls import Controls
from cdc.http.openapi import document
from cdc.http.reads import Reads

DOCS = Path(__file__).resolve().parents[3] / "docs/http.md"


def test_the_page_lists_the_paths_of_the_openapi_document() -> None:
    nobody = cast("Any", None)
    paths = document(endpoints(Reads(nobody), Controls(nobody)))["paths"]
    described = {
        (method.upper(), path): operation["summary"]
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    listed = re.findall(r"^\| `(GET|POST) (/\S+)` \| (.*) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert {(method, path): text for method, path, text in listed} == described
