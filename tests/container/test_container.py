"""The image does what docs/deploying.md says, in a container with nothing but a volume for its state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import Deployment, Start
from tests.support.equality.lake import read_lake, replay
from tests.support.equality.postgres import read_source
from tests.support.equality.tables import differences
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until

# Building the image takes minutes, and needs an engine.
pytestmark = pytest.mark.slow

SETUP = (
    "create schema app",
    "create table app.orders (id bigint primary key, customer text)",
    "insert into app.orders select i, 'customer ' || i from generate_series(1, 1000) i",
)


def insert(database: Database, first: int, last: int) -> None:
    database.execute(f"insert into app.orders select i, 'late' from generate_series({first}, {last}) i")


@pytest.fixture
def deployment(database18: Database, tmp_path: Path, start: Start) -> Deployment:
    database18.execute(*SETUP)
    return Deployment(tmp_path, database18.url, start)


def difference(database: Database, deployment: Deployment) -> list[str]:
    source = read_source(database, "app.orders", ["id"])
    return list(map(str, differences(source, replay(read_lake(deployment.lake, source), source))))


def test_image_runs_as_nobody_of_the_host_with_compiled_decoders(image: Any, start: Start) -> None:
    assert image.attrs["Config"]["User"] == "10001:10001"
    assert image.attrs["Config"]["Labels"]["org.opencontainers.image.title"] == "cdcd"
    container = start(command=["version"])
    assert container.wait() == 0
    assert "decoders" in container.log


def test_container_replicates_ends_in_order_and_goes_on_from_its_volume(
    deployment: Deployment, database18: Database
) -> None:
    first = deployment.start()
    first.wait_until_healthy()
    insert(database18, 1001, 1500)
    wait_until(lambda: difference(database18, deployment) == [], "the lake to equal the source")
    insert(database18, 1501, 3000)
    assert first.stop(10) == 0
    insert(database18, 3001, 3500)

    second = deployment.start()
    wait_until(lambda: difference(database18, deployment) == [], "the lake to equal the source")
    assert "copy finished" not in second.log
    code, text = second.exec("cdc", "health", "--ready")
    assert (code, "All is well" in text) == (0, True), text
    second.kill9()
    insert(database18, 3501, 4000)
    deployment.start()
    wait_until(lambda: difference(database18, deployment) == [], "the lake to equal the source")


def test_sigterm_in_the_first_milliseconds_ends_the_container(deployment: Deployment) -> None:
    """Before Python has a handler: process 1 would ignore it, and be killed after the grace period."""
    codes = {deployment.start().stop(10) for _ in range(3)}
    assert codes <= {0, 143}


def test_reload_says_that_a_file_mounted_by_itself_may_be_an_old_one(
    deployment: Deployment, database18: Database
) -> None:
    container = deployment.start()
    container.wait_until_healthy()
    code, text = container.exec("cdc", "reload")
    assert (code, text.splitlines()) == (
        0,
        [
            "/etc/cdc/cdc.yaml has not changed.",
            "Only this file is mounted. If it was replaced outside: restart the container.",
        ],
    )


def test_container_without_a_volume_says_so(deployment: Deployment) -> None:
    container = deployment.start(with_state=False)
    assert container.wait() == 2
    assert "no volume is mounted there" in container.log
    assert "docker run -v cdc-state:/var/lib/cdc " in container.log


def test_container_on_a_volume_without_a_name_says_so(deployment: Deployment, docker_client: Any) -> None:
    mount = {"Target": "/var/lib/cdc", "Type": "volume", "Source": None, "ReadOnly": False}
    container = deployment.start(with_state=False, mounts=[mount])
    assert container.wait() == 2
    assert "has no name" in container.log


def test_container_on_a_named_volume_may_write_there(deployment: Deployment, docker_client: Any) -> None:
    name = "cdc-container-tests"
    volume = docker_client.volumes.create(name)
    try:
        mount = {"Target": "/var/lib/cdc", "Type": "volume", "Source": name, "ReadOnly": False}
        container = deployment.start(with_state=False, mounts=[mount])
        container.wait_until_healthy()
        assert container.stop(10) == 0
        container.remove()
    finally:
        volume.remove(force=True)


def test_host_folder_of_another_account_is_named_with_its_remedy(deployment: Deployment) -> None:
    deployment.state.chmod(0o700)
    container = deployment.start()
    assert container.wait() == 1
    assert "chown -R 10001:10001 /var/lib/cdc" in container.log


def test_configuration_that_the_account_may_not_read_is_named_with_its_remedy(deployment: Deployment) -> None:
    deployment.config.chmod(0o600)
    container = deployment.start()
    assert container.wait() == 2
    assert "Let the account 10001 read it: chmod a+r cdc.yaml" in container.log


def test_container_for_a_trial_needs_no_volume(deployment: Deployment) -> None:
    environment = {"CDC_STATE_VOLUME": "optional"}
    container = deployment.start(
        with_state=False, environment=environment, tmpfs={"/var/lib/cdc": "uid=10001,gid=10001"}
    )
    container.wait_until_healthy()
    assert container.stop(10) == 0
