"""Projects with a scripted source and a sink in a file, before and after a run of the real daemon."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from typer.testing import CliRunner

from cdc.cli.app import app
from tests.support.processes import run_cdc

SOURCE = "tests.integration.cli.scripted:ScriptedSource"
SINK = "cdc.testing.memory:MemorySink"


@dataclass(frozen=True)
class Answer:
    """What a command said: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        return [orjson.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Project:
    """A folder with a configuration; `cdc` runs a command in this process, `config` is what the file says."""

    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load((self.folder / "cdc.yaml").read_text("utf-8"))
        return loaded

    def write(self, config: dict[str, Any]) -> None:
        (self.folder / "cdc.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")

    def cdc(self, *arguments: str) -> Answer:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)


Make = Callable[..., Project]


def minimal(**source: Any) -> dict[str, Any]:
    return {
        "state_dir": "./state",
        "sources": {"shop": {"type": SOURCE, "snapshot": "never", **source}},
        "sinks": {
            "store": {"type": SINK, "from": ["shop"], "path": "./store.bin", "flush": {"interval": "0s"}}
        },
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that has never run."""
    monkeypatch.chdir(tmp_path)
    made = Project(tmp_path)
    made.write(minimal())
    return made


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    Project(folder).write(minimal())
    result = run_cdc("run", "--once", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def finished(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project after `cdc run --once`: ten changes in five transactions, all delivered."""
    folder = tmp_path / "project"
    shutil.copytree(run_folder, folder)
    monkeypatch.chdir(folder)
    return Project(folder)
