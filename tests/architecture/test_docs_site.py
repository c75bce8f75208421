"""The docs site builds strictly, and needs nothing but its own files."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT


@pytest.mark.slow
def test_the_site_builds_and_every_link_leads_somewhere() -> None:
    built = subprocess.run(
        [sys.executable, "scripts/docs_site.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert (ROOT / "build/site/reference/configuration.html").is_file()
