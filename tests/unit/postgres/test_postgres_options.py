from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from cdc.errors import ConfigError
from cdc.kit.starter import unusable_url
from cdc.model import TableId
from cdc_source_postgres.options import PostgresOptions

URL = "postgresql://cdc:s3cr3t-word@db.example/shop"


def options(**values: Any) -> PostgresOptions:
    return PostgresOptions.model_validate({"url": URL, **values})


def test_options_need_no_more_than_a_url() -> None:
    made = options()
    assert made.tables == ("public.*",)
    assert made.unrepresentable == "error"
    assert made.heartbeat == timedelta(seconds=10)


def test_options_name_slot_and_publication_after_the_source() -> None:
    made = options()
    assert made.slot_name("Shop-EU") == "cdc_shop_eu"
    assert made.publication_name("shop") == "cdc_shop"
    assert options(slot="mine").slot_name("shop") == "mine"


def test_options_refuse_a_source_name_too_long_for_a_slot() -> None:
    with pytest.raises(ConfigError) as caught:
        options().slot_name("s" * 60)
    assert str(caught.value).endswith("is longer than 63 characters. Set slot: to a shorter name.")


def test_options_hold_column_lists_and_filters_by_table() -> None:
    made = options(columns={"public.orders": ["id", "total"]}, where={"public.orders": "total > 0"})
    assert made.column_lists == {TableId("public", "orders"): ("id", "total")}
    assert made.row_filters == {TableId("public", "orders"): "total > 0"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"url": "postgresql://cdc:s3cr3t-word@db.example"}, "the url must name the database"),
        ({"url": "postgresql//cdc:s3cr3t-word@db/shop"}, "the url is not a connection string"),
        ({"url": f"{URL}?client_encoding=x"}, "the url must not set client_encoding"),
        ({"url": f"{URL}?sslmode=no-verify"}, "sslmode in the url must be one of disable, allow, prefer"),
        (
            {"url": "postgresql://cdc:pass@s3cr3t-word@db.example/shop"},
            "contains a raw @. Write @ as %40. To encode a",
        ),
        ({"url": "postgresql://cdc:pass@s3cr3t:1@db.example/shop"}, "a raw @. Write @ as %40"),
        ({"url": "postgresql://cdc:pass@/s3cr3t@db.example/shop"}, "a raw @ and /. Write @ as %40, / as %2F"),
        ({"url": "postgresql://cdc:1/s3cr3t@db.example/shop"}, "a raw /. Write / as %2F"),
        ({"url": "postgresql://cdc:s3cr3t%zz@db.example/shop"}, "a raw %. Write % as %25"),
        ({"url": "jdbc:postgresql://db/shop?user=cdc&password=s3cr3t"}, "begins with jdbc:postgresql://"),
        ({"url": "postgresql+psycopg2://cdc:s3cr3t@db/shop"}, "begins with postgresql+psycopg2://"),
        ({"url": f"{URL}?schema=s3cr3t"}, "Prisma's parameter schema: remove it, and select the tables"),
        ({"url": f"{URL}?pgbouncer=true"}, "Prisma's parameter pgbouncer: remove it, and give the address"),
        ({"url": f"{URL}?sslaccept=strict"}, "Prisma's parameter sslaccept: remove it, and set sslmode="),
        (
            {"url": f"{URL}?pool=5&connection_limit=1"},
            "Prisma's parameter connection_limit: the daemon opens",
        ),
        ({"url": f"{URL}?ApplicationName=x"}, "JDBC's parameter ApplicationName: write application_name"),
        ({"url": f"{URL}?sslmod=require"}, "an unknown parameter sslmod: did you mean sslmode?"),
        ({"slot": "Shop-1"}, "a slot name has 1 to 63 of the characters a-z, 0-9 and _"),
        ({"publication": "é" * 32}, "a publication name has 1 to 63 bytes"),
        ({"tables": ["orders"]}, "'orders' has no schema"),
        ({"columns": {"public.t": []}}, "must name at least one column"),
        ({"columns": {"public.t": ["a", "a"]}}, "each once"),
        ({"where": {"public.t": " "}}, "the row filter of public.t is empty"),
        ({"where": {"other.t": "true"}}, "where names other.t, which tables does not select"),
        ({"snapshot_workers": 0}, "greater than or equal to 1"),
        ({"heartbeat": "10"}, "'10' has no unit"),
        ({"slots": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_options_refuse_and_never_show_the_password(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        options(**values)
    shown = f"{caught.value} {unusable_url(caught.value, 'URL')}"
    assert message in shown
    assert "s3cr3t" not in shown
    assert caught.value.__cause__ is None


def test_options_show_no_password_as_text() -> None:
    assert "s3cr3t" not in f"{options()!r} {options()}"


@pytest.mark.parametrize(
    "url",
    [
        "host=/run/db dbname=shop",
        "host=db password=a@b@c://d@e dbname=shop",
        "service=shop",
        "postgresql:///shop?host=/run/db",
        "postgresql://cdc:p%40ss@db.example/shop",
        "postgresql://cdc:p?s@db.example/shop",
        "postgresql://cdc:p#s:x@db.example/shop",
        f"{URL}?application_name=reports&options=-c%20work_mem%3D1MB&connect_timeout=3",
        f"{URL}?ssl=true",
        "postgresql://cdc:p?x=1@db.example/shop?sslmode=require",
        "postgresql://db.example?dbname=shop&passfile=/etc/a@b",
    ],
)
def test_options_take_every_form_of_libpq(url: str) -> None:
    assert options(url=url).url.get_secret_value() == url
