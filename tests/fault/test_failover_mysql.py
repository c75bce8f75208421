"""The whole daemon, into every sink, when its MySQL or MariaDB server is replaced by a replica, or forgets
its binlog.
"""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import yaml

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.pairs import make_pair, stop_replica, wait_for_replica
from tests.support.pipeline import SOURCE, MysqlPipeline
from tests.support.processes import run_cdc


def point_to(folder: Path, url: str) -> None:
    file = folder / "cdc.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["sources"][SOURCE]["url"] = url
    file.write_text(yaml.safe_dump(config), encoding="utf-8")


@pytest.mark.halved
@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_mirror_and_lake_go_on_after_a_failover(
    mysql_server_factory: MysqlFactory, tmp_path: Path, name: str
) -> None:
    first, second = pair = make_pair(mysql_server_factory, name)
    # The files of the two are not the same: the stream goes on by GTID.
    second.execute("flush binary logs")
    first.execute("create database app", "create table app.t (id int primary key, note varchar(20))")
    first.execute("insert into app.t values (1, 'copied')")
    pipeline = MysqlPipeline(first, tmp_path)
    pipeline.catch_up()
    first.execute("insert into app.t values (2, 'seen')")
    pipeline.catch_up()
    first.execute("insert into app.t values (3, 'not seen')", "update app.t set note = 'x' where id = 1")
    wait_for_replica(pair)
    first.kill9()
    stop_replica(pair)
    point_to(tmp_path, second.url())
    for identity in (4, 5):
        second.execute(f"insert into app.t values ({identity}, 'on the second')")
        # The second time the sinks have a position of the second server.
        pipeline.catch_up()
        source = read_source(second, "app.t", ("id",))
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        changes = read_lake(pipeline.lake, source)
        assert differences(source, replay(changes, source)) == []
        assert len(changes) == identity + 1
    shown = run_cdc("tail", cwd=tmp_path)
    positions = [orjson.loads(line)["_cdc_position"] for line in shown.stdout.splitlines()]
    assert [position.startswith("1/") for position in positions] == [False] * 2 + [True] * 4
    for command in (("status",), ("checkpoints",), ("log", "list")):
        shown = run_cdc(*command, "--json", cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr


@pytest.mark.halved(other=True)
@pytest.mark.parametrize(
    ("name", "reset"), [("mysql9", "reset binary logs and gtids"), ("mariadb10", "reset master")]
)
def test_a_running_daemon_starts_over_when_the_binlog_is_reset(
    mysql_server_factory: MysqlFactory, tmp_path: Path, name: str, reset: str
) -> None:
    server = mysql_server_factory(None, name)
    server.execute("create database app", "create table app.t (id int primary key, note varchar(100))")
    server.execute("insert into app.t values (1, 'copied')")
    pipeline = MysqlPipeline(server, tmp_path, source_options={"on_gap": "resnapshot"})
    with pipeline.start() as process:
        pipeline.wait_until_streaming(process)
        server.execute("insert into app.t values (2, 'perhaps seen')", reset)
        # More than the binlog held before, so that the old position lies inside the new file.
        for identity in range(3, 21):
            server.execute(f"insert into app.t values ({identity}, repeat('x', 80))")
        process.wait_for_log("copying every table again")
        pipeline.wait_until_streaming(process)
        server.execute("delete from app.t where id = 1", "insert into app.t values (30, 'after')")
        assert process.terminate() == 0
    pipeline.catch_up()
    source = read_source(server, "app.t", ("id",))
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
    held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
    assert differences(source, held) == []
