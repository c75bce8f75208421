"""Schemathesis sends what the OpenAPI document allows, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.http.conftest import TOKEN, Client
from tests.support.processes import child_environment
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

# Too large and too many are refusals too.
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 413, 421, 422, 429]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 422, 429]
"""


# By the number of examples of each operation: how much longer than any wait it may take.
EXAMPLES = [pytest.param(2, 1, id="few"), pytest.param(25, 5, id="many", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("examples", "patience"), EXAMPLES)
def test_schemathesis_finds_nothing(own_client: Client, tmp_path: Path, examples: int, patience: int) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{own_client.url}/api/v1/openapi.json"]
    options = [
        "--max-examples",
        str(examples),
        "--phases",
        "examples,coverage,fuzzing",
        "--workers",
        "1",
        "--no-color",
    ]
    options += ["--header", f"Authorization: Bearer {TOKEN}", "--exclude-path", "/api/v1/stream"]
    (tmp_path / "schemathesis.toml").write_text(SETTINGS, "utf-8")
    result = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=patience * DEFAULT_TIMEOUT_SECONDS,
        check=False,
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-6000:]
