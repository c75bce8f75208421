"""A browser on the operator's page of a daemon that copies a Postgres database into a mirror and a lake."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.integration.http.conftest import TOKEN, Client, client_of, environment
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess
from tests.support.proxy import Proxy

DESKTOP, PHONE = (1440, 900), (390, 844)
# As a browser counts; the longest wait is for a retry of the daemon, half a minute.
TIMEOUT_MS = 90_000


@dataclass(frozen=True)
class Operated:
    """A daemon with all around it, and the client of its service."""

    pipeline: Pipeline
    database: Database
    proxy: Proxy
    daemon: CdcProcess
    client: Client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's Chromium. While it is open, its event loop runs in this thread, where other tests have
    theirs.
    """
    path = shutil.which("chromium")
    assert path is not None, "chromium is missing: `make setup` installs it"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def opened(browser: Browser, url: str, *, may_lose: bool = False) -> Iterator[Page]:
    """The page in a window of its own. Whatever the browser complains about fails the test, but for
    connections that the daemon ends (`may_lose`).
    """
    width, height = DESKTOP
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.set_default_timeout(TIMEOUT_MS)
    complaints: list[str] = []
    foreign: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda request: None if request.url.startswith((url, "data:")) else foreign.append(request.url),
    )
    try:
        page.goto(url)
        yield page
        # A refused control is an answer that the browser calls an error.
        accepted = ["the server responded with a status of 4", *(["net::ERR_"] if may_lose else [])]
        assert [one for one in complaints if not any(text in one for text in accepted)] == []
        assert foreign == []
    finally:
        context.close()


def wait_for_title(page: Page, title: str) -> None:
    """Until the page's verdict contains this."""
    page.wait_for_function("text => document.querySelector('#v-h')?.textContent.includes(text)", arg=title)


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA and its best practice, each with the elements."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'][:200] for node in one['nodes'][:3]]}" for one in found]


@contextmanager
def operated(
    database: Database,
    folder: Path,
    *,
    held: bool = False,
    variables: Mapping[str, str] | None = None,
    flush_rows: int | None = None,
    lake_interval: str | None = None,
) -> Iterator[Operated]:
    """A daemon that serves, on a database behind a proxy, which holds all answers back if `held`."""
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(database.server.port))
        if held:
            proxy.pause("to_client")
        pipeline = Pipeline(database, folder, url=database.dsn(port=str(proxy.port), sslmode="disable"))
        if flush_rows is not None:
            pipeline.configure_sink("warehouse", flush={"interval": "200ms", "rows": flush_rows})
        if lake_interval is not None:
            pipeline.configure_sink("lake", flush={"interval": lake_interval})
        pipeline.serve(token="${CDC_TOKEN:-}")
        daemon = stack.enter_context(pipeline.start({**environment(), **(variables or {})}))
        yield Operated(pipeline, database, proxy, daemon, client_of(daemon))


__all__ = ["DESKTOP", "PHONE", "TOKEN", "Operated", "opened", "operated", "violations", "wait_for_title"]
