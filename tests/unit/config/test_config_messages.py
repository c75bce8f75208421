"""What is said of a wrong file: exact sentences, with line and key path, and never a secret."""
# ruff: noqa: E501  (messages are quoted whole)

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.errors import ConfigError
from cdc_config import InvalidConfig, load
from tests.unit.config.conftest import Load, Messages, find_plugin

SOURCE = "sources:\n  shop:\n    type: postgres\n"
SINK = SOURCE + "sinks:\n  lake:\n    type: parquet\n    from: [shop]\n"

CASES = {
    "unknown top key": (
        SOURCE + "sink: {}\n",
        "cdc.yaml:4: sink: is not a known key. Did you mean 'sinks'?",
    ),
    "unknown key with nothing near": (
        SOURCE + "zzz: 1\n",
        "cdc.yaml:4: zzz: is not a known key. Known here: http, sinks, sources, state_dir, umask.",
    ),
    "unknown plugin key": (
        SOURCE + "    tabels: []\n",
        "cdc.yaml:4: sources.shop.tabels: is not a known key. Did you mean 'tables'?",
    ),
    "misspelt engine key": (
        SOURCE + "    snapshoot: never\n",
        "cdc.yaml:4: sources.shop.snapshoot: is not a known key. Did you mean 'snapshot'?",
    ),
    "unknown nested engine key": (
        SINK + "    flush: {row: 1}\n",
        "cdc.yaml:8: sinks.lake.flush.row: is not a known key. Did you mean 'rows'?",
    ),
    "unknown nested plugin key": (
        SINK + "    publish:\n      path: a\n      interval: 1s\n      intervall: 2s\n",
        "cdc.yaml:11: sinks.lake.publish.intervall: is not a known key. Did you mean 'interval'?",
    ),
    "missing nested plugin key": (
        SINK + "    publish:\n      path: a\n",
        "cdc.yaml:8: sinks.lake.publish.interval: is required. Add 'interval' here.",
    ),
    "missing type": (
        "sources:\n  shop: {}\n",
        "cdc.yaml:2: sources.shop.type: is required. Add 'type' here.",
    ),
    "unknown type": (
        "sources:\n  shop:\n    type: postgrs\n",
        "cdc.yaml:3: sources.shop.type: there is no source type 'postgrs'. Did you mean 'postgres'?",
    ),
    "wrong choice": (
        SOURCE + "    snapshot: initally\n",
        "cdc.yaml:4: sources.shop.snapshot: must be initial, never or only (got 'initally'). Did you mean 'initial'?",
    ),
    "text for a number": (
        SINK + "    flush: {rows: many}\n",
        "cdc.yaml:8: sinks.lake.flush.rows: must be a whole number (got a string)",
    ),
    "fraction for a number": (
        SINK + "    flush: {rows: 1.5}\n",
        "cdc.yaml:8: sinks.lake.flush.rows: must be a whole number (got a number)",
    ),
    "number out of range": (
        SINK + "    flush: {rows: 0}\n",
        "cdc.yaml:8: sinks.lake.flush.rows: must be at least 1 (got 0)",
    ),
    "duration without unit": (
        SINK + "    flush: {interval: 30}\n",
        "cdc.yaml:8: sinks.lake.flush.interval: '30' has no unit: write it with ms, s, m, h or d, such as 30s",
    ),
    "size with an unknown unit": (
        SOURCE + "    log: {retain: {size: 20Gig}}\n",
        "cdc.yaml:4: sources.shop.log.retain.size: '20Gig' has the unknown unit 'Gig':"
        " use B, KiB, MiB, GiB or TiB (or KB, MB, GB, TB)",
    ),
    "list for a mapping": (
        SINK + "    flush: [1]\n",
        "cdc.yaml:8: sinks.lake.flush: must be a mapping (got a list)",
    ),
    "text for a list": (
        SOURCE + "    tables: public.*\n",
        "cdc.yaml:4: sources.shop.tables: must be a list (got a string). Put it in brackets: [a, b].",
    ),
    "number for text": (
        SOURCE + "    tables:\n      - a\n      - 12\n",
        "cdc.yaml:6: sources.shop.tables[1]: must be text (got a whole number). Put it in quotes.",
    ),
    "unknown source": (
        SOURCE + "sinks:\n  lake:\n    type: parquet\n    from: [shopp]\n",
        "cdc.yaml:7: sinks.lake.from[0]: there is no source 'shopp'. Did you mean 'shop'?",
    ),
    "source twice": (
        SOURCE + "sinks: {lake: {type: parquet, from: [shop, shop]}}\n",
        "cdc.yaml:4: sinks.lake.from[1]: the source 'shop' is listed twice. Keep one of them.",
    ),
    "from left out with two sources": (
        SOURCE + "  crm: {type: postgres}\nsinks: {lake: {type: parquet}}\n",
        "cdc.yaml:5: sinks.lake.from: is required if there are several sources. Write from: [shop, crm].",
    ),
    "empty from": (
        SOURCE + "sinks: {lake: {type: parquet, from: []}}\n",
        "cdc.yaml:4: sinks.lake.from: has too few entries: 1 or more",
    ),
    "bad name": (
        "sources:\n  My-Shop: {type: postgres}\n",
        "cdc.yaml:2: sources.My-Shop: is not a valid name. A name starts with a-z and has only a-z, 0-9 and _, at most 48 characters.",
    ),
    "section that is no mapping": (
        "sources:\n  shop: postgres\n",
        "cdc.yaml:2: sources.shop: must be a mapping (got a string). It needs at least 'type'.",
    ),
    "sources that is no mapping": (
        "sources: [shop]\n",
        "cdc.yaml:1: sources: must be a mapping of names to settings (got a list)",
    ),
    "no sources": (
        "state_dir: ./x\n",
        "cdc.yaml:1: sources: must name at least one source. `cdc init URL` writes one to begin with.",
    ),
    "umask that takes the owner's rights": (
        'umask: "777"\n' + SOURCE,
        "cdc.yaml:1: umask: must be three octal digits that leave the owner's rights (got '777')."
        ' Write umask: "027" (nothing for others), or "022" for files that everyone may read.',
    ),
    "state_dir that is no text": (
        "state_dir: 5\n" + SOURCE,
        "cdc.yaml:1: state_dir: must be a folder (got a whole number)",
    ),
    "two sinks on one path": (
        SOURCE + "sinks:\n  a: {type: duckdb, path: ./w.duckdb}\n  b: {type: duckdb, path: x/../w.duckdb}\n",
        "cdc.yaml:6: sinks.b.path: is also the path of the sink 'a'. Give each sink its own location.",
    ),
    "waiting for sinks that are not there": (
        SOURCE + "    acknowledge: sinks\n",
        "cdc.yaml:4: sources.shop.acknowledge: waits for sinks, but no sink takes changes from this source."
        " Add a sink with this source in its 'from', or write acknowledge: log.",
    ),
    "copying again after a gap what is never copied": (
        SOURCE + "    snapshot: never\n    on_gap: resnapshot\n",
        "cdc.yaml:5: sources.shop.on_gap: cannot be resnapshot if snapshot is never: a gap would require"
        " a copy of all tables. Write on_gap: fail, or snapshot: initial.",
    ),
    "config error of a plugin": (
        SOURCE + "sinks: {lake: {type: parquet, path: 's3://b'}}\n",
        "cdc.yaml:4: sinks.lake: S3 is not supported. Use a folder.",
    ),
    "duplicate key": (
        SOURCE + "    slot: a\n    slot: b\n",
        "cdc.yaml:5: sources.shop.slot: is a duplicate key (first defined on line 4). Keep one of them.",
    ),
    "variable that is not set": (
        SOURCE + "    url: ${SHOP_URL}\n",
        "cdc.yaml:4: sources.shop.url: needs the environment variable SHOP_URL, which is not set."
        " Set SHOP_URL, or give a default: ${SHOP_URL:-…}.",
    ),
    "unclosed reference": (
        SOURCE + "    url: 'a${B'\n",
        "cdc.yaml:4: sources.shop.url: has a '${' without its '}'. Close it, or write '$${' for a literal '${'.",
    ),
    "reference that is no name": (
        SOURCE + "    url: '${a-b}'\n",
        "cdc.yaml:4: sources.shop.url: has an invalid reference."
        " Write ${NAME}, ${NAME:-default}, ${file:/path} or ${credential:name}; '$${' is a literal '${'.",
    ),
    "secret file that is missing": (
        SOURCE + "    url: ${file:/nowhere/pw}\n",
        "cdc.yaml:4: sources.shop.url: needs the file /nowhere/pw, which cannot be read (No such file or directory)",
    ),
    "credential without systemd": (
        SOURCE + "    url: ${credential:pw}\n",
        "cdc.yaml:4: sources.shop.url: needs the credential pw, and systemd passed none to this process."
        " Add LoadCredential=pw:PATH to the unit, or use ${file:PATH} outside systemd.",
    ),
    "credential outside its folder": (
        SOURCE + "    url: ${credential:../pw}\n",
        "cdc.yaml:4: sources.shop.url: names no valid credential."
        " Write the name that LoadCredential= or SetCredential= has in the unit.",
    ),
    "empty": (
        "\n# nothing\n",
        "cdc.yaml: is empty. Start with 'sources:' and 'sinks:'; `cdc init URL` writes a file to begin with.",
    ),
    "list at the top": (
        "- a\n",
        "cdc.yaml:1: must be a mapping (got a list). Start with 'sources:' and 'sinks:'; `cdc init URL` writes a file to begin with.",
    ),
    "tab": ("sources:\n\tshop: {}\n", "cdc.yaml:2: is indented with a tab. YAML wants spaces."),
    "two documents": (
        SOURCE + "---\na: b\n",
        "cdc.yaml:4: is not valid YAML: but found another document (column 1). Check indentation, quotes and colons.",
    ),
    "unclosed quote": (
        "sources: 'a\n",
        "cdc.yaml:2: is not valid YAML: found unexpected end of stream (column 1). Check indentation, quotes and colons.",
    ),
    "tag": (
        SOURCE + "    url: !hunter2 x\n",
        "cdc.yaml:4: sources.shop.url: has a tag. Write the value without it; put text that starts with ! in quotes.",
    ),
    "undefined alias": (
        SOURCE + "    url: *hunter2\n",
        "cdc.yaml:4: is not valid YAML: found undefined alias (column 10). Check indentation, quotes and colons.",
    ),
    "alias that contains itself": (
        "sources: &a {shop: *a}\n",
        "cdc.yaml:1: sources.shop: contains itself by an alias. Remove the alias.",
    ),
    "key that is a list": ("sources: {[a]: b}\n", "cdc.yaml:1: sources: has a key that is not a plain name"),
    "key with a dot": (
        SOURCE + "    publish: {a.b: 1, path: a, interval: 1s}\n",
        'cdc.yaml:4: sources.shop.publish["a.b"]: is not a known key. Known here: interval, path.',
    ),
    "control character": (
        SOURCE + "    url: a\x07b\n",
        "cdc.yaml:4: has the control character U+0007, which YAML forbids. Remove it.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_file_is_refused_with_place_and_remedy(messages: Messages, name: str) -> None:
    text, expected = CASES[name]
    assert messages(text) == [expected]


def test_all_problems_are_reported_at_once(messages: Messages) -> None:
    found = messages(SOURCE + "    snapshot: x\n    workers: y\nsinks: {lake: {type: nope}}\n")
    assert [line.split(": ")[1] for line in found] == [
        "sources.shop.snapshot",
        "sources.shop.workers",
        "sinks.lake.type",
    ]


def test_missing_file_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "no.yaml", find_plugin, {})
    assert str(caught.value) == (
        f"{tmp_path}/no.yaml: there is no such file. Write one with `cdc init URL`, or name another with --config."
    )


def test_folder_instead_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reading the configuration: Is a directory"):
        load(tmp_path, find_plugin, {})


def test_file_that_is_not_text_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"a: b\nc: \xff\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:2: is not UTF-8 text"):
        load(tmp_path / "c.yaml", find_plugin, {})


@pytest.mark.parametrize(
    "lines",
    [
        "    url: ${PW}",  # The plug-in's own message repeats the value.
        "    snapshot: ${PW}",  # A choice.
        "    mode: ${PW}",
        "    workers: ${PW}",
        "    log: {retain: {age: '${PW}'}}",  # The duration parser quotes what it was given.
        "    failover: ${PW}",
    ],
)
def test_values_from_outside_are_never_repeated(messages: Messages, lines: str) -> None:
    found = messages(SOURCE + lines + "\n", {"PW": "hunter2-secret"})
    assert found
    assert "hunter2" not in "\n".join(found)


def test_error_object_has_no_secret_anywhere(load_text: Load) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_text(SOURCE + "    url: ${PW}\n", {"PW": "hunter2-secret"})
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.problems[0].message == "*** has no scheme"
