"""Pause, resume, replay and copies by clicks: what is said beforehand, who may, and what happens."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.integration.cli.conftest import SINK, Project, minimal
from tests.integration.http.conftest import Client, client_of, environment, serving, with_http
from tests.page.conftest import TOKEN, opened, violations, wait_for_title
from tests.support.processes import CdcProcess

# A browser beside a daemon: more than a minute of processor time together.
pytestmark = pytest.mark.slow


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Client]:
    """A daemon with ten changes delivered."""
    project = Project(tmp_path)
    project.write(minimal())
    with_http(project)
    with serving(project.folder) as client:
        client.wait_for_title("All is well")
        yield client


@pytest.fixture
def page(browser: Browser, served: Client) -> Iterator[Page]:
    with opened(browser, served.url) as found:
        wait_for_title(found, "All is well")
        yield found


def confirm(page: Page, button: str, *, token: str = TOKEN) -> None:
    page.locator("#token").fill(token)
    page.get_by_role("button", name=button, exact=True).last.click()


def test_a_sink_is_paused_and_resumed_with_the_token_asked_once(page: Page, served: Client) -> None:
    page.get_by_role("button", name="Pause store").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Nothing is delivered to the sink any more.").wait_for()
    assert "cdc pause store" in dialog.inner_text()
    assert violations(page) == []
    confirm(page, "Pause sink store")
    wait_for_title(page, "Sink store is paused")
    assert violations(page) == []
    page.get_by_role("button", name="Resume store", exact=True).click()
    page.get_by_text("continues where it stopped").wait_for()
    assert page.locator("#token").count() == 0
    page.get_by_role("button", name="Resume sink store", exact=True).click()
    wait_for_title(page, "All is well")


def test_a_wrong_token_is_refused_and_asked_for_again(page: Page, served: Client) -> None:
    page.get_by_role("button", name="Pause store").click()
    confirm(page, "Pause sink store", token="not-the-token-of-this-daemon")
    page.get_by_role("alert").get_by_text("the token is wrong").wait_for()
    assert served.verdict()["title"] == "All is well"
    confirm(page, "Pause sink store")
    wait_for_title(page, "Sink store is paused")


def test_a_replay_names_its_amount_and_is_made(page: Page, served: Client) -> None:
    page.get_by_role("button", name="Replay store").click()
    page.get_by_label("From a place of shop").select_option("earliest")
    page.get_by_role("heading", name="Replay store from earliest?").wait_for()
    confirm(page, "Replay 10 changes")
    page.locator("#toast.on").wait_for()
    page.locator("#eventlist").get_by_text("replay finished").wait_for()


def test_a_table_is_copied_again(page: Page, served: Client) -> None:
    page.get_by_role("button", name="Copy again: public.items").click()
    confirm(page, "Copy 1 table")
    page.locator("#eventlist").get_by_text("copy finished").wait_for()


def test_a_changed_configuration_is_shown_before_it_is_loaded(
    page: Page, served: Client, tmp_path: Path
) -> None:
    changed = {**minimal(), "http": {"token": "${CDC_TOKEN:-}"}}
    changed["sinks"]["copy"] = {"type": SINK, "from": ["shop"], "path": "./copy.bin"}
    changed["sinks"]["store"]["flush"] = {"interval": "1s"}
    Project(tmp_path).write(changed)
    page.get_by_text("the file has changed since").wait_for()
    page.get_by_role("button", name="Reload configuration").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("+ sinks.copy added").wait_for()
    dialog.get_by_text("~ sinks.store changed: flush").wait_for()
    assert violations(page) == []
    confirm(page, "Reload the configuration")
    page.locator("#lagbody").get_by_text("copy", exact=True).wait_for()


def test_a_configuration_that_is_wrong_is_refused_with_its_place(
    page: Page, served: Client, tmp_path: Path
) -> None:
    (tmp_path / "cdc.yaml").write_text("sources: {}\ncolour: red\n", "utf-8")
    page.get_by_role("button", name="Reload configuration").click()
    page.get_by_role("alert").get_by_text("colour").wait_for()
    assert page.locator("dialog .primary").count() == 0
    page.keyboard.press("Escape")
    assert served.verdict()["title"] == "All is well"


def test_charts_show_a_day_and_the_hour_again(page: Page, served: Client) -> None:
    page.get_by_role("button", name="24 hours").click()
    page.get_by_text("last day, rows/s").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="1 hour").click()
    page.get_by_text("last hour, rows/s").wait_for()


def test_definitions_are_turned_page_by_page(browser: Browser, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(minimal(versions=12))
    with serving(project.folder) as client, opened(browser, client.url) as page:
        page.locator("#schemas").get_by_text("v12").wait_for()
        assert "c12 added (int64)" in page.locator("#schemas li").first.inner_text()
        page.get_by_role("button", name="Older definitions").click()
        page.locator("#schemas").get_by_text("v7", exact=True).wait_for()
        assert page.locator("#schemas").get_by_text("v12").count() == 0
        page.get_by_role("button", name="Newer definitions").click()
        page.locator("#schemas").get_by_text("v12").wait_for()
        assert violations(page) == []


def test_the_keyboard_opens_and_closes_what_a_pointer_does(page: Page, served: Client) -> None:
    page.keyboard.press("?")
    page.get_by_role("heading", name="Help").wait_for()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.keyboard.press("/")
    assert page.evaluate("() => document.activeElement.id") == "q"
    page.keyboard.press("Escape")
    button = page.get_by_role("button", name="Pause store")
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_text("What happens").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert button.evaluate("element => element === document.activeElement")


def test_without_a_token_the_page_gives_the_command(browser: Browser, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(minimal())
    with serving(project.folder, token="") as client, opened(browser, client.url) as page:
        wait_for_title(page, "All is well")
        page.get_by_role("button", name="Pause store").click()
        page.get_by_text("This page changes nothing").wait_for()
        assert page.locator("dialog .primary").count() == 0
        assert violations(page) == []


def test_a_daemon_that_is_silent_turns_the_page_grey(browser: Browser, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(minimal())
    with (
        CdcProcess("run", cwd=tmp_path, environment=environment()) as daemon,
        opened(browser, client_of(daemon).url) as page,
    ):
        wait_for_title(page, "All is well")
        os.kill(daemon.pid, signal.SIGSTOP)
        wait_for_title(page, "No answer from the daemon")
        assert page.get_by_role("button", name="Pause store").is_disabled()
        assert violations(page) == []
        os.kill(daemon.pid, signal.SIGCONT)
        wait_for_title(page, "All is well")
        assert page.get_by_role("button", name="Pause store").is_enabled()
