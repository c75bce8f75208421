"""`cdc demo` in a small form, on each database, and what it says where something is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from cdc.cli.demo.shop import MIN_ROWS
from tests.support.mysql.binaries import Flavour, mysql_binaries
from tests.support.processes import run_cdc

# It takes 25 s on two idle cores; two demos may share them with other tests.
DEMO_TIMEOUT_SECONDS = 600.0
TABLES = ("coupons", "customers", "orders", "order_lines", "payments")
OTHER: Mapping[Flavour, Flavour] = {"mysql": "mariadb", "mariadb": "mysql"}


def run_demo(folder: Path, *options: str) -> str:
    """What a demo of the least rows printed; it ended well."""
    done = run_cdc(
        "demo", "--rows", str(MIN_ROWS), *options, cwd=folder, timeout_seconds=DEMO_TIMEOUT_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_story(printed: str, schema: str, folder: Path) -> None:
    for table in TABLES:
        assert re.search(rf"^{table} +[\d,]+ +[0-9a-f]{{12}} +equal +equal", printed, re.MULTILINE), printed
        assert list((folder / f"demo-data/lake/{schema}.{table}").rglob("*.parquet"))
    assert "one kill -9" in printed
    tail = run_cdc(
        "tail", "--table", f"{schema}.coupons", "--limit", "3", "--config", "demo-data/cdc.yaml", cwd=folder
    )
    assert (tail.returncode, len(tail.stdout.splitlines())) == (0, 3), tail.stderr


def test_demo_on_postgres_ends_with_equal_copies(tmp_path: Path) -> None:
    check_story(run_demo(tmp_path), "public", tmp_path)


@pytest.mark.slow
def test_demo_into_a_bucket_ends_with_equal_copies(tmp_path: Path) -> None:
    check_story(run_demo(tmp_path, "--sink", "parquet-s3"), "public", tmp_path)
    assert "url: s3://demo/shop" in (tmp_path / "demo-data/cdc.yaml").read_text("utf-8")


@pytest.mark.slow
def test_demo_into_clickhouse_ends_with_equal_copies(tmp_path: Path) -> None:
    printed = run_demo(tmp_path, "--sink", "clickhouse")
    check_story(printed, "public", tmp_path)
    assert "ClickHouse mirror" in printed


@pytest.mark.slow
def test_demo_into_postgres_ends_with_equal_copies(tmp_path: Path) -> None:
    printed = run_demo(tmp_path, "--sink", "postgres")
    check_story(printed, "public", tmp_path)
    assert "Postgres mirror" in printed


@pytest.mark.slow
def test_demo_into_iceberg_ends_with_equal_copies(tmp_path: Path) -> None:
    printed = run_demo(tmp_path, "--sink", "iceberg")
    check_story(printed, "public", tmp_path)
    assert "Iceberg mirror" in printed


@pytest.mark.slow
@pytest.mark.parametrize(("source", "name"), [("mysql", "mysql9"), ("mariadb", "mariadb10")])
def test_demo_on_an_installed_server_ends_with_equal_copies(
    source: Flavour, name: str, tmp_path: Path
) -> None:
    program = mysql_binaries(name).starter
    check_story(run_demo(tmp_path, "--source", source, "--server", str(program)), "shop", tmp_path)


@pytest.mark.parametrize(("source", "name"), [("mysql", "mariadb10"), ("mariadb", "mysql9")])
def test_demo_refuses_the_other_database_s_server(source: Flavour, name: str, tmp_path: Path) -> None:
    program = mysql_binaries(name).starter
    done = run_cdc("demo", "--source", source, "--server", str(program), cwd=tmp_path)
    assert done.returncode == 1
    assert f"{program}: this is the server of {OTHER[source]}" in done.stderr.replace("\n", "")


def test_demo_refuses_a_program_that_is_no_server(tmp_path: Path) -> None:
    done = run_cdc("demo", "--source", "mysql", "--server", "/bin/true", cwd=tmp_path)
    assert done.returncode == 1
    assert "/bin/true: this is no server that runs here" in done.stderr


def test_demo_without_a_server_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    from cdc.cli.demo.mysql import MariadbServer
    from cdc.cli.demo.server import DemoFailed

    with pytest.raises(DemoFailed, match="there is no MariaDB server on this machine") as caught:
        MariadbServer(folders=())
    assert "apt-get install" in caught.value.remedy
    assert "CDC_DEMO_SERVER" in caught.value.remedy


def test_demo_leaves_a_folder_that_is_not_its_own_alone(tmp_path: Path) -> None:
    kept = tmp_path / "demo-data" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    done = run_cdc("demo", cwd=tmp_path)
    assert done.returncode == 1
    assert "demo-data: no earlier demo created this folder" in done.stderr
    assert kept.read_text() == "mine"


def test_demo_on_postgres_takes_no_server(tmp_path: Path) -> None:
    done = run_cdc("demo", "--server", "/bin/true", cwd=tmp_path)
    assert done.returncode == 2
    assert "Postgres brings its own server" in done.stderr
