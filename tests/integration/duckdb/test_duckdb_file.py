"""The file and those who share it: locks, damage, upkeep, and the copy for readers."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pydantic import ValidationError

from cdc.errors import SinkRefused, SinkUnavailable
from cdc.spi import Severity
from cdc.sql.publish import Publish, Publisher
from cdc.testing.events import changes, delivery, sink_context, table
from cdc_sink_duckdb import DuckDBSink, database
from cdc_sink_duckdb.options import Options
from tests.support.ducks import Duck, read_file

T = table("public.t", {"id": pa.int64(), "v": pa.string()})


def sink(path: Path) -> DuckDBSink:
    return DuckDBSink(Options(path=path), sink_context())


_HOLDER = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def test_file_held_by_another_process_waits_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "held.duckdb"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(SinkUnavailable) as caught:
        sink(path).prepare("shop")
    assert str(caught.value) == (
        f"{path}: opening the database is not possible while another process holds the file. "
        "Close it there. To read while the daemon runs, set `publish` and open the copy."
    )
    assert [f.severity for f in sink(path).check()] == [Severity.OK, Severity.ERROR]
    holder.communicate("")
    later = sink(path)
    later.prepare("shop")
    later.close()


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.duckdb"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(SinkRefused) as caught:
        sink(path).prepare("shop")
    assert str(caught.value) == (
        f"{path}: the file is not a DuckDB database, or is damaged. "
        "Restore it from a backup, or move it away: the daemon then builds a new one."
    )
    assert sink(path).check()[1].severity is Severity.ERROR


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.duckdb"
    duckdb.connect(str(path)).close()
    data = bytearray(path.read_bytes())
    data[4096 + 20] ^= 0xFF
    data[8192 + 20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SinkRefused, match="is not a DuckDB database, or is damaged"):
        sink(path).prepare("shop")


def test_file_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.query("update _cdc.meta set format = 99")
    with pytest.raises(SinkRefused, match="the file is of format 99, this version writes 1"):
        duck.sink.prepare("shop")


def test_missing_folder_is_refused_and_found_by_check(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a.duckdb"
    with pytest.raises(SinkRefused) as caught:
        sink(path).prepare("shop")
    assert str(caught.value) == (
        f"{path}: opening the database is not possible: the file cannot be read or written. "
        "Check that the folder exists and that the daemon's user can write to it."
    )
    (finding,) = sink(path).check()
    assert (finding.severity, finding.fix) == (Severity.ERROR, f"mkdir -p {path.parent}")


def test_check_creates_nothing(tmp_path: Path) -> None:
    assert [f.severity for f in sink(tmp_path / "a.duckdb").check()] == [Severity.OK]
    assert list(tmp_path.iterdir()) == []


def test_check_names_the_folder_of_a_relative_path_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (finding,) = sink(Path("a.duckdb")).check()
    assert finding.message == f"the folder {tmp_path} can be written"


def test_crash_while_the_file_is_created_leaves_no_broken_one(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    (tmp_path / ".a.duckdb.new").write_bytes(b"\0" * 100)
    made = sink(path)
    made.prepare("shop")
    made.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.duckdb"]


def test_close_may_be_called_twice_and_the_sink_opens_again(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.sink.close()
    duck.sink.close()
    duck.change(T, ("c", {"id": 1}))
    assert duck.rows("public.t", "id") == [(1,)]


def test_idle_empties_a_large_write_ahead_log(tmp_path: Path) -> None:
    duck = Duck(tmp_path, idle_wal_bytes=1000)
    duck.change(T, *[("c", {"id": i, "v": "x" * 50}) for i in range(100)])
    assert database.wal_bytes(duck.path) > 1000
    duck.sink.idle()
    assert database.wal_bytes(duck.path) == 0


def publishing(folder: Path, **interval: float) -> Duck:
    return Duck(folder, publish=Publish(path=folder / "copy.duckdb", interval=timedelta(**interval)))


def test_opening_the_sink_publishes_nothing(tmp_path: Path) -> None:
    publishing(tmp_path, seconds=0).sink.close()
    assert not (tmp_path / "copy.duckdb").exists()


def test_published_copy_is_readable_while_the_sink_goes_on(tmp_path: Path) -> None:
    duck = publishing(tmp_path, seconds=0)
    copy = tmp_path / "copy.duckdb"
    for i in range(5):
        duck.change(T, ("c", {"id": i}))
        duck.sink.idle()
        code = (
            f"import duckdb; c = duckdb.connect({str(copy)!r}, read_only=True); "
            "print(c.execute('select count(*) from public.t').fetchall(), "
            "c.execute('select \"offset\" from _cdc.cursors').fetchall())"
        )
        seen = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert seen.stdout == f"[({i + 1},)] [({i + 1},)]\n"


def test_file_stays_locked_after_copies_were_published(tmp_path: Path) -> None:
    duck = publishing(tmp_path, seconds=0)
    for i in range(3):
        duck.change(T, ("c", {"id": i}))
        duck.sink.idle()
        assert read_file(tmp_path / "copy.duckdb", "select count(*) from public.t") == [(i + 1,)]
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    inode = str(duck.path.stat().st_ino)
    assert ["POSIX", "WRITE"] in [[lock[1], lock[3]] for lock in locks if inode in lock[5].split(":")]
    code = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    command = [sys.executable, "-c", code, str(duck.path)]
    other = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "Could not set lock on file" in other.stderr


def test_copy_left_half_made_by_a_crash_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".copy.duckdb.tmp").write_bytes(b"x" * 10_000_000)
    duck = publishing(tmp_path, seconds=0)
    duck.change(T, ("c", {"id": 1}))
    assert read_file(tmp_path / "copy.duckdb", "select count(*) from public.t") == [(1,)]
    assert not (tmp_path / ".copy.duckdb.tmp").exists()


def test_copy_reports_what_its_child_met(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "gone.duckdb", Publish(path=tmp_path / "copy.duckdb"))
    with pytest.raises(FileNotFoundError):
        publisher.copy()
    assert list(tmp_path.iterdir()) == []


def test_reader_of_an_older_copy_keeps_it(tmp_path: Path) -> None:
    duck = publishing(tmp_path, seconds=0)
    duck.change(T, ("c", {"id": 1}))
    duck.sink.idle()
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as reader:
        duck.change(T, ("c", {"id": 2}))
        duck.sink.idle()
        assert reader.execute("select count(*) from public.t").fetchall() == [(1,)]
    assert read_file(tmp_path / "copy.duckdb", "select count(*) from public.t") == [(2,)]


def test_copy_is_made_under_a_load_that_never_pauses(tmp_path: Path) -> None:
    duck = publishing(tmp_path, seconds=0)
    duck.change(T, ("c", {"id": 1}))
    assert read_file(tmp_path / "copy.duckdb", "select count(*) from public.t") == [(1,)]


def test_copy_is_not_made_before_its_interval_or_without_changes(tmp_path: Path) -> None:
    duck = publishing(tmp_path, hours=1)
    copy = tmp_path / "copy.duckdb"
    duck.change(T, ("c", {"id": 1}))
    duck.sink.idle()
    made = copy.stat().st_ino
    duck.change(T, ("c", {"id": 2}))
    duck.sink.idle()
    assert copy.stat().st_ino == made


def test_copy_that_can_not_be_made_does_not_stop_the_sink(tmp_path: Path) -> None:
    duck = Duck(tmp_path, publish=Publish(path=tmp_path / "missing" / "copy.duckdb", interval=timedelta(0)))
    duck.change(T, ("c", {"id": 1}))
    duck.sink.idle()
    assert duck.counted["publish_errors"] >= 1
    assert "could not publish a copy of the database, retrying" in [event for event, _ in duck.logged]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_limit": "1MiB"}, "memory_limit must be at least 64MiB"),
        ({"deletes": "soft", "mode": "append"}, "deletes: soft is for mode mirror"),
        ({"publish": {"path": "a.duckdb"}}, "publish.path must differ from path"),
        ({"tables": []}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options.model_validate({"path": "a.duckdb", **options})


def test_errors_hold_no_row_values(tmp_path: Path) -> None:
    duck = Duck(tmp_path, schema_changes="freeze")
    duck.change(table("public.t", {"id": pa.int32()}, relation=1), ("c", {"id": 1}))
    text = table("public.t", {"id": pa.string()}, relation=1)
    duck.sink.apply(delivery([changes(text, [("c", {"id": "secret"})], start=1)], first=1, next=2))
    (said,) = duck.sink.set_aside("shop")
    assert "secret" not in repr([said, duck.logged])
    assert "applying its changes was refused by DuckDB (ConversionException)" in said.message
