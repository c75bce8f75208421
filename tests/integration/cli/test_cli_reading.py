"""The commands that look: status, checkpoints, tail, log, connectors, schema, version, check."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

import cdc
from cdc.cli.tail import newest
from cdc.log import LogView
from tests.integration.cli.conftest import Answer, Project, minimal
from tests.support.processes import run_cdc


def seqs(answer: Answer) -> list[int]:
    assert answer.code == 0, answer.err
    return [row["_cdc_seq"] for row in answer.rows]


def test_tail_prints_the_newest_changes(finished: Project) -> None:
    assert seqs(finished.cdc("tail")) == list(range(10))
    assert seqs(finished.cdc("tail", "-n", "3")) == [7, 8, 9]


def test_tail_from_a_place_prints_all_that_follows(finished: Project) -> None:
    assert seqs(finished.cdc("tail", "--from", "earliest")) == list(range(10))
    assert seqs(finished.cdc("tail", "--from", "latest")) == []
    assert seqs(finished.cdc("tail", "--from", "6")) == [6, 7, 8, 9]
    assert seqs(finished.cdc("tail", "--from", "earliest", "-n", "2")) == [0, 1]


def test_tail_begins_at_a_commit(finished: Project) -> None:
    assert seqs(finished.cdc("tail", "--from", "7")) == [6, 7, 8, 9]


def test_tail_from_a_position_prints_what_lies_behind_it(finished: Project) -> None:
    assert seqs(finished.cdc("tail", "--from", "0/D")) == [6, 7, 8, 9]


def test_tail_shows_chosen_tables(finished: Project) -> None:
    answer = finished.cdc("tail", "--table", "public.i*")
    assert {row["_cdc_table"] for row in answer.rows} == {"public.items"}
    assert seqs(answer) == [0, 2, 4, 6, 8]


def test_tail_prints_the_newest_changes_of_chosen_tables(finished: Project) -> None:
    assert seqs(finished.cdc("tail", "--table", "public.items", "-n", "3")) == [4, 6, 8]
    assert seqs(finished.cdc("tail", "--table", "public.n*", "-n", "1")) == [9]
    assert seqs(finished.cdc("tail", "--table", "public.items", "-n", "50")) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("look", [1, 3, 1024])
def test_the_newest_changes_are_found_however_little_is_read_at_first(finished: Project, look: int) -> None:
    log = LogView(finished.folder / "state/log/shop")
    assert newest(log, ["public.items"], 3, look) == 4
    assert newest(log, ["public.n*"], 1, look) == 9
    assert newest(log, ["public.items"], 50, look) == 0


def test_tail_finds_a_rare_table_behind_busy_ones(project: Project) -> None:
    project.write(minimal(transactions=40, rare=3))
    assert run_cdc("run", "--once", cwd=project.folder).returncode == 0
    answer = project.cdc("tail", "--table", "public.rare", "-n", "2")
    assert [row["id"] for row in answer.rows] == [1, 2]
    # The same with looks that see none of it at first.
    log = LogView(project.folder / "state/log/shop")
    assert newest(log, ["public.rare"], 2, first_look=4) == answer.rows[0]["_cdc_seq"]


def test_tail_names_the_nearest_table(finished: Project) -> None:
    for place in ((), ("--from", "earliest"), ("--follow",)):
        answer = finished.cdc("tail", "--table", "public.*", "--table", "public.item", *place)
        assert answer.code == 2
        assert answer.err == (
            "error: --table: no table in the log matches 'public.item'\n  Did you mean 'public.items'?\n"
        )


def test_tail_refuses_what_is_no_place(finished: Project) -> None:
    answer = finished.cdc("tail", "--from", "yesterday")
    assert answer.code == 2
    assert answer.err == (
        "error: --from: 'yesterday' is not a place in the log: 'yesterday' is not a position\n"
        "  Write earliest, latest, an offset, a time (2026-11-23T12:00Z), a source position, or a checkpoint"
        " (c12).\n"
    )


def test_tail_refuses_an_offset_behind_the_end(finished: Project) -> None:
    answer = finished.cdc("tail", "--from", "11")
    assert answer.err == "error: --from: offset 11 is after the log's end\n  The log holds 0 to 10.\n"


def test_unknown_source_is_refused_with_the_nearest(finished: Project) -> None:
    answer = finished.cdc("tail", "shopp")
    assert answer.code == 2
    assert answer.err == "error: tail SOURCE: there is no source 'shopp'\n  Did you mean 'shop'?\n"


def test_checkpoints_name_places_for_replay(finished: Project) -> None:
    (point,) = finished.cdc("checkpoints", "--json").json
    assert point["id"] == "c1"
    assert (point["source"], point["offset"], point["position"], point["in_log"]) == ("shop", 10, "0/F", True)
    assert seqs(finished.cdc("tail", "--from", "c1")) == []
    assert "c1" in finished.cdc("checkpoints").out


def test_unknown_checkpoint_is_refused(finished: Project) -> None:
    answer = finished.cdc("tail", "--from", "c99")
    assert answer.err == (
        "error: --from: there is no checkpoint c99\n  `cdc checkpoints` lists those that are kept.\n"
    )


def test_status_of_a_stopped_daemon_shows_what_it_left(finished: Project) -> None:
    document = finished.cdc("status", "--json").json
    assert document["running"] is False
    source = document["sources"]["shop"]
    assert (source["state"], source["position"], source["error"]) == ("stopped", "0/F", None)
    assert (source["log"]["start"], source["log"]["next"], source["log"]["segments"]) == (0, 10, 1)
    (pair,) = document["sinks"]["store"]
    assert (pair["state"], pair["next"], pair["behind_changes"]) == ("stopped", 10, 0)
    shown = finished.cdc("status").out
    assert shown.startswith("not running")
    assert "0 – 10" in shown


def test_status_before_the_first_run_shows_the_configuration(project: Project) -> None:
    document = project.cdc("status", "--json").json
    assert document["running"] is False
    assert document["sources"] == {"shop": {"state": "never run", "error": None, "log": None, "paused": None}}
    assert document["sinks"] == {
        "store": [{"source": "shop", "state": "never run", "error": None, "paused": None}]
    }
    assert "never run" in project.cdc("status").out


def segment(project: Project) -> Path:
    return LogView(project.folder / "state/log/shop").segments[0].path


def test_log_lists_its_segments(finished: Project) -> None:
    (listed,) = finished.cdc("log", "list", "--json").json
    assert listed["path"] == str(segment(finished))
    assert (listed["source"], listed["first"], listed["next"], listed["position"]) == ("shop", 0, 10, "0/F")
    assert segment(finished).name in finished.cdc("log", "list").out


def test_whole_log_is_verified(finished: Project) -> None:
    answer = finished.cdc("log", "verify")
    assert answer.code == 0
    assert answer.out.startswith("shop: 1 segment, ")
    assert answer.out.endswith(": intact\n")


def test_damaged_log_is_named_with_segment_and_remedy(finished: Project) -> None:
    path = segment(finished)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    answer = finished.cdc("log", "verify")
    assert answer.code == 1
    assert str(path) in answer.err
    assert "Restore this file from a backup of its folder" in answer.err
    assert "1 DAMAGED" in answer.out
    results = finished.cdc("log", "verify", "--json").json
    assert len(results[0]["damage"]) == 1


def test_connectors_are_listed_with_their_state(project: Project) -> None:
    found = {(p["kind"], p["type"]): p for p in project.cdc("connectors", "--json").json}
    assert {("source", "postgres"), ("sink", "duckdb"), ("sink", "parquet")} <= found.keys()
    assert found["sink", "parquet"]["capabilities"]["atomic"] == "one table"
    assert "capabilities" not in found["source", "postgres"]
    shown = project.cdc("connectors").out
    assert "postgres" in shown
    assert "kept as changes" in shown


def test_check_shows_what_a_sink_promises(project: Project) -> None:
    promised = [f for f in project.cdc("check", "--json").json if f["code"] == "sink-capabilities"]
    assert promised
    assert all("atomic: all tables" in finding["message"] for finding in promised)


def test_schema_accepts_a_file_of_the_documentation(project: Project) -> None:
    schema = project.cdc("schema").json
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(project.config, schema)


def test_version_names_the_decoders_in_use(project: Project) -> None:
    found = project.cdc("version", "--json").json
    assert found["decoders"] in ("c", "python")
    assert {"cdc", "duckdb", "psycopg", "pymysql"} <= found.keys()
    assert "decoders" in project.cdc("version").out


def test_check_passes_when_nothing_is_wrong(project: Project) -> None:
    answer = project.cdc("check")
    assert answer.code == 0
    assert answer.out.endswith("All is well: start with `cdc run`.\n")


def test_check_shows_findings_with_their_fixes(project: Project) -> None:
    project.write(minimal(findings=["warning", "error", "ok"]))
    answer = project.cdc("check")
    assert answer.code == 1
    assert (
        "warning sources.shop  a finding of kind warning\n          ALTER SYSTEM\n          SET x = 1\n"
        "error   sources.shop  a finding of kind error\n"
    ) in answer.out
    assert answer.out.endswith("1 error, 1 warning.\n")


def test_check_with_warnings_only_passes(project: Project) -> None:
    project.write(minimal(findings=["warning"]))
    answer = project.cdc("check", "--json")
    assert answer.code == 0
    assert answer.json[1] == {
        "subject": "sources.shop",
        "severity": "warning",
        "code": "code-warning",
        "message": "a finding of kind warning",
        "fix": "ALTER SYSTEM\nSET x = 1",
        "docs": "",
    }


def test_check_turns_an_error_into_a_finding(project: Project) -> None:
    project.write(minimal(findings=["raise"]))
    answer = project.cdc("check", "--json")
    assert answer.code == 1
    assert answer.json[1]["code"] == "SourceRefused"
    assert answer.json[1]["message"] == "role cdc: the login is refused"
    assert answer.json[1]["fix"] == "ALTER ROLE cdc LOGIN"


def test_check_never_promises_to_try_again(project: Project) -> None:
    project.write(minimal(findings=["unavailable"]))
    finding = project.cdc("check", "--json").json[1]
    assert (finding["code"], finding["fix"]) == (
        "SourceUnavailable",
        "Start the server, or correct host and port in url (inside a container, localhost is the container).",
    )


def test_check_warns_when_the_disk_is_smaller_than_the_log_may_grow(project: Project) -> None:
    project.write(minimal(log={"retain": {"size": "9000TiB"}}))
    finding = project.cdc("check", "--json").json[0]
    assert (finding["subject"], finding["severity"], finding["code"]) == (
        "state_dir",
        "warning",
        "disk-space",
    )


@pytest.mark.parametrize(
    "command", ["check", "run", "status", "checkpoints", "replay", "tail", "connectors", "schema"]
)
def test_help_explains_the_command(project: Project, command: str) -> None:
    answer = project.cdc(command, "--help")
    assert answer.code == 0
    assert "--json" in answer.out


def test_version_help_and_completion_are_there(project: Project) -> None:
    assert project.cdc("--version").out == f"cdc {cdc.__version__}\n"
    assert project.cdc("help", "log", "verify").out == project.cdc("log", "verify", "--help").out
    assert project.cdc("help").out == project.cdc("--help").out
    assert project.cdc("help", "rnu").err.endswith("Did you mean 'run'?\n")
    completed = run_cdc(
        cwd=project.folder,
        environment={"_CDC_COMPLETE": "complete_bash", "COMP_WORDS": "cdc st", "COMP_CWORD": "1"},
    )
    assert completed.stdout.split() == ["status"]


def test_commands_that_need_the_state_only_do_with_a_file_that_has_an_error(finished: Project) -> None:
    listed = finished.cdc("log", "list").out
    with (finished.folder / "cdc.yaml").open("a", encoding="utf-8") as file:
        file.write("sinks: [\n")
    assert seqs(finished.cdc("tail", "-n", "3")) == [7, 8, 9]
    assert len(finished.cdc("checkpoints", "--json").json) > 0
    assert finished.cdc("log", "list").out == listed
    assert finished.cdc("pause", "store").out.startswith("sink store is paused.")
    answer = finished.cdc("resume", "store")
    assert answer.out.startswith("sink store is resumed.")
    assert answer.err.startswith("warning: cdc.yaml:")
    # These need what the file says.
    for command in (["tail", "--from", "0/D"], ["replay", "store", "--from", "0"], ["reload"], ["check"]):
        answer = finished.cdc(*command)
        assert answer.code == 2, command
        assert "is not valid YAML" in answer.err.partition("error: ")[2], command


def test_docs_lists_its_pages_and_prints_one(project: Project) -> None:
    assert project.cdc("docs", "--json").json["sinks/duckdb"] == "DuckDB"
    assert project.cdc("docs", "operations#errors").out.startswith("## Errors\n")
    assert project.cdc("docs", "docs/sinks/duckdb.md").out == project.cdc("docs", "duckdb").out
    assert project.cdc("docs", "operatoins").err.endswith("Did you mean 'operations'?\n")
