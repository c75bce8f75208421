"""`cdc doctor`: complete, to paste, and without anything that must not be pasted."""

from __future__ import annotations

import pytest

import cdc
from tests.integration.cli.conftest import Project, minimal
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc

PASSWORD, TOKEN, VALUE = "hunter2-password", "hunter2-token-0123456789", "hunter2-row"


@pytest.fixture
def planted(database15: Database, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that has copied a row, with secrets in url, environment and row."""
    database15.execute(
        "create table public.people (id int primary key, name text)",
        f"insert into public.people values (1, '{VALUE}')",
    )
    monkeypatch.setenv("SHOP_URL", database15.dsn(password=PASSWORD))
    monkeypatch.setenv("CDC_TOKEN", TOKEN)
    project.write(
        {
            "state_dir": "./cdc-data",
            "http": {"token": "${CDC_TOKEN}"},
            "sources": {
                "shop": {"type": "postgres", "url": "${SHOP_URL}", "slot": database15.name, "ddl": "watch"}
            },
            "sinks": {"lake": {"type": "parquet", "url": "./lake"}},
        }
    )
    result = run_cdc("run", "--once", cwd=project.folder)
    assert result.returncode == 0, result.stderr
    return project


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_doctor_shows_no_value_and_no_secret(planted: Project, form: list[str]) -> None:
    answer = planted.cdc("doctor", *form)
    assert answer.code == 0, answer.out
    assert "hunter2" not in answer.out + answer.err
    assert "CDC_TOKEN" in answer.out


def test_doctor_shows_versions_machine_keys_state_and_findings(planted: Project) -> None:
    text = planted.cdc("doctor").out
    sections = [line for line in text.splitlines() if line.isupper()]
    assert sections == ["VERSIONS", "MACHINE", "CONFIGURED", "STATE_DIR", "STATUS", "CHECK"]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert f"cdc {cdc.__version__}" in lines
    assert {"state_dir is set", "http sets token"} <= {*lines}
    assert "sources.shop postgres, sets url, slot, ddl" in lines
    assert "sinks.lake parquet, sets url" in lines
    assert "source shop stopped" in lines
    assert any(line.startswith("ok sources.shop ") for line in lines), text


def test_doctor_in_json_has_the_same(planted: Project) -> None:
    document = planted.cdc("doctor", "--json").json
    assert set(document) == {
        "at", "versions", "machine", "configured", "state_dir", "status", "findings"
    }  # fmt: skip
    assert document["status"]["sources"]["shop"]["rows"] == 1
    assert {finding["severity"] for finding in document["findings"]} <= {"ok", "warning"}


def test_doctor_works_for_a_file_that_cannot_be_loaded(project: Project) -> None:
    project.write({**minimal(), "sinkz": {}})
    answer = project.cdc("doctor")
    assert answer.code == 2
    assert "VERSIONS" in answer.out
    assert "sinkz: is not a known key" in answer.err


def test_doctor_ends_with_1_when_a_finding_is_an_error(project: Project) -> None:
    url = "postgresql://cdc@127.0.0.1:1/shop"
    project.write({"sources": {"shop": {"type": "postgres", "url": url}}, "sinks": {}})
    answer = project.cdc("doctor")
    assert answer.code == 1
    assert "error   sources.shop" in answer.out
