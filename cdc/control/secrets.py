"""Secrets that were replaced in their files while the daemon runs: found when a source or sink fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from cdc.control.status import stamp_of
from cdc.spi.status import DaemonReport
from cdc_config import Configuration, ConfiguredSink, ConfiguredSource

Part = TypeVar("Part", ConfiguredSource, ConfiguredSink)


class SecretWatch:
    """Decides when to read the secrets again: a failing source or sink may have an old password. Those that
    work keep theirs, which a server may accept for some time after the new one was written.
    """

    def __init__(self) -> None:
        self._looked: object = None

    def due(self, configuration: Configuration, report: DaemonReport | None) -> frozenset[str]:
        """Return the failing parts (`sources.shop`) if they, or a file with a secret, are not those of the
        last call; else nothing.
        """
        failing = _failing(report) if report is not None and configuration.secret_files else frozenset()
        look = failing, [stamp_of(file) for file in configuration.secret_files] if failing else []
        if look == self._looked:
            return frozenset()
        self._looked = look
        return failing


def with_new_secrets(old: Configuration, new: Configuration, parts: frozenset[str]) -> Configuration:
    """Return `old` with the options of these parts of `new`, which was read from the same file."""
    return replace(
        old,
        sources=_taken("sources", old.sources, new.sources, parts),
        sinks=_taken("sinks", old.sinks, new.sinks, parts),
    )


def _failing(report: DaemonReport) -> frozenset[str]:
    sources = [f"sources.{name}" for name, one in report.sources.items() if one.error is not None]
    sinks = [f"sinks.{name}" for name, pairs in report.sinks.items() if any(pair.error for pair in pairs)]
    return frozenset((*sources, *sinks))


def _taken(
    kind: str, old: Mapping[str, Part], new: Mapping[str, Part], parts: frozenset[str]
) -> dict[str, Part]:
    return {
        name: replace(one, given=new[name].given) if f"{kind}.{name}" in parts and name in new else one
        for name, one in old.items()
    }
