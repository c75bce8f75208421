"""Every error the daemon raises on purpose: one tree, one sentence a class.

The class is the kind: `cdc.engine.retry` holds the one table that maps a class to what happens next.
An error says what was being done, where (file and key, or table, column and position), and the remedy.
Row values and secrets never enter an error; causes are chained with `raise … from`, never formatted in.
"""

from __future__ import annotations


class CdcError(Exception):
    """Base of all: `message` says what went wrong, `where` names the place, `remedy` what to do."""

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        self.message = message
        self.where = where
        self.remedy = remedy
        super().__init__(message)

    @property
    def problems(self) -> tuple[CdcError, ...]:
        """The errors to report one by one: this one, or all that it collects."""
        return (self,)

    def document(self) -> dict[str, str]:
        """The error as programs read it."""
        kind = type(self).__name__
        return {"kind": kind, "where": self.where, "message": self.message, "remedy": self.remedy}

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}. {self.remedy}" if self.remedy else head


class ConfigError(CdcError):
    """The configuration can't be used as written."""


class PluginError(CdcError):
    """A connector or sink named in the configuration can't be loaded."""


class SourceUnavailable(CdcError):
    """The source can't be reached now; waiting may help."""


class SnapshotYielded(SourceUnavailable):
    """The source ended a snapshot that a statement waited for; a new one completes the copy."""


class SourceRefused(CdcError):
    """The source answered no (login, privilege, setting); an operator must change something there."""


class StreamBehind(SourceUnavailable):
    """The stream has not reached a table's definition in the catalog; it will soon, or never."""


class SourceBusy(CdcError):
    """Another process reads this slot; it may release the slot."""


class SourceClaimed(CdcError):
    """The place at the source that this log would read from belongs to another log, or to a copy of this."""


class SourceGap(CdcError):
    """Changes between the end of our log and what the source still has are gone."""


class SourceMismatch(CdcError):
    """The source is not the one this log was written from."""


class DecodeError(CdcError):
    """Bytes from the source do not have the shape that their format promises."""


class UnknownEvent(CdcError):
    """The source sent an event that this version does not recognise."""


class UnrepresentableValue(CdcError):
    """A value has no exact counterpart in the column's Arrow type and the policy is `error`."""


class UnsupportedSchema(CdcError):
    """A table's schema cannot be followed or cannot be delivered."""


class LogCorrupt(CdcError):
    """A frame of the durable log fails its checksum or its structure."""


class LogFull(CdcError):
    """The disk under the log is full; capture pauses, and resumes when there is space."""


class LogUnavailable(CdcError):
    """The log's storage cannot be reached now; a retry may succeed."""


class LogFenced(CdcError):
    """Another process has taken over as the writer of this log; this one must step down."""


class LogTrimmed(CdcError):
    """The log no longer holds the offset asked for."""


class StateError(CdcError):
    """The state directory cannot be used (locked, unreadable, of a newer version)."""


class StateHeld(StateError):
    """Another process holds the state; a standby waits for it."""


class StateFull(CdcError):
    """The disk under `state_dir` is full; work resumes when there is space."""


class SinkUnavailable(CdcError):
    """The sink cannot be reached now; a retry may succeed."""


class SinkRefused(CdcError):
    """The sink refuses permanently; an operator must change something there or in the config."""


class SinkFenced(CdcError):
    """A newer process writes to this sink; this one must stop."""


class SchemaChangeRefused(CdcError):
    """The source's table changed and the sink's `schema_changes` policy says stop."""
