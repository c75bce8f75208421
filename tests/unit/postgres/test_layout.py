"""Whether a log has partitions as rows of their root: decided once, altered only where the config agrees."""

from __future__ import annotations

import pytest

from cdc_source_postgres.stream.publication import MEMORY_LAYOUT, Layout


def begun(*, via_root: bool, configured: bool) -> Layout:
    layout = Layout(configured=configured)
    layout.restore({MEMORY_LAYOUT: str(via_root).lower()})
    return layout


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("configured", [True, False])
def test_the_publication_decides_for_a_new_log_whatever_the_config_says(
    published: bool, configured: bool
) -> None:
    layout = Layout(configured=configured)
    assert layout.decide(published=published) is published
    assert layout.unsaved == {MEMORY_LAYOUT: str(published).lower()}
    assert not layout.differs(via_root=published)


def test_a_publication_that_differs_changes_nothing() -> None:
    layout = begun(via_root=True, configured=True)
    assert layout.differs(via_root=False)
    assert layout.via_root is True
    assert layout.unsaved == {}
    assert layout.remedy("p") == "alter publication p set (publish_via_partition_root = true);"
    assert not layout.differs(via_root=True)


def test_config_and_publication_together_change_the_layout() -> None:
    layout = begun(via_root=True, configured=False)
    assert layout.decide(published=True) is True
    assert layout.decide(published=False) is False
    assert layout.unsaved == {MEMORY_LAYOUT: "false"}


def test_a_decision_is_offered_until_the_log_has_it() -> None:
    layout = Layout(configured=True)
    layout.decide(published=True)
    layout.delivered({})
    layout.delivered({MEMORY_LAYOUT: "false"})
    assert layout.unsaved == {MEMORY_LAYOUT: "true"}
    layout.delivered({MEMORY_LAYOUT: "true"})
    assert layout.unsaved == {}
    again = Layout(configured=False)
    again.restore({MEMORY_LAYOUT: "true"})
    assert again.via_root is True
