"""State, logs, DuckDB files and lakes are for the owner and the group only, whatever the umask is."""

from __future__ import annotations

import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import cdc_command, child_environment
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS


@pytest.mark.parametrize(("umask", "configured"), [("000", None), ("077", None), ("077", "002")])
def test_files_have_the_rights_of_the_config_whatever_the_umask(
    database15: Database, tmp_path: Path, umask: str, configured: str | None
) -> None:
    database15.execute("create schema app", "create table app.t as select 1 as id")
    database15.execute("alter table app.t add primary key (id)")
    pipeline = Pipeline(database15, tmp_path)
    if configured:
        text = (tmp_path / "cdc.yaml").read_text()
        (tmp_path / "cdc.yaml").write_text(f'umask: "{configured}"\n{text}')
    command = shlex.join(cdc_command("run", "--once"))
    subprocess.run(
        ["/bin/sh", "-c", f"umask {umask}; exec {command}"],
        cwd=tmp_path,
        env=child_environment(),
        timeout=DEFAULT_TIMEOUT_SECONDS,
        check=True,
        capture_output=True,
    )
    made = [
        path
        for root in (tmp_path / "state", pipeline.lake, pipeline.mirror)
        for path in (root, *root.rglob("*"))
    ]
    mask = int(configured or "027", 8)
    rights = {path: stat.S_IMODE(path.stat().st_mode) for path in made}
    wrong = {
        str(path): oct(mode)
        for path, mode in rights.items()
        if mode != (0o777 if path.is_dir() else 0o666) & ~mask
    }
    assert len(made) > 10
    assert wrong == {}
