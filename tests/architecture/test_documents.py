"""Documents point at files that exist, and nothing names the machine that it was written on."""

from __future__ import annotations

import re
from pathlib import Path

from cdc.cli.docs import anchor_of
from tests.architecture.tree import ROOT, files, matching

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
# Folders of one machine, in any spelling that a paste would leave behind.
MACHINE_PATHS = re.compile(r"/(?:root|home/\w+|Users/\w+|work)/\w|/tmp/(?:brief|bash)", re.IGNORECASE)
TEXT_SUFFIXES = {".py", ".pyx", ".pxd", ".pyi", ".md", ".toml", ".yaml", ".yml", ".sh", ".cfg", ".json", ""}


def _dead_links(document: Path) -> list[str]:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    local = [(t, anchor) for t, anchor in links if not re.match(r"[a-z]+:", t)]
    return [f"{document.relative_to(ROOT)} → {t}#{a}" for t, a in local if not _leads(document, t, a)]


def _leads(document: Path, target: str, anchor: str) -> bool:
    file = document.parent / target if target else document
    if not anchor or file.suffix != ".md":
        return file.exists()
    return file.exists() and anchor in map(anchor_of, HEADING.findall(file.read_text(encoding="utf-8")))


def test_links_between_documents_lead_somewhere() -> None:
    assert [link for document in matching("*.md") for link in _dead_links(document)] == []


def test_files_name_no_machine() -> None:
    """Sources, documents and settings hold for every checkout."""
    own = Path(__file__)
    found = []
    for path in files():
        if path == own or path.suffix not in TEXT_SUFFIXES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in MACHINE_PATHS.finditer(text)]
    assert found == []


def test_commands_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documents = [
        p for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs/testing.md") if p.exists()
    ]
    named = {
        t
        for p in documents
        for t in re.findall(r"^make ([a-z-]+)", p.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert [t for t in sorted(named) if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []
