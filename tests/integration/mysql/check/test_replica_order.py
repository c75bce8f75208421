"""A replica that applies in parallel without keeping its source's order is a finding with its fix."""

from __future__ import annotations

from cdc.spi.finding import Severity
from tests.integration.mysql.conftest import apply_fix
from tests.support.findings import Check
from tests.support.mysql.fixtures import MysqlFactory


def test_check_warns_of_a_replica_that_commits_in_another_order(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    source = mysql_server_factory()
    settings = {"replica-parallel-workers": "4", "replica-preserve-commit-order": "OFF"}
    replica = mysql_server_factory(settings)
    assert check(replica.url()).all_of("replica-order") == []
    replica.execute(
        f"change replication source to source_host='127.0.0.1', source_port={source.port},"
        " source_user='root', source_auto_position=1",
        "start replica",
    )
    finding = check(replica.url()).of("replica-order")
    assert (finding.severity, finding.message) == (
        Severity.WARNING,
        "replica_preserve_commit_order is OFF: the replica commits in another order than its source",
    )
    apply_fix(replica, finding)
    assert replica.value("select @@global.replica_preserve_commit_order") == 1
    assert check(replica.url()).all_of("replica-order") == []


def test_check_is_content_with_a_replica_that_applies_one_after_the_other(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    settings = {"replica-parallel-workers": "1", "replica-preserve-commit-order": "OFF"}
    replica = mysql_server_factory(settings)
    replica.execute("change replication source to source_host='127.0.0.1', source_port=1, source_user='x'")
    assert check(replica.url()).of("replica").severity is Severity.OK
    assert check(replica.url()).all_of("replica-order") == []
