"""Every metric on the dashboard, in the alerts and in the docs is one that the daemon has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdc.cli.docs import anchor_of
from cdc.spi.metrics import MAX_SERIES, METRICS, OTHER, TABLE_ROWS, Meter

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "deploy/alerts.yaml"
CASES = Path(__file__).with_name("alert_cases.yaml")
PROMTOOL = shutil.which("promtool", path=f"{ROOT / '.servers'}:{os.environ['PATH']}")
NAME = re.compile(r"\bcdc_[a-z_]+\b")
KNOWN = {metric.name: metric for metric in METRICS}
SUFFIXES = ("_bucket", "_count", "_sum")


def names_in(expressions: list[str]) -> set[str]:
    found = {name for text in expressions for name in NAME.findall(text)}
    return {name if name in KNOWN else re.sub(f"({'|'.join(SUFFIXES)})$", "", name) for name in found}


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> list[str]:
    document = json.loads((ROOT / "deploy/grafana.json").read_text("utf-8"))
    return [target["expr"] for panel in document["panels"] for target in panel["targets"]]


def test_names_end_with_their_unit_and_are_used_once() -> None:
    assert len(KNOWN) == len(METRICS)
    assert [one.name for one in METRICS if (one.kind == "counter") != one.name.endswith("_total")] == []
    assert [one.name for one in METRICS if (one.kind == "histogram") != bool(one.buckets)] == []


def test_the_dashboard_and_the_alerts_use_metrics_that_exist() -> None:
    assert names_in(dashboard()) - KNOWN.keys() == set()
    assert names_in([rule["expr"] for rule in alerts()]) - KNOWN.keys() == set()


def test_every_alert_has_a_section_in_the_runbook() -> None:
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    sections = {anchor_of(line.lstrip("#")) for line in page.splitlines() if line.startswith("#")}
    for rule in alerts():
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (path, anchor, anchor in sections) == ("docs/operations.md", rule["alert"].lower(), True)


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here: scripts/bootstrap.sh servers unpacks it")
@pytest.mark.parametrize(
    "command", [["check", "rules", RULES], ["test", "rules", CASES]], ids=["rules", "cases"]
)
def test_promtool_accepts_the_alerts_and_their_cases(command: list[str | Path]) -> None:
    """The cases say of each alert when it fires, with which text, and when it does not."""
    assert PROMTOOL is not None
    found = subprocess.run([PROMTOOL, *command], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    document = yaml.safe_load(CASES.read_text("utf-8"))
    rules = [rule for case in document["tests"] for rule in case["alert_rule_test"]]
    fired = {rule["alertname"] for rule in rules if rule["exp_alerts"]}
    assert fired == {rule["alert"] for rule in alerts()}


def test_the_page_lists_every_metric_as_the_code_has_it() -> None:
    page = (ROOT / "docs/metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(cdc_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(one.name, one.kind, ", ".join(one.labels) or "–", one.help) for one in METRICS]


def test_the_number_of_series_is_bounded() -> None:
    meter = Meter({"source": "shop"})
    for number in range(MAX_SERIES + 20):
        meter.add(TABLE_ROWS, 1, f"public.t{number}")
    series = {labels: value for _, labels, value in meter.counters()}
    assert len(series) == MAX_SERIES + 1
    assert series[OTHER,] == 20
