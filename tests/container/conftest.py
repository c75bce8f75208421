"""The image, built from the Dockerfile, and containers of it, where an engine answers and has the base."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdc.testing.ports import free_port
from cdc.testing.servers.process import HOST
from tests.architecture.tree import ROOT
from tests.container.stand_ins import BASE
from tests.support.waiting import wait_until

TAG = "cdcd:container-tests"
STATE = "/var/lib/cdc"
# Nanoseconds, as the engine's interface counts.
OFTEN = 1_000_000_000


class CdcContainer:
    """One container of the image on the host's network, where the tests' database servers are."""

    def __init__(self, client: Any, **options: Any) -> None:
        self._container = client.containers.run(
            TAG,
            detach=True,
            network_mode="host",
            read_only=True,
            cap_drop=["ALL"],
            healthcheck={"interval": OFTEN},
            **options,
        )

    @property
    def log(self) -> str:
        text: str = self._container.logs().decode()
        return text

    @property
    def health(self) -> str:
        self._container.reload()
        status: str = self._container.attrs["State"]["Health"]["Status"]
        return status

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.log, f"{text!r} in the container's log")

    def wait_until_healthy(self) -> None:
        wait_until(lambda: self.health == "healthy", "the container to be healthy")

    def exec(self, *command: str) -> tuple[int, str]:
        code, output = self._container.exec_run(list(command))
        return code, output.decode()

    def stop(self, seconds: int) -> int:
        """SIGTERM, and SIGKILL after so many seconds; return the exit code (137 if it was killed)."""
        self._container.stop(timeout=seconds)
        return self.wait()

    def kill9(self) -> None:
        self._container.kill()
        self.wait()

    def wait(self) -> int:
        code: int = self._container.wait(timeout=60)["StatusCode"]
        return code

    def remove(self) -> None:
        """Remove the container and its volumes without names. May be called twice."""
        from docker.errors import NotFound

        with suppress(NotFound):
            self._container.remove(force=True, v=True)


Start = Callable[..., CdcContainer]


@pytest.fixture(scope="session")
def docker_client() -> Iterator[Any]:
    from docker.errors import DockerException
    from testcontainers.core.docker_client import DockerClient

    try:
        client = DockerClient().client
        client.ping()
    except DockerException as error:
        pytest.skip(
            f"no container engine answers ({type(error).__name__}): scripts/container-engine.sh starts one"
        )
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(docker_client: Any) -> Any:
    """The image of this tree, or the one that CDC_TEST_IMAGE names. Layers are kept for the next build."""
    from docker.errors import BuildError, DockerException, ImageNotFound

    if name := os.environ.get("CDC_TEST_IMAGE"):
        found = docker_client.images.get(name)
        found.tag(TAG)
        return found
    try:
        docker_client.images.get(BASE)
    except ImageNotFound:
        try:
            docker_client.images.pull(BASE)
        except DockerException as error:
            pytest.skip(
                f"{BASE} cannot be pulled ({type(error).__name__}): scripts/container-engine.sh makes one"
            )
    arguments = {name: os.environ[name] for name in ("PIP_INDEX_URL", "CFLAGS") if name in os.environ}
    try:
        # The base may be one that the engine made here, and the host's network the only one that leads out.
        return docker_client.images.build(
            path=str(ROOT), tag=TAG, rm=True, network_mode="host", buildargs=arguments
        )[0]
    except BuildError as error:
        lines = "".join(line.get("stream", "") for line in error.build_log)
        raise AssertionError(lines[-4000:]) from error


@pytest.fixture
def start(docker_client: Any, image: Any) -> Iterator[Start]:
    """Start containers, which are removed after the test."""
    with ExitStack() as stack:

        def run(**options: Any) -> CdcContainer:
            container = CdcContainer(docker_client, **options)
            stack.callback(container.remove)
            return container

        yield run


class Deployment:
    """A folder with a configuration, and one that is mounted for the state."""

    def __init__(self, folder: Path, url: str, start: Start) -> None:
        self._start, self._url, self.config = start, url, folder / "cdc.yaml"
        self.state = folder / "state"
        self.state.mkdir()
        # Owned by an account of the image that need not exist here.
        self.state.chmod(0o777)
        self.config.write_text(yaml.safe_dump(self._document()), "utf-8")
        self.config.chmod(0o644)

    @property
    def lake(self) -> Path:
        return self.state / "lake"

    def start(self, *, with_state: bool = True, **options: Any) -> CdcContainer:
        volumes = {str(self.config): {"bind": "/etc/cdc/cdc.yaml", "mode": "ro"}}
        if with_state:
            volumes[str(self.state)] = {"bind": STATE, "mode": "rw"}
        environment = {"SHOP_URL": self._url, **options.pop("environment", {})}
        return self._start(volumes=volumes, environment=environment, **options)

    def _document(self) -> dict[str, Any]:
        return {
            # The test reads what an account of the image writes.
            "umask": "0000",
            "state_dir": f"{STATE}/state",
            "http": {"listen": f"{HOST}:{free_port(HOST)}"},
            "sources": {"shop": {"type": "postgres", "url": "${SHOP_URL}", "tables": ["app.*"]}},
            "sinks": {"lake": {"type": "parquet", "url": f"{STATE}/lake", "flush": {"interval": "0s"}}},
        }
