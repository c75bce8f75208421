"""Installing without a C compiler, and with a Python that is too old."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tests.support.processes import ROOT

# Where modules come from, and how they are compiled, is each test's own.
FROM_HERE = ("PYTHONPATH", "CDC_NATIVE", "CFLAGS")
NO_COMPILER = {"CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in FROM_HERE}
    return subprocess.run(
        command, cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, check=False
    )


def copy_of_the_project(target: Path) -> Path:
    """The files of the project, none of them compiled."""
    kept = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in kept.stdout.splitlines():
        if name.split("/")[0] in ("cdc", "config", "connectors", "sinks", "docs") or "/" not in name:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def test_build_without_a_compiler_leaves_the_decoders_in_python(tmp_path: Path) -> None:
    for name in ("setup.py", "cdc/native/cursor.pyx", "cdc/native/cursor.pxd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copyfile(ROOT / name, tmp_path / name)
    built = run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=tmp_path, **NO_COMPILER)
    assert built.returncode == 0, built.stderr
    assert not list(tmp_path.rglob("*.so"))


def test_build_removes_what_would_be_imported_in_place_of_a_shared_source(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "setup.py", tmp_path / "setup.py")
    folder = tmp_path / "cdc/native"
    folder.mkdir(parents=True)
    (folder / "rows.py").write_text("ROWS = 1\n")
    (folder / "rows_native.pxd").write_text("")
    (folder / f"rows{EXTENSION_SUFFIXES[0]}").write_bytes(b"compiled by an older version")
    built = run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=tmp_path, **NO_COMPILER)
    assert built.returncode == 0, built.stderr
    assert not list(tmp_path.rglob("*.so"))


def test_compiled_modules_have_no_debug_symbols(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "setup.py", tmp_path / "setup.py")
    folder = tmp_path / "cdc/native"
    folder.mkdir(parents=True)
    (folder / "small.pyx").write_text("cdef int one = 1\n")
    built = run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert "-g0" in built.stdout
    (module,) = folder.glob("*.so")
    assert b".debug_info" not in module.read_bytes()


@pytest.mark.slow
def test_installation_without_a_compiler_runs_on_python_decoders(tmp_path: Path) -> None:
    project, target = copy_of_the_project(tmp_path / "project"), tmp_path / "target"
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index")
    installed = run(*pip, "--target", str(target), str(project), cwd=tmp_path, **NO_COMPILER)
    assert installed.returncode == 0, installed.stderr
    command = (sys.executable, "-m", "cdc", "version", "--json")
    version = run(*command, cwd=tmp_path, PYTHONPATH=str(target))
    assert '"decoders": "python"' in version.stdout
    shown = run(sys.executable, "-m", "cdc", "docs", "sinks/duckdb", cwd=tmp_path, PYTHONPATH=str(target))
    assert shown.stdout == (ROOT / "docs/sinks/duckdb.md").read_text("utf-8")


def test_the_wheel_installs_names_that_no_application_uses(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    for pattern in ("*.pyx", "*.pxd"):
        for source in project.rglob(pattern):
            source.unlink()  # Compiling takes minutes and changes no top-level name.
    pip = (sys.executable, "-m", "pip")
    wheel = run(
        *pip, "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index", str(project), cwd=tmp_path
    )
    assert wheel.returncode == 0, wheel.stderr
    bare = tmp_path / "bare"
    run(sys.executable, "-m", "venv", "--without-pip", str(bare), cwd=tmp_path)
    (built,) = tmp_path.glob("*.whl")
    python = str(bare / "bin/python")
    installed = run(
        *pip, "--python", python, "install", "-q", "--no-deps", "--no-index", str(built), cwd=tmp_path
    )
    assert installed.returncode == 0, installed.stderr
    names = {path.name for path in bare.glob("lib/python*/site-packages/*") if path.suffix != ".dist-info"}
    assert names == {
        "cdc",
        "cdc_config",
        "cdc_libpq",
        "cdc_sink_clickhouse",
        "cdc_sink_duckdb",
        "cdc_sink_iceberg",
        "cdc_sink_parquet",
        "cdc_sink_postgres",
        "cdc_source_mysql",
        "cdc_source_postgres",
    }


def test_wheels_are_built_for_every_supported_python_and_processor() -> None:
    command = (sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--print-build-identifiers")
    listed = run(*command, str(ROOT), cwd=ROOT)
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.split()) == {
        f"cp3{minor}-manylinux_{processor}"
        for minor in (11, 12, 13, 14)
        for processor in ("x86_64", "aarch64")
    }


@pytest.fixture
def old_python(tmp_path: Path) -> Path:
    """A Python that says that it is 3.10, and whose `-c` ends as it would there."""
    program = tmp_path / "python3.10"
    program.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.10.14 && exit 0\nexit 1\n')
    program.chmod(0o755)
    return program


def test_bootstrap_refuses_an_old_python_at_once(tmp_path: Path, old_python: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copyfile(ROOT / "scripts/bootstrap.sh", tmp_path / "scripts/bootstrap.sh")
    answer = run("bash", "scripts/bootstrap.sh", "venv", cwd=tmp_path, PYTHON=str(old_python))
    assert answer.returncode == 1
    assert answer.stderr == (
        f"bootstrap: {old_python} is Python 3.10.14: Python 3.11 or newer is needed, for example:"
        " make PYTHON=python3.11\n"
    )


def test_setup_refuses_an_old_python_at_once(tmp_path: Path) -> None:
    program = "import runpy, sys; sys.version_info = (3, 10, 14, 'final', 0); runpy.run_path(sys.argv[1])"
    answer = run(sys.executable, "-c", program, str(ROOT / "setup.py"), cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: cdcd needs Python 3.11 or newer, and this is Python 3.10 (")
