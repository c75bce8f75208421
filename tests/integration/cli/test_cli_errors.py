"""How an error looks and what the exit code is."""

from __future__ import annotations

import subprocess

import orjson

from tests.integration.cli.conftest import Project, minimal
from tests.support.processes import cdc_command, child_environment, run_cdc


def test_wrong_configuration_is_one_block_on_stderr_and_exit_code_2(project: Project) -> None:
    config = minimal(snapshot="initally")
    config["sinks"]["store"]["flush"] = {"rows": "many"}
    project.write(config)
    answer = project.cdc("status")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err == (
        "error: cdc.yaml:5: sources.shop.snapshot: must be initial, never or only (got 'initally')\n"
        "  Did you mean 'initial'?\n"
        "error: cdc.yaml:13: sinks.store.flush.rows: must be a whole number (got a string)\n"
    )


def test_json_error_is_an_object_with_every_problem(project: Project) -> None:
    project.write({**minimal(snapshot="x"), "sink": {}})
    answer = project.cdc("status", "--json")
    assert answer.code == 2
    error = orjson.loads(answer.err)["error"]
    assert error["kind"] == "InvalidConfig"
    assert [problem["where"] for problem in error["problems"]] == [
        "cdc.yaml:14: sink",
        "cdc.yaml:5: sources.shop.snapshot",
    ]
    assert error["problems"][0] == {
        "kind": "ConfigError",
        "where": "cdc.yaml:14: sink",
        "message": "is not a known key",
        "remedy": "Did you mean 'sinks'?",
    }


def test_single_problem_is_a_plain_object(project: Project) -> None:
    (project.folder / "cdc.yaml").unlink()
    answer = project.cdc("run", "--json")
    assert answer.code == 2
    assert orjson.loads(answer.err) == {
        "error": {
            "kind": "ConfigError",
            "where": "cdc.yaml",
            "message": "there is no such file",
            "remedy": "Write one with `cdc init URL`, or name another with --config.",
        }
    }


def test_failure_that_is_no_usage_gives_exit_code_1(project: Project) -> None:
    answer = project.cdc("tail")
    assert answer.code == 1
    assert answer.err == (
        f"error: {project.folder}/state/log/shop: there is no log here\n"
        "  `cdc run` creates it at its first start.\n"
    )


def test_wrong_command_line_gives_exit_code_2(project: Project) -> None:
    assert project.cdc("tail", "--nonsense").code == 2
    assert project.cdc("nonsense").code == 2


def test_debug_shows_the_traceback_and_its_absence_hides_it(project: Project) -> None:
    shown = run_cdc("--debug", "tail", cwd=project.folder)
    assert "Traceback" in shown.stderr
    hidden = run_cdc("tail", cwd=project.folder)
    assert hidden.returncode == 1
    assert "Traceback" not in hidden.stderr


def test_unexpected_exception_names_its_place_and_not_its_text(project: Project) -> None:
    (project.folder / "broken.py").write_text(
        "from cdc.testing.memory import MemorySink\n"
        "class Sink(MemorySink):\n"
        "    def __init__(self, options, context):\n"
        "        raise KeyError('the row says hunter2')\n",
        "utf-8",
    )
    config = minimal()
    config["sinks"]["store"]["type"] = "broken:Sink"
    project.write(config)
    roots = f"{project.folder}:{child_environment()['PYTHONPATH']}"
    result = run_cdc("check", cwd=project.folder, environment={"PYTHONPATH": roots})
    assert result.returncode == 1
    assert "error: unexpected KeyError at " in result.stderr
    assert "broken.py:4 in __init__" in result.stderr
    assert "hunter2" not in result.stderr


def test_closed_pipe_ends_quietly(finished: Project) -> None:
    command = " ".join(cdc_command("tail", "--from", "earliest")) + " | head -n 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=finished.folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": child_environment()["PYTHONPATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1


def test_config_option_and_environment_name_the_file(finished: Project) -> None:
    (finished.folder / "cdc.yaml").rename(finished.folder / "other.yaml")
    assert finished.cdc("status").code == 2
    assert finished.cdc("status", "-c", "other.yaml").code == 0
    assert finished.cdc("status", "--config", str(finished.folder / "other.yaml")).code == 0
    result = run_cdc("status", cwd=finished.folder, environment={"CDC_CONFIG": "other.yaml"})
    assert result.returncode == 0


def test_relative_paths_mean_the_files_folder(finished: Project) -> None:
    result = run_cdc("tail", "-n", "1", "-c", "project/cdc.yaml", cwd=finished.folder.parent)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
