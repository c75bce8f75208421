"""Every connector and sink of the registry runs its contract suite, found by name in this folder."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cdc.spi import Finding, Severity
from cdc.spi.registry import Group, Plugin, installed, load
from cdc.testing.contract_waivers import stale_waivers
from cdc.testing.sink_contract import SinkContract
from cdc.testing.source_contract import SourceContract

TESTS = Path(__file__).resolve().parents[1]
SUITES: dict[Group, str] = {"cdc.sources": "SourceContract", "cdc.sinks": "SinkContract"}
# Plug-in → why its suite can't run. One that has a suite after all must not be here.
WAIVED: dict[str, str] = {}


def _suite_classes(base: str) -> set[str]:
    """Names of the test classes that run the suite `base`, also by way of a class of their own module."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        bases = {base}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(b, ast.Name) and b.id in bases for b in node.bases
            ):
                bases.add(node.name)
        found |= {name for name in bases if name.startswith("Test")}
    return found


@pytest.mark.parametrize("group", SUITES)
def test_every_plugin_runs_its_suite(group: Group) -> None:
    classes = _suite_classes(SUITES[group])
    plugins = {plugin.name: plugin.path.partition(":")[2] for plugin in installed(group)}
    missing = {n for n, c in plugins.items() if not any(name.startswith(f"Test{c}") for name in classes)}
    assert missing == {name for name in WAIVED if name in plugins}


@pytest.mark.parametrize("plugin", installed("cdc.sinks"), ids=lambda plugin: plugin.name)
def test_every_sinks_page_shows_what_it_declares(plugin: Plugin) -> None:
    page = (TESTS.parent / f"docs/sinks/{plugin.name}.md").read_text()
    facts = load("cdc.sinks", plugin.name).capabilities.facts()
    assert [
        f"| {name} | {value} |" for name, value in facts.items() if f"| {name} | {value} |" not in page
    ] == []


def test_the_search_for_suites_finds_the_ones_in_memory() -> None:
    assert "TestMemorySink" in _suite_classes("SinkContract")
    assert "TestMemorySource" in _suite_classes("SourceContract")


@pytest.mark.parametrize("suite", [SinkContract, SourceContract])
def test_a_waiver_that_names_no_test_is_stale(suite: type) -> None:
    made = type("Made", (suite,), {"waived": {"test_nothing": "reason", "test_close_may_be_repeated": " "}})
    assert stale_waivers(made) == ["test_nothing", "test_close_may_be_repeated"]


def test_a_waived_promise_that_is_kept_fails() -> None:
    made = type(
        "Made", (SinkContract,), {"waived": {"test_check_reports_findings_and_creates_nothing": "reason"}}
    )
    suite = made()
    suite.make_sink = lambda place, epoch: _Checked()
    with pytest.raises(pytest.fail.Exception, match="stale"):
        suite.test_check_reports_findings_and_creates_nothing(Path("/nowhere"))


def test_a_waived_promise_that_is_broken_is_skipped_with_its_reason() -> None:
    made = type(
        "Made", (SinkContract,), {"waived": {"test_check_reports_findings_and_creates_nothing": "no check"}}
    )
    with pytest.raises(pytest.skip.Exception, match="no check"):
        made().test_check_reports_findings_and_creates_nothing(Path("/nowhere"))


class _Checked:
    def check(self) -> list[object]:
        return [Finding(Severity.OK, "made", "fine")]
