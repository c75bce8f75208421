"""What a `type:` that cannot be loaded is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.errors import PluginError
from cdc.spi import registry
from cdc.testing.memory import MemorySink, MemorySource

MODULE = """
class Half:
    Options = object

    def check(self): ...
"""


def refusal(group: registry.Group, type_name: str) -> str:
    with pytest.raises(PluginError) as caught:
        registry.load(group, type_name)
    assert "\n" not in str(caught.value)
    return f"{caught.value.message}. {caught.value.remedy}"


@pytest.fixture
def half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with a class that is only half a plug-in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "half_a_plugin.py").write_text(MODULE)
    (tmp_path / "broken_plugin.py").write_text("from cdc.spi import Nothing")
    return "half_a_plugin"


def test_a_class_is_loaded_by_its_dotted_path() -> None:
    assert registry.load("cdc.sources", "cdc.testing.memory:MemorySource") is MemorySource
    assert registry.load("cdc.sinks", "cdc.testing.memory:MemorySink") is MemorySink


def test_a_module_that_is_not_there_names_the_ways_to_have_it_found() -> None:
    assert refusal("cdc.sinks", "acme.nothing:Sink") == (
        "the module acme.nothing is not installed. Install its package, or add its folder to PYTHONPATH."
    )


def test_an_unknown_class_names_the_nearest(half: str) -> None:
    assert refusal("cdc.sinks", f"{half}:Halv") == (
        "the module half_a_plugin has no 'Halv'. Did you mean 'half_a_plugin:Half'?"
    )


@pytest.mark.usefixtures("half")
def test_a_module_that_raises_names_the_command_that_shows_why() -> None:
    assert refusal("cdc.sinks", "broken_plugin:Sink") == (
        'importing the module broken_plugin raised ImportError. Run: python -c "import broken_plugin"'
    )


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (
            "cdc.sinks",
            "Half is no sink: it lacks prepare, committed, apply, close, capabilities."
            " Add what docs/writing-a-sink.md describes.",
        ),
        (
            "cdc.sources",
            "Half is no source: it lacks identity, discover, selects, follow, open, stream, acknowledge,"
            " snapshot, current, position, close. Add what docs/writing-a-source.md describes.",
        ),
    ],
)
def test_a_class_that_lacks_members_of_its_contract_is_refused(
    half: str, group: registry.Group, message: str
) -> None:
    assert refusal(group, f"{half}:Half") == message
