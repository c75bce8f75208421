"""What the page shows of a running daemon in each of its states, and that everybody can use it there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from cdc.testing.ports import free_port
from tests.fault.test_sink_outage import held_by_another_process
from tests.integration.http.conftest import environment
from tests.page.conftest import DESKTOP, PHONE, Operated, opened, operated, violations, wait_for_title
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until

# A browser beside a daemon: more than a minute of processor time together.
pytestmark = pytest.mark.slow

# Where to put a picture of each state, for the documentation: none unless asked for.
PICTURES = os.environ.get("CDC_PAGE_PICTURES")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
HOST = "127.0.0.1"
TABLES = ("orders", "customers", "products")


@pytest.fixture
def shop(database15: Database) -> Database:
    database15.execute("create schema app")
    for table in TABLES:
        database15.execute(
            f"create table app.{table} (id bigint primary key, note text)",
            f"insert into app.{table} select i, 'row ' || i from generate_series(1, 2000) i",
        )
    return database15


@contextmanager
def replaying(shop: Database, folder: Path) -> Iterator[Operated]:
    """The warehouse's replay is held on its way."""
    hold = folder / "hold"
    variables = {"CDC_FAILPOINT": f"delivery.planned@{hold}"}
    with operated(shop, folder, variables=variables, flush_rows=5) as found:
        found.client.wait_for_title("All is well")
        body = {"sink": "warehouse", "source": "shop", "from": "earliest"}

        def is_held() -> bool:
            """Hold a replay that moves: before it is taken up, another delivery could be held. One that was
            over by then is made again.
            """
            if not hold.exists():
                found.client.post("/api/v1/replay", body)
                wait_until(
                    lambda: "Replaying" in found.client.verdict()["title"], "a replay", poll_seconds=0.02
                )
                hold.touch()
            if "Replaying" not in found.client.verdict()["title"]:
                hold.unlink()
            return hold.exists()

        wait_until(is_held, "a replay under way")
        found.client.wait_for_title("Replaying warehouse")
        yield found
        hold.unlink()
        found.client.wait_for_title("All is well")


@contextmanager
def streaming(shop: Database, folder: Path) -> Iterator[Operated]:
    with operated(shop, folder) as found:
        found.client.wait_for_title("All is well")
        yield found


def examine(browser: Browser, url: str, title: str, name: str) -> None:
    """The state is shown, without violations and without sideways scrolling, in each shape of the page."""
    with opened(browser, url) as page:
        wait_for_title(page, title)
        page.wait_for_function("() => document.querySelector('#tabbody').children.length > 0")
        if PICTURES:
            page.wait_for_function("() => document.querySelector('.plot canvas') !== null")
        look_at(page, name)


def look_at(page: Page, name: str) -> None:
    """Without violations and without sideways scrolling in each shape of the page; last that of a desktop."""
    for width, height in (PHONE, DESKTOP):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert (width, scheme, violations(page)) == (width, scheme, [])
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            if PICTURES:
                page.screenshot(path=f"{PICTURES}/page-{name}-{width}-{scheme}.png", full_page=True)


def words(page: Page) -> list[str]:
    return page.locator("#lagbody .st").all_inner_texts()


def test_a_daemon_that_connects_says_so(browser: Browser, shop: Database, tmp_path: Path) -> None:
    with operated(shop, tmp_path, held=True) as daemon:
        examine(browser, daemon.client.url, "Starting", "fresh")


def test_a_copy_is_shown_with_its_tables(browser: Browser, shop: Database, tmp_path: Path) -> None:
    shop.execute("insert into app.orders select i, repeat('x', 200) from generate_series(2001, 200000) i")
    with operated(shop, tmp_path) as daemon:
        wait_until(lambda: "Copying" in daemon.client.verdict()["title"], "a copy")
        daemon.proxy.pause("to_client")
        examine(browser, daemon.client.url, "Copying shop", "copying")
        daemon.proxy.resume()
        daemon.client.wait_for_title("All is well")


def test_all_is_well_while_changes_flow(browser: Browser, shop: Database, tmp_path: Path) -> None:
    with streaming(shop, tmp_path) as daemon:
        examine(browser, daemon.client.url, "All is well", "streaming")
        with opened(browser, daemon.client.url) as page:
            wait_for_title(page, "All is well")
            assert words(page) == ["Up to date", "Up to date"]
            assert page.locator("#checkpoints, #schemas, #eventlist").count() == 3
            page.get_by_role("searchbox").fill("CUST")
            page.wait_for_function("() => document.querySelectorAll('#tabbody [data-key]').length === 1")
            assert "app.customers" in page.locator("#tabbody").inner_text()


def test_a_sink_that_flushes_slowly_is_up_to_date_with_rows_that_wait(
    browser: Browser, shop: Database, tmp_path: Path
) -> None:
    with operated(shop, tmp_path, lake_interval="30s") as daemon, opened(browser, daemon.client.url) as page:
        wait_for_title(page, "All is well")
        lake = page.locator("#lagbody [data-key='lake shop']")
        lake.locator(".c-rows").get_by_text("0", exact=True).wait_for()
        shop.execute("insert into app.orders values (-1, 'waits')")
        lake.locator(".c-rows").get_by_text("1", exact=True).wait_for()
        assert lake.locator(".st").inner_text() == "Up to date"
        assert "flushes every 30\N{NO-BREAK SPACE}s" in lake.inner_text()


def test_a_replay_is_shown_with_its_progress(browser: Browser, shop: Database, tmp_path: Path) -> None:
    with replaying(shop, tmp_path) as daemon:
        examine(browser, daemon.client.url, "Replaying warehouse", "replaying")
        with opened(browser, daemon.client.url) as page:
            wait_for_title(page, "Replaying warehouse")
            assert sorted(words(page)) == ["Replaying", "Up to date"]
            assert page.locator("#verdict [role=progressbar]").count() == 1


def test_a_table_that_is_not_followed_says_why_and_what_to_do(
    browser: Browser, database18: Database, tmp_path: Path
) -> None:
    database18.execute(
        "create schema app",
        "create table app.orders (id int primary key, note text) partition by range (id)",
        "create table app.orders_2025 (id int primary key, note text)",
        "insert into app.orders_2025 values (1, 'a')",
    )
    with streaming(database18, tmp_path) as daemon:
        attach = "alter table app.orders attach partition app.orders_2025 for values from (0) to (99)"
        database18.execute(attach)
        tables = "/api/v1/tables?state=unfollowed"
        wait_until(lambda: daemon.client.get(tables).json["total"] == 1, "the partition to be noticed")
        examine(browser, daemon.client.url, "", "unfollowed")
        with opened(browser, daemon.client.url) as page:
            page.get_by_role("button", name="Why app.orders_2025 is not followed").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_text("it became a partition of app.orders").wait_for()
            assert '"!app.orders_2025"' in dialog.inner_text()
            assert violations(page) == []
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Not followed 1").click()
            page.wait_for_function("() => document.querySelectorAll('#tabbody [data-key]').length === 1")


def test_a_daemon_that_is_down_leaves_its_last_figures_and_comes_back(
    browser: Browser, shop: Database, tmp_path: Path
) -> None:
    address = f"{HOST}:{free_port(HOST)}"
    with operated(shop, tmp_path, variables={"CDC_HTTP": address}) as daemon:
        daemon.client.wait_for_title("All is well")
        with opened(browser, daemon.client.url, may_lose=True) as page:
            wait_for_title(page, "All is well")
            page.wait_for_function("() => document.querySelectorAll('#schemas time').length === 3")
            daemon.daemon.kill9()
            wait_for_title(page, "No answer from the daemon")
            look_at(page, "down")
            assert "cdc status" in page.locator("#probbody").inner_text()
            assert page.locator("#lagbody tbody tr").count() == 2
            assert page.locator("#tabbody [data-key]").count() == len(TABLES)
            assert page.get_by_role("button", name="Pause warehouse").is_disabled()
            with daemon.pipeline.start({**environment(), "CDC_HTTP": address}):
                wait_for_title(page, "All is well")
                assert page.get_by_role("button", name="Pause warehouse").is_enabled()
                page.locator("#eventlist").get_by_text("streaming").first.wait_for()


def test_a_sink_that_is_down_has_its_remedy(browser: Browser, shop: Database, tmp_path: Path) -> None:
    with held_by_another_process(tmp_path / "warehouse.duckdb"), operated(shop, tmp_path) as daemon:
        examine(browser, daemon.client.url, "Sink warehouse", "sink-down")
        with opened(browser, daemon.client.url) as page:
            wait_for_title(page, "Sink warehouse")
            page.get_by_role("link", name="What to do").click()
            problem = page.locator("#probbody")
            assert "another process" in problem.inner_text()
            assert "tried again" in problem.inner_text()


def test_a_source_that_is_down_leaves_its_sinks_waiting(
    browser: Browser, shop: Database, tmp_path: Path
) -> None:
    with streaming(shop, tmp_path) as daemon:
        daemon.proxy.refuse()
        daemon.client.wait_for_title("Source shop")
        examine(browser, daemon.client.url, "Source shop", "source-down")
        with opened(browser, daemon.client.url) as page:
            wait_for_title(page, "Source shop")
            assert words(page) == ["Waits", "Waits"]
            assert "waits for source shop" in page.locator("#lagbody").inner_text()


def test_a_source_that_lost_its_place_needs_the_operator(
    browser: Browser, shop: Database, tmp_path: Path
) -> None:
    with streaming(shop, tmp_path) as daemon:
        # Before its first change, a source that lost its place may start a new history.
        shop.execute("insert into app.orders values (-1, 'first')")
        daemon.pipeline.wait_until_delivered(daemon.daemon)
        daemon.proxy.refuse()
        slots = "select count(*) from pg_replication_slots where active"
        wait_until(lambda: shop.value(slots) == 0, "the slot to be free")
        shop.execute("select pg_drop_replication_slot('cdc_shop')")
        daemon.proxy.accept()
        daemon.client.wait_for_title("Source shop needs you")
        examine(browser, daemon.client.url, "Source shop needs you", "failed")
        with opened(browser, daemon.client.url) as page:
            wait_for_title(page, "needs you")
            assert "Source shop needs you" in page.locator("#shout").inner_text()
            assert page.locator("#probbody [data-copy]").count() > 0
