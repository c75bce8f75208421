"""`http`: what is served where, and what is refused."""
# ruff: noqa: E501  (messages are quoted whole)

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_config import HttpAddress, HttpSettings, InvalidConfig, load_http, salvage_http
from cdc_config.http import parse_address
from tests.unit.config.conftest import Load, Messages

SOURCE = "sources:\n  shop:\n    type: postgres\n"
SECRET = "0123456789abcdef"
MAKE = (
    "Make one with `openssl rand -hex 32`, and write token: ${CDC_TOKEN} or ${file:/run/secrets/cdc-token}."
)


def test_without_the_section_the_service_listens_on_loopback(load_text: Load) -> None:
    http = load_text(SOURCE).http
    assert (http.address, http.secret, http.tls) == (HttpAddress("127.0.0.1", 8765), None, None)


@pytest.mark.parametrize(
    "body",
    [
        "{listen: off}",
        "{listen: 'localhost:0'}",
        "{listen: '[::1]:8765', token: '${CDC_TOKEN:-}'}",
        "{listen: '0.0.0.0:8765', token: '${TOKEN}', tls: {cert: a.pem, key: b.pem}}",
        "{listen: '[::]:8765', token: '${TOKEN}', behind_proxy: true}",
    ],
)
def test_what_is_safe_loads(load_text: Load, body: str) -> None:
    load_text(f"{SOURCE}http: {body}\n", {"TOKEN": SECRET})


CASES = {
    "{listen: 8765}": "cdc.yaml:4: http.listen: must be text (got a whole number). Put it in quotes.",
    "{listen: ':8765'}": "cdc.yaml:4: http.listen: must be ADDRESS:PORT or off. Write 127.0.0.1:8765, [::1]:8765 or off.",
    "{listen: '1.2.3.4:70000'}": "cdc.yaml:4: http.listen: must be ADDRESS:PORT or off. Write 127.0.0.1:8765, [::1]:8765 or off.",
    "{token: '${SHORT}'}": f"cdc.yaml:4: http.token: is shorter than 16 characters. {MAKE}",
    f"{{token: {SECRET}}}": f"cdc.yaml:4: http.token: must not be written into the file. {MAKE}",
    "{listen: '0.0.0.0:8765'}": f"cdc.yaml:4: http.token: is required: other machines reach 0.0.0.0:8765. {MAKE} Or listen on 127.0.0.1:8765.",
    "{listen: 'db.example.com:80', token: '${TOKEN}'}": "cdc.yaml:4: http.tls: is required: other machines reach db.example.com:80. Write tls: {cert: PATH, key: PATH}; or behind_proxy: true if a proxy in front of the service has the certificate; or listen on 127.0.0.1:8765.",
    "{tls: {cert: a.pem}}": "cdc.yaml:4: http.tls.key: is required. Add 'key' here.",
    "{listn: off}": "cdc.yaml:4: http.listn: is not a known key. Did you mean 'listen'?",
    "yes": "cdc.yaml:4: http: must be a mapping (got a string). Write http: {listen: off}.",
}


@pytest.mark.parametrize(("body", "expected"), CASES.items())
def test_what_is_not_is_refused_with_its_remedy(messages: Messages, body: str, expected: str) -> None:
    assert messages(f"{SOURCE}http: {body}\n", {"TOKEN": SECRET, "SHORT": "0123"}) == [expected]


def test_an_address_is_written_as_it_is_read() -> None:
    for text in ("127.0.0.1:0", "[::1]:8765", "localhost:80"):
        assert str(parse_address(text)) == text


def test_health_checks_read_the_address_without_plugins_or_secrets(tmp_path: Path) -> None:
    file = tmp_path / "cdc.yaml"
    file.write_text(
        'http: {listen: "[::1]:9000", token: "${T}"}\nsources: {shop: {type: nowhere}}\n', "utf-8"
    )
    assert load_http(file, {}).address == HttpAddress("::1", 9000)
    file.write_text("http: {listen: 9000}\n", "utf-8")
    with pytest.raises(InvalidConfig, match=r"cdc.yaml:1: http.listen: must be text"):
        load_http(file, {})


def test_the_section_is_read_by_itself_where_the_rest_is_half_edited(tmp_path: Path) -> None:
    file = tmp_path / "cdc.yaml"
    file.write_text("sources: [\n# http: {}\nhttp:\n  # moved\n  listen: localhost:9000\nsinks: ]\n", "utf-8")
    assert salvage_http(file, {}).address == HttpAddress("localhost", 9000)
    file.write_text("sources: [\nhttps: {listen: localhost:9000}\n", "utf-8")
    assert salvage_http(file, {}) == HttpSettings()
    file.write_text("sources: [\nhttp: {listen: 9000}\n", "utf-8")
    with pytest.raises(InvalidConfig, match=r"cdc.yaml:2: http.listen: must be text"):
        salvage_http(file, {})
