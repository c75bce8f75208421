"""The files of the operator's page, as a browser asks for them."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tests.integration.http.conftest import Client

ASSETS = sorted(one.name for one in files("cdc.http").joinpath("assets").iterdir())


def test_the_page_forbids_whatever_comes_from_elsewhere(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"} <= set(
        policy
    )
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("name", [one for one in ASSETS if not one.endswith(".LICENSE")])
def test_each_file_is_sent_once_and_names_no_other_server(client: Client, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert (answer.status, answer.headers["x-content-type-options"]) == (200, "nosniff")
    again = client.get(f"/page/{name}", **{"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    loaded = re.findall(rb"""(?:src|href|from|url\()\s*=?\s*["']?((?:https?:)?//[^"'\s)]+)""", answer.body)
    assert loaded == []


def test_what_is_no_file_of_the_page_is_not_found(client: Client) -> None:
    for path in ("/page/nothing.js", "/page/uplot-1.6.32.LICENSE", "/page/..%2fapp.py", "/index.html"):
        assert client.get(path).status == 404


def test_without_scripts_the_page_says_where_to_look(client: Client) -> None:
    found = re.search(rb"<noscript>(.*)</noscript>", client.get("/").body)
    assert found is not None
    assert b"needs JavaScript" in found[1]
    for path in re.findall(rb'href="([^"]+)"', found[1]):
        assert client.get(f"/{path.decode()}").status == 200


def test_a_name_of_another_host_gets_no_page(client: Client) -> None:
    assert client.get("/", Host="evil.example").status == 421


def test_the_chart_library_has_its_licence_and_version_beside_it() -> None:
    assert {"uplot-1.6.32.js", "uplot-1.6.32.css", "uplot-1.6.32.LICENSE"} <= set(ASSETS)
