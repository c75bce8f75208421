"""The docs site builds strictly, and needs nothing but its own files."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT, matching


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "docs/site/zensical.toml").read_text("utf-8")
    names = {page.relative_to(ROOT / "docs").as_posix() for page in matching("docs/*.md", "docs/*/*.md")}
    named = {name for name in names if f'"{name.replace("README.md", "index.md")}"' in nav}
    assert names - named == {name for name in names if name.startswith("decisions/")}


@pytest.mark.slow
def test_the_site_builds_and_every_link_leads_somewhere() -> None:
    built = subprocess.run(
        [sys.executable, "scripts/docs_site.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert (ROOT / "build/site/reference/configuration.html").is_file()
