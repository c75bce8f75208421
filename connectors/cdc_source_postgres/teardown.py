"""Objects that the source has made in its database, and their removal: `cdc teardown`."""

from __future__ import annotations

from collections.abc import Iterator

from cdc.errors import CdcError, SourceClaimed
from cdc.spi.source import Leftover, LogIdentity
from cdc_source_postgres.connection import Connection, Connector
from cdc_source_postgres.errors import slot_taken
from cdc_source_postgres.options import PostgresOptions
from cdc_source_postgres.schema.ddl_objects import REMOVE, SCHEMA, read_objects
from cdc_source_postgres.statements import drop_publication, drop_slot
from cdc_source_postgres.stream.ownership import other_slots, read_mark
from cdc_source_postgres.stream.publication import read_publication
from cdc_source_postgres.stream.slot import check_ours, read_slot


class Teardown:
    """The objects of one source. Used by one command; holds no connection."""

    def __init__(self, options: PostgresOptions, connector: Connector, owner: LogIdentity | None) -> None:
        self._options = options
        self._connector = connector
        self._owner = owner
        self._slot = options.slot_name(connector.source)
        self._publication = options.publication_name(connector.source)

    def leftovers(self) -> list[Leftover]:
        """As `cdc.spi.LeavesObjects`.

        Raises:
            SourceRefused: the slot's name belongs to something else.
            SourceBusy: somebody reads from the slot.
            SourceClaimed: the slot belongs to another log.
        """
        with (
            self._connector.connect("to list the objects to remove") as connection,
            self._connector.translated("listing the objects to remove"),
        ):
            return [
                *self._slot_of(connection),
                *self._publication_of(connection),
                *self._triggers(connection),
            ]

    def remove(self, leftover: Leftover) -> None:
        """As `cdc.spi.LeavesObjects`."""
        doing = f"removing the {leftover.what}"
        with self._connector.connect(f"for {doing}") as connection, self._connector.changing(doing):
            connection.execute(leftover.statement.encode())

    def _slot_of(self, connection: Connection) -> Iterator[Leftover]:
        state = read_slot(connection, self._slot)
        if state is None:
            return
        where = self._connector.where
        check_ours(state, self._slot, where)
        if state.active_pid is not None:
            raise slot_taken(where, self._slot, state.active_pid, state.application or "")
        mark = read_mark(connection, self._publication, self._slot)
        if mark is not None and (self._owner is None or self._owner.log_id != mark.log_id):
            raise _of_another_log(where, self._slot)
        yield Leftover(f"replication slot {self._slot}", drop_slot(self._slot))

    def _publication_of(self, connection: Connection) -> Iterator[Leftover]:
        """The publication, unless an administrator provides it or another slot is read with it."""
        if not self._options.create_publication or read_publication(connection, self._publication) is None:
            return
        if not other_slots(connection, self._slot, self._publication):
            yield Leftover(f"publication {self._publication}", drop_publication(self._publication))

    def _triggers(self, connection: Connection) -> Iterator[Leftover]:
        """The event triggers serve all sources of the database."""
        if read_objects(connection).exist and not other_slots(connection, self._slot):
            what = f"event triggers that report DDL, and their schema {SCHEMA}"
            yield Leftover(what, REMOVE)


def _of_another_log(where: str, slot: str) -> CdcError:
    return SourceClaimed(
        f"the replication slot {slot!r} belongs to another log than that of this state_dir",
        where=where,
        remedy="Run the teardown with the state_dir that created the slot. If that state_dir is lost, run on"
        f" the server: {drop_slot(slot)};",
    )
