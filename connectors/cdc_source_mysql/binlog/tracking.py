"""The tables of one stream session: which plans and which schema each table map has at this point of the
binlog, and what statements make of them.

Rows of a table whose columns are unknown at this position are skipped, and the table is copied again: no
other table waits for it. Either a later statement in the binlog changes the columns that the catalog shows,
or only an operator can resolve the error; then the table is refused, by name, and retried every minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from cdc.deferred import compute as pc
from cdc.errors import CdcError, DecodeError, UnknownEvent, UnsupportedSchema
from cdc.kit.selection import TableSelection
from cdc.model import ChangeBatch, Operation, Resnapshot, TableId, TableSchema
from cdc.model.batch import altered_batch
from cdc_source_mysql.binlog.lookahead import BinlogPlace, Proof, place_of
from cdc_source_mysql.binlog.reach import Obstacle, Reach
from cdc_source_mysql.binlog.side_effects import SideEffects
from cdc_source_mysql.binlog.temporary_tables import StatementOrigin, TemporaryTables
from cdc_source_mysql.schema.column_defaults import default_scalar
from cdc_source_mysql.schema.ddl.changes import Dml, TableChange
from cdc_source_mysql.schema.definitions import BLACKHOLE, UNSURE_ENGINE, TableDefinition, difference
from cdc_source_mysql.schema.history.history import (
    ROWS_REMEDY,
    UNLOGGED_REMEDY,
    History,
    statement_logged,
)
from cdc_source_mysql.schema.table_map import TableMap, named_in, parse_table_map
from cdc_source_mysql.schema.type_plan import (
    ColumnPlan,
    OmittedColumns,
    TablePlan,
    plan_table,
    schema_of,
    without_omitted,
)
from cdc_source_mysql.wire.codes import Flavour
from cdc_source_mysql.wire.decoder import Binlog
from cdc_source_mysql.wire.poor_images import PoorImage

# A refused table is tried again this often; each time it is copied if the stream can read it by then.
REFUSED_SECONDS = 60.0
# Engines whose changes a ROLLBACK undoes.
TRANSACTIONAL_ENGINES = frozenset({"innodb", "ndb", "ndbcluster", "rocksdb", "tokudb"})


class RefusedTables:
    """Why tables are not copied, by table; shared by the stream's thread and the snapshots'."""

    def __init__(self) -> None:
        self._found: dict[TableId, tuple[CdcError, float]] = {}
        self._lock = threading.Lock()
        self._looks = 0

    def put(self, table: TableId, error: CdcError) -> None:
        with self._lock:
            self._found[table] = (error, time.monotonic())

    def drop(self, table: TableId) -> None:
        with self._lock:
            self._found.pop(table, None)

    def current(self) -> Mapping[TableId, CdcError]:
        """Those younger than a minute."""
        oldest = time.monotonic() - REFUSED_SECONDS
        with self._lock:
            return {table: error for table, (error, at) in self._found.items() if at >= oldest}

    def require_none(self, tables: Collection[TableId]) -> None:
        """Raise the refusal of the first of these tables that has one."""
        for table, error in self.current().items():
            if table in tables:
                raise error

    def look(self) -> None:
        """A snapshot is about to look at tables: the stream must not skip what it would read by now."""
        with self._lock:
            self._looks += 1

    @property
    def looks(self) -> int:
        return self._looks


class AwaitedTables:
    """Tables whose columns are unknown until the stream has passed a place. Not thread-safe."""

    def __init__(self) -> None:
        self._until: dict[TableId, tuple[BinlogPlace, str]] = {}

    def put(self, table: TableId, until: BinlogPlace, reason: str) -> None:
        self._until[table] = (until, reason)

    def reason(self, table: TableId, now: BinlogPlace) -> str:
        """Why the catalog need not be asked at this place; '' when it may help."""
        until, reason = self._until.get(table, ((0, 0), ""))
        if until > now:
            return reason
        self._until.pop(table, None)
        return ""


class Gathered(NamedTuple):
    """Batches in order, the ordinals that they use, their transactions, and what goes with them."""

    batches: tuple[ChangeBatch, ...]
    ordinals: int
    transactions: int
    memory: dict[str, str | None]
    resnapshots: tuple[Resnapshot, ...]


class TableLookups(Protocol):
    """Questions to the catalog about one table."""

    def reread(self, table: TableId) -> Proof:
        """Return the table's definition at the stream's position, proven."""

    def reread_unlocked(self, table: TableId) -> Proof:
        """As `reread`, between the statements that alter the table."""

    def denied(self, table: TableId, columns: Collection[str] = ()) -> CdcError | None:
        """Return the privilege that is missing on a table that the catalog does not show, or on one of these
        columns.
        """


@dataclass(frozen=True, slots=True)
class TrackingParts:
    """Parts that `Tracking` decodes tables with."""

    history: History
    selection: TableSelection
    flavour: Flavour
    unrepresentable: str
    lookups: TableLookups
    refusals: RefusedTables
    leaves_generated_out: bool
    omitted: OmittedColumns
    temporary: TemporaryTables
    reach: Reach
    effects: SideEffects
    log: Callable[..., None]


class Tracking:
    """Feeds decoders with plans as table maps come, and gives their batches their schemas.

    The main decoder's rows and those that other decoders read again (XA) come out in one order.
    """

    def __init__(self, parts: TrackingParts, decoder: Binlog) -> None:
        self._parts = parts
        self._history = parts.history
        self._decoder = decoder
        self._schemas: list[TableSchema] = []
        # The tables that keep no row, and those of them that rows were written to.
        self._rowless: dict[int, TablePlan] = {}
        self._emptied: dict[int, TablePlan] = {}
        # Of each schema, what its decoder's batches have besides.
        self._omitted: list[frozenset[str]] = []
        # Of each schema, whether its rows are delivered: of others they only show what they change besides.
        self._is_followed: list[bool] = []
        self._table_plans: dict[tuple[Any, ...], TablePlan] = {}
        # What the sinks know of each table, as far as this session has told it.
        self._shown: dict[TableId, TableSchema] = {}
        self._batches: list[ChangeBatch] = []
        self._ordinals = 0
        self._transactions = 0
        self._byte_count = 0
        self._memory: dict[str, str | None] = {}
        self._resnapshots: list[Resnapshot] = []
        self._waits = AwaitedTables()
        self._looks = parts.refusals.looks

    def table(self, body: bytes, decoder: Binlog | None = None) -> None:
        """Answer a decoder that asks for the plans of a table map (default: the main one)."""
        table = named_in(body)
        reaching = self._parts.effects.columns(table)
        is_wanted = reaching is not None or self._is_selected(table)
        plan = self._readable(table, body) if is_wanted else None
        (decoder or self._decoder).set_table(body, plan)

    def _is_selected(self, table: TableId) -> bool:
        return self._parts.selection.matches(table)

    def ask_again(self) -> None:
        """Call before each read of the decoder: what is skipped permanently may be readable once a snapshot
        has
        looked at the tables, and the snapshot relies on every change behind that moment.
        """
        looks = self._parts.refusals.looks
        if looks != self._looks:
            self._looks = looks
            self._decoder.forget()

    def _readable(self, table: TableId, body: bytes) -> TablePlan | None:
        """Return the plan that decodes the rows; None if they are skipped."""
        refusals = self._parts.refusals
        try:
            table_map = parse_table_map(body, self._parts.flavour)
            plan = self._table_plan(table_map) if self._history.is_table(table_map) else None
        except (UnsupportedSchema, DecodeError) as error:
            self._skip(table, error.message)
            self._refuse(table, UnsupportedSchema(error.message, where=error.where, remedy=error.remedy))
            return None
        if plan is not None:
            refusals.drop(table)
        return plan

    def _refuse(self, table: TableId, error: CdcError) -> None:
        if self._is_selected(table):
            self._parts.refusals.put(table, error)

    def _skip(self, table: TableId, reason: str) -> None:
        """Every skipped change is in a copy that begins after it."""
        self._copy_again(table, f"its rows could not be read: {reason}")
        self._copy_dependents(table)
        self._parts.log(
            "rows are skipped, and the table is copied again",
            level="warning",
            table=str(table),
            position=self._decoder.position_text,
            reason=reason,
        )

    def apply(
        self, changes: tuple[TableChange, ...], origin: StatementOrigin, order: int, where: str
    ) -> None:
        """Take in what a statement of that origin does to tables, at the place of that order."""
        real = self._parts.temporary.resolve(changes, origin, order)
        if self._parts.effects.concerns(real):
            # By what held until here.
            self.gather()
            self._resnapshots += self._parts.effects.apply(real, order, where)
            self._decoder.forget()
        if any(not isinstance(change, Dml) for change in real):
            self._parts.reach.forget(order)
        applied = self._history.apply(real, where=where)
        for dml in applied.statements:
            self._copy_reached(dml, where)
        self._memory |= applied.memory
        self._resnapshots += applied.resnapshots
        for note in applied.notes:
            self._parts.log("a statement affects tables", position=where, note=note)
        for table in applied.truncated:
            self._truncate(table)
        if applied.changed:
            self._decoder.forget()
        copied = {request.table for request in applied.resnapshots}
        for table in copied:
            # The copy shows the sinks a definition of its own.
            self._shown.pop(table, None)
        for table in applied.changed:
            if table not in copied:
                self._warn(table)

    def server_started(self, order: int) -> None:
        """At the place of that order no session had temporary tables."""
        self._parts.temporary.server_started(order)

    def _copy_reached(self, dml: Dml, where: str) -> None:
        """Have copied again what a statement that is logged as text changes by what hangs on its tables.

        Raises:
            UnknownEvent: that is not known, and the account lacks a privilege to see it.
        """
        reason = statement_logged(dml.keyword, where)
        if dml.tables is None and not dml.named and not dml.calls:
            self.copy_everything(f"{reason}, and its text does not name the tables", ROWS_REMEDY)
            return
        found = self._parts.reach.of(dml)
        if not isinstance(found, Obstacle):
            for table, how in found.items():
                self._copy_again(table, f"{reason}: {how}", ROWS_REMEDY)
        elif found.fix:
            raise UnknownEvent(
                f"{dml.keyword} on {', '.join(map(str, dml.written)) or 'no table'} is logged as a statement,"
                f" without the rows of followed tables that it may change: {found.reason}",
                where=where,
                remedy=f"To let the source see which tables it changes: {found.fix}; it then continues"
                f" automatically, and copies those tables again. To avoid such statements: {ROWS_REMEDY}",
            )
        else:
            self.copy_everything(f"{reason}: {found.reason}", ROWS_REMEDY)

    def compare(self, tables: Collection[TableId]) -> None:
        """Take in what the catalog shows of these tables, between two transactions, where that differs from
        the history and no statement in the binlog explains it; those tables are copied again.
        """
        for table in sorted(tables):
            known = self._history.definition(table)
            shown = self._parts.lookups.reread_unlocked(table).definition if known is not None else None
            found = difference(known, shown) if known is not None and shown is not None else ""
            if known is None or shown is None or not found:
                continue
            denied = self._parts.lookups.denied(table, [n for n in known.names if n not in shown.names])
            if denied is not None:
                self._refuse(table, denied)
                continue
            self._memory |= self._history.relearn(shown)
            self._decoder.forget()
            reason = f"it was altered without a statement in the binary log: {found}"
            self._copy_again(table, reason, UNLOGGED_REMEDY)
            self._parts.log(
                "a table was altered without a statement in the binary log, and is copied again",
                level="warning",
                table=str(table),
                position=self._decoder.position_text,
                reason=found,
                remedy=UNLOGGED_REMEDY,
            )

    def copy_everything(self, reason: str, remedy: str = "") -> None:
        """Have every selected table copied again."""
        for table in self._history.selected():
            self._copy_again(table, reason, remedy)

    def leave_out(self, poor: PoorImage, decoder: Binlog | None = None) -> None:
        """Pass the rows event that a decoder (default: the main one) has refused so; its table is copied
        again.
        """
        (decoder or self._decoder).skip_rows()
        table = self._schemas[poor.handle].table
        self._copy_again(table, f"{poor.message}, at {self._decoder.position_text}", poor.remedy)
        self._copy_dependents(table)

    def _copy_again(self, table: TableId, reason: str, remedy: str = "") -> None:
        if self._is_selected(table):
            self._resnapshots.append(Resnapshot(table, reason, remedy=remedy))
            self._shown.pop(table, None)

    def _copy_dependents(self, table: TableId) -> None:
        """Have copied again what changes with the table, of which no row was read."""
        self._resnapshots += self._parts.effects.of_any(table, self._decoder.position_text)

    def remember(self, memory: Mapping[str, str | None]) -> None:
        """Keep facts for the next start of the source, from this place on."""
        self._memory |= memory

    def distrust(self, reason: str) -> None:
        """Have every table copied again, and forget what is known of its columns."""
        applied = self._history.distrust(reason)
        self._memory |= applied.memory
        self._resnapshots += applied.resnapshots

    def copy_again_without_transactions(self) -> None:
        """Have every table copied again whose engine keeps what is rolled back, or isn't known."""
        for table, told in self._history.engines().items():
            engine = told or self._engine(table)
            if engine.lower() not in TRANSACTIONAL_ENGINES:
                keeps = f"{engine} keeps its rows" if engine else "its unknown engine may keep rows"
                self._copy_again(table, f"a transaction was rolled back, and {keeps}")

    def _engine(self, table: TableId) -> str:
        """The engine of a table that a statement made without naming it; '' where that is not known."""
        self._reread(table)
        return self._history.engines().get(table, "")

    def gather(self, decoder: Binlog | None = None) -> None:
        """Take what a decoder has (default: the main one), after what was taken before."""
        source = decoder or self._decoder
        ordinals, transactions, byte_count = source.changes, source.transactions, source.byte_count
        self._parts.effects.note(hides_cascades=source.hides_cascades)
        for handle, record in source.take():
            batch = ChangeBatch(self._schemas[handle], without_omitted(record, self._omitted[handle]))
            if handle in self._rowless and pc.any(pc.not_equal(batch.ops, Operation.TRUNCATE.code)).as_py():
                self._emptied[handle] = self._rowless[handle]
            self._resnapshots += self._parts.effects.of(batch, source.position_text)
            if self._is_followed[handle]:
                self._batches.append(batch.shifted(self._ordinals) if self._ordinals else batch)
        self._ordinals += ordinals
        self._byte_count += byte_count
        if decoder is None:
            self._transactions += transactions

    def take(self) -> Gathered:
        """Everything gathered, in order."""
        self.gather()
        for plan in self._emptied.values():
            self._decoder.truncate(plan)
        self._emptied.clear()
        memory = self._parts.temporary.take_memory() | self._memory
        found: dict[tuple[TableId, str], Resnapshot] = {}
        # Those whose cause may come again first, one a table, for each names its position; of the others one
        # for each reason.
        for request in sorted(self._resnapshots, key=lambda request: bool(request.remedy), reverse=True):
            found.setdefault((request.table, "" if request.remedy else request.reason), request)
        self._memory, self._resnapshots = {}, []
        return self.take_part()._replace(memory=memory, resnapshots=tuple(found.values()))

    def take_part(self) -> Gathered:
        """As `take`, but what goes with a whole transaction waits for its end."""
        self.gather()
        gathered = Gathered(tuple(self._batches), self._ordinals, self._transactions, {}, ())
        self._batches, self._ordinals, self._transactions, self._byte_count = [], 0, 0, 0
        return gathered

    @property
    def changes(self) -> int:
        """Ordinals used since the last `take`."""
        return self._ordinals + self._decoder.changes

    @property
    def byte_count(self) -> int:
        return self._byte_count + self._decoder.byte_count

    @property
    def has_changes(self) -> bool:
        """Whether the next set has something to carry beside rows."""
        return bool(self._memory or self._resnapshots)

    def definitions(self) -> Mapping[TableId, TableDefinition]:
        """Return the definitions that are certain at the stream's position."""
        return dict(self._history.definitions())

    def moved(self) -> Mapping[TableId, TableId]:
        """As `History.moved`."""
        return self._history.moved()

    def _table_plan(self, table_map: TableMap) -> TablePlan | None:
        definition = self._definition(table_map)
        if definition is None:
            return None
        return self._table_plan_of(definition, self._plans(definition, table_map))

    def _plans(self, definition: TableDefinition, table_map: TableMap | None) -> tuple[ColumnPlan, ...]:
        parts = self._parts
        leaves_out = parts.leaves_generated_out
        plans = plan_table(
            definition, table_map, parts.flavour, parts.unrepresentable, leaves_generated_out=leaves_out
        )
        if self._is_selected(definition.table):
            return plans
        wanted = parts.effects.columns(definition.table) or frozenset()
        kept = {*definition.key, *definition.period}
        return tuple(
            replace(plan, omitted=plan.name not in kept and plan.name.lower() not in wanted) for plan in plans
        )

    def _table_plan_of(self, definition: TableDefinition, plans: tuple[ColumnPlan, ...]) -> TablePlan:
        schema = self._with_fills(schema_of(definition, plans))
        self._shown[schema.table] = schema
        told = tuple(column.default for column in definition.columns)
        found = self._table_plans.get((schema, plans, told))
        if found is None:
            names = [plan.name for plan in plans]
            found = TablePlan(
                handle=len(self._schemas),
                table=str(schema.table),
                columns=plans,
                key=tuple(names.index(name) for name in schema.key),
                row_end=names.index(definition.period[1]) if definition.period else None,
                defaults=self._defaults(definition, plans),
                derived=self._derived(definition, plans),
                is_annotated=self._parts.flavour == "mariadb",
                omitted=tuple(at for at, plan in enumerate(plans) if plan.omitted),
            )
            self._schemas.append(schema)
            self._omitted.append(frozenset(plan.name for plan in plans if plan.omitted))
            self._is_followed.append(self._is_selected(schema.table))
            if self._is_followed[-1]:
                self._parts.omitted.warn(schema.table, plans)
            self._table_plans[(schema, plans, told)] = found
        if self._keeps_none(definition):
            self._rowless[found.handle] = found
        else:
            self._rowless.pop(found.handle, None)
        return found

    def _keeps_none(self, definition: TableDefinition) -> bool:
        engine = definition.engine
        # A CREATE TABLE that names no engine takes the session's default, which the binlog does not have.
        if engine in ("", UNSURE_ENGINE) and self._is_selected(definition.table):
            engine = self._engine(definition.table)
            if not engine:
                self._copy_again(definition.table, "its engine is not known, and may keep no rows")
        return engine.lower() == BLACKHOLE

    def _derived(self, definition: TableDefinition, plans: tuple[ColumnPlan, ...]) -> tuple[int, ...]:
        if self._parts.flavour != "mariadb":
            return ()
        generated = {c.name for c in definition.columns if c.generated} - {*definition.period}
        return tuple(at for at, p in enumerate(plans) if p.name in generated and not p.omitted)

    def _defaults(self, definition: TableDefinition, plans: tuple[ColumnPlan, ...]) -> tuple[Any, ...]:
        policy = self._parts.unrepresentable
        return tuple(
            default_scalar(column, plan.arrow, policy)
            for column, plan in zip(definition.columns, plans, strict=True)
        )

    def _with_fills(self, schema: TableSchema) -> TableSchema:
        fills: Mapping[str, Any] = self._history.fills(schema.table)
        if not fills:
            return schema
        columns = (replace(c, fill=fills[c.name]) if c.name in fills else c for c in schema.columns)
        return replace(schema, columns=tuple(columns))

    def _definition(self, table_map: TableMap) -> TableDefinition | None:
        resolved = self._history.resolve(table_map)
        obstacle = ""
        if resolved.definition is None:
            obstacle = self._reread(table_map.table) or resolved.reason
            resolved = self._history.resolve(table_map)
        self._memory |= resolved.memory
        self._resnapshots += (one for one in resolved.resnapshots if self._is_selected(one.table))
        if resolved.definition is None:
            self._skip(table_map.table, obstacle)
            return None
        _refuse_unsure_labels(resolved.definition, self._decoder.position_text)
        return resolved.definition

    def _reread(self, table: TableId) -> str:
        """Learn the table's definition from the catalog; why it could not be learned, '' when it was."""
        now = place_of(self._decoder.file, self._decoder.offset)
        obstacle = self._waits.reason(table, now)
        if obstacle:
            return obstacle
        proof = self._parts.lookups.reread(table)
        if proof.definition is not None:
            self._memory |= self._history.learn(proof.definition)
            return ""
        if proof.obstacle:
            self._waits.put(table, proof.until, proof.obstacle)
            return proof.obstacle
        denied = self._parts.lookups.denied(table)
        if denied is None:
            return "the table is gone"
        self._refuse(table, denied)
        return denied.message

    def _warn(self, table: TableId) -> None:
        """Deliver the new definition of a table, after all rows so far. What cannot be planned waits for the
        next row,
        which says why.
        """
        if self._history.definition(table) is None and table in self._history.selected():
            self._reread(table)
        definition = self._history.definition(table)
        if definition is None or not self._parts.selection.matches(table):
            return
        place, shown = self._decoder.position_text, self._shown.get(table)
        try:
            _refuse_unsure_labels(definition, place)
            plan = self._table_plan_of(definition, self._plans(definition, None))
        except UnsupportedSchema:
            return
        schema = self._schemas[plan.handle]
        if schema == shown:
            return
        self.gather()
        self._batches.append(altered_batch(schema, place, self._ordinals))
        self._ordinals += 1

    def _truncate(self, table: TableId) -> None:
        if self._history.definition(table) is None:
            self._reread(table)
        definition = self._history.definition(table)
        if definition is None:
            self._copy_again(table, "truncated while its columns were not known")
            return
        self._decoder.truncate(self._table_plan_of(definition, self._plans(definition, None)))


def _refuse_unsure_labels(definition: TableDefinition, where: str) -> None:
    """Events hold the numbers of labels; a label that isn't known would be delivered as another text."""
    for column in definition.columns:
        if column.has_unsure_labels:
            raise UnsupportedSchema(
                f"{definition.table}, column {column.name}: a label has `?` in the catalog, which may"
                " replace a character that the catalog cannot show",
                where=where,
                remedy="Run: set global binlog_row_metadata = full; the table is then copied automatically.",
            )
