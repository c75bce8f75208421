"""Build the docs site into build/site: `make docs`. What leads nowhere, or elsewhere, fails the build.

The pages are staged in build/docs: `docs/`, the README as the first page, and the references made from the
code. Links to other files of the repository lead to copies of them: the site needs nothing but its folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import docs_reference

ROOT = Path(__file__).resolve().parents[1]
STAGED = ROOT / "build/docs"
SITE = ROOT / "build/site"
SETTINGS = ROOT / "docs/site/zensical.toml"
# Beside the pages: zensical builds only below the folder of its settings.
STAGED_SETTINGS = ROOT / "build/zensical.toml"
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
ASTERISK = re.compile(r'^(?P<indent> *)"(?P<glob>[^"]*\*[^"]*)",\n', re.MULTILINE)
# Pages whose place in the site is not their place below docs/.
MOVED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "docs/decisions": "decisions/index.md",
    "docs/benchmarks": "benchmarks/index.md",
    "docs/benchmarks/README.md": "benchmarks/index.md",
    "config/examples": "reference/examples.md",
}
# Attributes whose value the browser loads with the page.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "use": "href"}
ELSEWHERE = re.compile(r"^(?:[a-z]+:)?//")
LOADED_BY_STYLE = re.compile(r"(?:@import\s+|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)")


def main() -> int:
    """Stage, build and check; print each problem and return 1 if there is any."""
    shutil.rmtree(STAGED, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    stage()
    problems = [f"docs/site/zensical.toml: nav and pages differ in {page}" for page in differing_from_nav()]
    command = [
        sys.executable,
        "-m",
        "zensical",
        "build",
        "--strict",
        "--clean",
        "--config-file",
        str(STAGED_SETTINGS),
    ]
    if subprocess.run(command, check=False).returncode:
        problems.append("zensical build --strict failed: see its messages above")
    problems += broken()
    for problem in problems:
        print(f"docs: {problem}", file=sys.stderr)
    if not problems:
        print(f"docs: {SITE.relative_to(ROOT)}/index.html")
    return 1 if problems else 0


def stage() -> None:
    """Write the pages of the site, and its settings beside them."""
    write(STAGED_SETTINGS, settings())
    for asset in SETTINGS.parent.glob("iframe-worker.*"):
        copy(asset, STAGED / "assets" / asset.name)
    for file in sorted((ROOT / "docs").rglob("*")):
        name = file.relative_to(ROOT).as_posix()
        if name.startswith("docs/site/") or file.is_dir():
            continue
        target = STAGED / place_of(name)
        if file.suffix == ".md":
            write(target, linked(file))
        else:
            copy(file, target)
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        write(STAGED / MOVED[name], linked(ROOT / name))
    write(STAGED / "decisions/index.md", decisions())
    write(STAGED / "reference/configuration.md", docs_reference.configuration())
    write(STAGED / "reference/http.md", docs_reference.http())
    write(STAGED / "reference/examples.md", examples())


def place_of(name: str) -> str:
    """Return where the site has a file of the repository: a page, or a copy in files/."""
    if name in MOVED:
        return MOVED[name]
    return name.removeprefix("docs/") if name.startswith("docs/") else f"files/{name}"


def linked(file: Path) -> str:
    """Return the text of a page with the links to files of the repository as the site has them."""
    here = Path(place_of(file.relative_to(ROOT).as_posix())).parent

    def moved(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups(default="")
        source = (file.parent / target).resolve()
        if re.match(r"[a-z]+:", target) or not source.is_relative_to(ROOT) or not source.exists():
            return match.group()
        name = place_of(source.relative_to(ROOT).as_posix())
        if name.startswith("files/"):
            copy(source, STAGED / name)
        return f"{before}{os.path.relpath(name, here)}{anchor}{after}"

    return LINK.sub(moved, file.read_text("utf-8"))


def decisions() -> str:
    """Return the list of the decisions."""
    files = sorted((ROOT / "docs/decisions").glob("*.md"))
    titles = [(file.name, file.read_text("utf-8").partition("\n")[0].lstrip("# ")) for file in files]
    rows = "\n".join(f"- [{title}]({name})" for name, title in titles)
    return (
        f"# Decisions\n\nWhy the daemon is built the way it is: context, decision, consequence.\n\n{rows}\n"
    )


def examples() -> str:
    """Return the page of the example configurations."""
    files = sorted((ROOT / "config/examples").glob("*.yaml"))
    blocks = [f"## {file.name}\n\n```yaml\n{file.read_text('utf-8').rstrip()}\n```\n" for file in files]
    return "# Example configurations\n\nComplete files; a test loads each.\n\n" + "\n".join(blocks)


def settings() -> str:
    """Return the settings with a line for each page that an asterisk in `nav` stands for."""

    def lines(match: re.Match[str]) -> str:
        pages = sorted((ROOT / "docs").glob(match["glob"]))
        return "".join(
            f'{match["indent"]}"{page.relative_to(ROOT / "docs").as_posix()}",\n' for page in pages
        )

    return ASTERISK.sub(lines, SETTINGS.read_text("utf-8"))


def differing_from_nav() -> list[str]:
    """Return the pages that only the stage or only the navigation has."""
    listed = set(leaves(tomllib.loads(STAGED_SETTINGS.read_text("utf-8"))["project"]["nav"]))
    pages = {page.relative_to(STAGED).as_posix() for page in STAGED.rglob("*.md")}
    return sorted(pages ^ listed)


def leaves(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        yield from leaves(list(nav.values()))
    elif isinstance(nav, list):
        for one in nav:
            yield from leaves(one)


class Page(HTMLParser):
    """Anchors of a page, what it links to, and what the browser loads with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (name := LOADED.get(tag)) and name in given and given.get("rel") not in ("canonical", "alternate"):
            self.loaded.append(given[name])


def broken() -> list[str]:
    """Return what leads nowhere, and what a browser would load from elsewhere."""
    pages = {file: Page(file.read_text("utf-8")) for file in sorted(SITE.rglob("*.html"))}
    problems: list[str] = []
    for file, page in pages.items():
        name = file.relative_to(SITE)
        # The page for addresses that do not exist is served at any depth.
        if file.name == "404.html":
            continue
        problems += [f"{name}: loads {one}" for one in page.loaded if ELSEWHERE.match(one)]
        targets = [one for one in [*page.links, *page.loaded] if not re.match(r"^(?:[a-z]+:|//)", one)]
        problems += [f"{name}: {one} leads nowhere" for one in targets if not leads(file, one, pages)]
    for file in sorted(SITE.rglob("*.css")):
        problems += [
            f"{file.relative_to(SITE)}: loads {one}"
            for one in LOADED_BY_STYLE.findall(file.read_text("utf-8"))
        ]
    return problems


def leads(file: Path, target: str, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(target)
    found = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    found = found / "index.html" if found.is_dir() else found
    if not found.exists():
        return False
    return not parts.fragment or found not in pages or unquote(parts.fragment) in pages[found].anchors


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    sys.exit(main())
