"""What a config may say of a MySQL source, and what its messages never show."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cdc.kit.starter import unusable_url
from cdc.model import TableId
from cdc_source_mysql.options import FIRST_SERVER_ID, MAX_SERVER_ID, MysqlOptions

PASSWORD = "s3cret"


def options(url: str = f"mysql://cdc:{PASSWORD}@db.example:3307/shop", **given: Any) -> MysqlOptions:
    return MysqlOptions.model_validate({"url": url, **given})


def test_a_url_names_host_port_login_and_database() -> None:
    address = options("mariadb://c%40dc:p%2Fw%3A@db.example/shop?ssl-mode=VERIFY_CA&ssl_ca=/ca.pem").address
    assert (address.host, address.port, address.database) == ("db.example", 3306, "shop")
    assert (address.user, address.password) == ("c@dc", "p/w:")
    assert (address.ssl_mode, address.ssl_ca) == ("verify_ca", "/ca.pem")
    assert options("mysql://cdc@/?socket=/run/mysqld.sock").address.shown == "/run/mysqld.sock"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://cdc:{PASSWORD}@h/shop",
        f"mysql://cdc:{PASSWORD}@h@i/shop",
        f"mysql://cdc:{PASSWORD}@h:99999/shop",
        f"mysql://cdc:{PASSWORD}@/shop",
        "mysql://h/shop",
        f"mysql://cdc:{PASSWORD}@h/shop?ssl-mode=maybe",
        f"mysql://cdc:{PASSWORD}@h/shop?charset=latin1",
    ],
)
def test_an_unusable_url_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ValidationError) as error:
        options(url)
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            f"mysql://cdc:{PASSWORD}@{PASSWORD}@h/shop",
            "contains a raw @. Write @ as %40. To encode a",
        ),
        (f"mysql://cdc:{PASSWORD}/{PASSWORD}@h/shop", "a raw /. Write / as %2F"),
        (f"mysql://cdc:{PASSWORD}#{PASSWORD}@h/shop", "a raw #. Write # as %23"),
        (f"mysql://cdc:a?b#{PASSWORD}@h/shop", "a raw ? and #. Write ? as %3F, # as %23"),
        (f"mysql://cdc:{PASSWORD}%@h/shop", "a raw %. Write % as %25"),
        (f"jdbc:mysql://h/shop?user=cdc&password={PASSWORD}", "begins with jdbc:mysql://"),
        (f"mysql+pymysql://cdc:{PASSWORD}@h/shop", "begins with mysql+pymysql://"),
        (f"mysql2://cdc:{PASSWORD}@h/shop", "begins with mysql2://"),
        ("mysql://cdc@h/shop?useSSL=true", "JDBC's parameter useSSL: remove it, and set ssl-mode=required"),
        (
            "mysql://cdc@h/shop?serverTimezone=UTC",
            "JDBC's parameter serverTimezone: times are always read in",
        ),
        ("mysql://cdc@h/shop?charset=utf8", "SQLAlchemy's parameter charset: text is always read as UTF-8"),
        ("mysql://cdc@h/shop?connection_limit=5", "Prisma's parameter connection_limit: the daemon opens"),
        ("mysql://cdc@h/shop?sslmod=required", "an unknown parameter sslmod: did you mean ssl_mode?"),
    ],
)
def test_a_url_of_another_tool_is_told_what_to_change(url: str, said: str) -> None:
    with pytest.raises(ValidationError) as error:
        options(url)
    shown = f"{error.value} {unusable_url(error.value, 'URL')}"
    assert said in shown
    assert PASSWORD not in shown


def test_nothing_shows_the_password() -> None:
    given = options()
    assert PASSWORD not in f"{given!r} {given.address!r} {given.model_dump_json()}"


def test_tables_are_those_of_the_urls_database_unless_named() -> None:
    assert options().selection(ignores_case=False).matches(TableId("shop", "orders"))
    assert not options().selection(ignores_case=False).matches(TableId("other", "orders"))
    everything = options("mysql://cdc@h").selection(ignores_case=False)
    assert everything.matches(TableId("other", "orders"))
    for system in ("mysql", "sys", "information_schema", "performance_schema"):
        assert not everything.matches(TableId(system, "user"))
    chosen = options(tables=["*.*", "!*.audit_*"]).selection(ignores_case=False)
    assert chosen.matches(TableId("other", "orders"))
    assert not chosen.matches(TableId("shop", "audit_1"))


def test_a_source_has_the_same_number_at_every_start_and_others_have_others() -> None:
    given = options()
    assert given.replica_id("shop") == options().replica_id("shop") != given.replica_id("crm")
    assert FIRST_SERVER_ID <= given.replica_id("shop") <= MAX_SERVER_ID
    assert given.replica_uuid("shop") != given.replica_uuid("crm")
    assert options(server_id=77).replica_id("shop") == 77


@pytest.mark.parametrize(
    "wrong",
    [{"heartbeat": "0s"}, {"heartbeat": "2h"}, {"server_id": 0}, {"tables": ["orders"]}, {"slot": "x"}],
)
def test_what_can_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        options(**wrong)


def test_a_bare_null_is_the_policy_of_that_name() -> None:
    assert options(unrepresentable=None).unrepresentable == "null"


def test_the_database_of_the_url_is_meant_in_any_case_on_a_server_without() -> None:
    chosen = options("mysql://cdc@h/Shop").selection(ignores_case=True)
    assert chosen.matches(TableId("shop", "orders"))
