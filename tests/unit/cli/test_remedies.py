"""Remedies read as sentences, and end so that a command can be pasted."""

from __future__ import annotations

from cdc.cli.output import as_sentence


def test_remedy_is_a_sentence() -> None:
    assert as_sentence("Do this") == "Do this."
    assert as_sentence("Did you mean 'x'?") == "Did you mean 'x'?"


def test_remedy_that_ends_with_a_command_can_be_pasted() -> None:
    for remedy in ("cdc snapshot shop --sink lake", "To use the slot, run: cdc run --adopt-slot shop"):
        assert as_sentence(remedy) == remedy
