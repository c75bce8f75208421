"""The page in one state and two shapes, for every run of the tests; the others are beside it, and slower."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from tests.integration.http.conftest import serving, serving_project
from tests.page.conftest import PHONE, opened, violations, wait_for_title


def test_the_page_is_shown_and_used_without_violations(browser: Browser, tmp_path: Path) -> None:
    project = serving_project(tmp_path)
    with serving(project.folder) as client, opened(browser, client.url) as page:
        wait_for_title(page, "All is well")
        page.locator("#tabbody").get_by_text("public.items").wait_for()
        assert violations(page) == []
        page.get_by_role("button", name="Pause store").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("Nothing is delivered to the sink any more.").wait_for()
        assert "cdc pause store" in dialog.inner_text()
        page.keyboard.press("Escape")
        width, height = PHONE
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark")
        assert violations(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
