"""`cdc docs TOPIC`: prints the documentation of this version, also where only the package is installed."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated

import typer

import cdc
from cdc.cli.output import print_json, print_table
from cdc.cli.session import JsonOption
from cdc.errors import ConfigError

# Beside the package in a checkout; inside it where it was installed (setup.py copies them).
_CHECKOUT = Path(cdc.__file__).parents[1] / "docs"
_SHIPPED = Path(cdc.__file__).parent / "shipped_docs"
# For developers, not for operators.
_LEFT_OUT = ("decisions", "benchmarks")


def docs(
    topic: Annotated[
        str | None,
        typer.Argument(help="Such as operations, sinks/duckdb, or operations#errors for a section."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a page of the documentation, or list the pages."""
    pages = topics()
    if topic is None:
        _list(pages, as_json=as_json)
        return
    page, _, section = topic.removeprefix("docs/").partition("#")
    name = page.removesuffix(".md")
    found = pages.get(name) or next(
        (file for known, file in pages.items() if known.endswith(f"/{name}")), None
    )
    if found is None:
        near = difflib.get_close_matches(name, pages, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else "Run: cdc docs"
        raise ConfigError(f"there is no page {name!r}", where="docs", remedy=remedy)
    text = found.read_text("utf-8")
    print(section_of(text, section) if section else text, end="")


def topics() -> dict[str, Path]:
    """Return the pages by topic: the path below `docs/`, without its ending."""
    root = _CHECKOUT if (_CHECKOUT / "commands.md").is_file() else _SHIPPED
    found = {file.relative_to(root).with_suffix("").as_posix(): file for file in sorted(root.rglob("*.md"))}
    return {name: file for name, file in found.items() if name.split("/")[0] not in _LEFT_OUT}


def section_of(text: str, anchor: str) -> str:
    """Return the section with this anchor, as web pages make them of headings, with what is below it."""
    kept: list[str] = []
    level = 0
    is_code = False
    for line in text.splitlines(keepends=True):
        is_code ^= line.startswith("```")
        # A comment in an example is not a heading.
        marks = 0 if is_code else len(line) - len(line.lstrip("#"))
        if level and 0 < marks <= level:
            break
        if marks and anchor_of(line.lstrip("#")) == anchor:
            level = marks
        if level:
            kept.append(line)
    if not kept:
        raise ConfigError(f"the page has no section {anchor!r}", where="docs", remedy="Omit the section.")
    return "".join(kept)


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def command_for(reference: str) -> str:
    """Return the command that shows `docs/sinks/duckdb.md#names`, as findings and errors refer to a page."""
    page, mark, section = reference.removeprefix("docs/").partition("#")
    return f"cdc docs {page.removesuffix('.md')}{mark}{section}"


def _list(pages: dict[str, Path], *, as_json: bool) -> None:
    titles = {name: file.read_text("utf-8").partition("\n")[0].lstrip("# ") for name, file in pages.items()}
    if as_json:
        print_json(titles)
        return
    print_table(("topic", "title"), list(titles.items()))
