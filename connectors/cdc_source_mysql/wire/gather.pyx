# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The rows of all tables gathered from rows events, and what their transaction is called; the twin is
`gather_python.py`.

Tables are known by the bodies of their table maps; a map seen again under the same id is compared, byte by
byte, and costs no Python object.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from cdc.native.cursor cimport Cursor, advance
from cdc.native.gathering_native cimport Gathering
from cdc_source_mysql.wire.events cimport MARIADB_GTID, MYSQL_GTID, Gtid, read_lenenc
from cdc_source_mysql.wire.field cimport little_u16, little_u32
from cdc_source_mysql.wire.table cimport (
    ABSENT,
    DIFFS,
    PRESENT,
    Image,
    Moment,
    Table,
    free_image,
    read_present,
)

from cdc.errors import DecodeError
from cdc_source_mysql.wire import codes as _codes
from cdc_source_mysql.wire.annotations import KEPT_BYTES as _KEPT_BYTES, STATEMENT_END as _STATEMENT_END
from cdc_source_mysql.wire.target import check_insert, check_update, diffs_without_document, unidentified_row
from cdc_source_mysql.wire.rare import inflate_body, without_dropped

cdef enum:
    CREATE = 1
    UPDATE = 2
    DELETE = 3
    TRUNCATE = 4

cdef Py_ssize_t ROW_OVERHEAD = _codes.ROW_OVERHEAD_BYTES
cdef Py_ssize_t MOST_TABLE_MAPS = _codes.MOST_TABLE_MAPS
cdef uint64_t DUMMY_TABLE = _codes.DUMMY_TABLE
cdef Py_ssize_t KEPT_BYTES = _KEPT_BYTES
cdef int STATEMENT_END = _STATEMENT_END
cdef int PARTIAL_UPDATE = _codes.PARTIAL_UPDATE_ROWS_EVENT
# The flag of a partial update's row: JSON columns have diffs.
cdef uint64_t PARTIAL_JSON = 1


cdef int operation_of(uint8_t kind) noexcept:
    """What rows events of this type do; 0 for other events."""
    if kind == 30 or kind == 23 or kind == 166 or kind == 169:
        return CREATE
    if kind == 31 or kind == 24 or kind == 39 or kind == 167 or kind == 170:
        return UPDATE
    if kind == 32 or kind == 25 or kind == 168 or kind == 171:
        return DELETE
    return 0


cdef bint has_extra(uint8_t kind) noexcept:
    """Version 2 of the rows events."""
    return 30 <= kind <= 39 or kind >= 169


cdef bint is_compressed(uint8_t kind) noexcept:
    return kind >= 166


cdef object bytes_of(Cursor* cursor):
    return PyBytes_FromStringAndSize(<const char*>cursor.at, cursor.left)


cdef bint is_bytes(Cursor* cursor, bytes data) noexcept:
    if cursor.left != PyBytes_GET_SIZE(data):
        return False
    return memcmp(cursor.at, PyBytes_AS_STRING(data), cursor.left) == 0


cdef object uuid_of(Gtid* gtid):
    text = PyBytes_FromStringAndSize(<const char*>gtid.uuid, 16).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


cdef object tag_of(Gtid* gtid):
    return PyBytes_FromStringAndSize(<const char*>gtid.tag, gtid.tag_size).decode("ascii")


cdef uint64_t read_table_id(Cursor* cursor) except? 0xFFFFFFFFFFFFFFFF:
    """The table's number and the flags behind it."""
    cdef const unsigned char* at = advance(cursor, 6)
    return little_u32(at) | (<uint64_t>little_u16(at + 4) << 32)


@cython.final
cdef class Mapped:
    """A table map, known by its body without the table id."""

    def __init__(self, body):
        self.body = body


@cython.final
cdef class Gatherer:
    def __init__(self, unrepresentable, count, epoch):
        self.unrepresentable = unrepresentable
        self.epoch = epoch
        self.bodies = {}
        self.ids = {}
        self.active = {}
        self.gathering = Gathering(count)
        self.dropped = []
        self.begin_file = ""
        self.statement = b""

    def __dealloc__(self):
        free_image(&self.old)
        free_image(&self.new)

    cdef int begin(self, object file, uint64_t offset, int64_t commit_at) except -1:
        """A transaction; `gtid` is its own."""
        self.begin_file = file
        self.begin_offset = offset
        self.transaction_changes = 0
        self.statement = b""
        self.moment.number += 1
        if self.attributed is None:
            self.moment.commit_at = commit_at
        return 0

    cdef object position_text(self):
        text = f"{self.begin_file}:{self.begin_offset}"
        return f"{self.epoch}/{text}" if self.epoch else text

    cdef object tx_text(self):
        if self.gtid.kind == MARIADB_GTID:
            return f"{self.gtid.domain}-{self.gtid.server_id}-{self.gtid.number}"
        if self.gtid.kind != MYSQL_GTID:
            return self.position_text()
        if self.last_uuid_text is None or memcmp(self.last_uuid, self.gtid.uuid, 16) != 0:
            memcpy(self.last_uuid, self.gtid.uuid, 16)
            self.last_uuid_text = uuid_of(&self.gtid)
        if self.gtid.tag_size:
            return f"{self.last_uuid_text}:{tag_of(&self.gtid)}:{self.gtid.number}"
        return f"{self.last_uuid_text}:{self.gtid.number}"

    cdef int annotate(self, Cursor* body) except -1:
        """The rows that follow come from this statement."""
        body.left = min(body.left, KEPT_BYTES)
        self.statement = bytes_of(body)
        return 0

    cdef int forget_ids(self) except -1:
        self.ids.clear()
        self.last_mapped = None
        if len(self.bodies) > MOST_TABLE_MAPS:
            self.bodies.clear()
            self.active = {table.target.table: table for table in self.gathering.touched}
        return 0

    cdef int forget(self) except -1:
        cdef Mapped mapped
        for mapped in self.bodies.values():
            mapped.is_known = False
            mapped.table = None
        return 0

    cdef int table_map(self, Cursor* body) except -1:
        cdef uint64_t table_id = read_table_id(body)
        cdef Mapped mapped
        if self.last_mapped is not None and table_id == self.last_id and is_bytes(body, self.last_mapped.body):
            return 0
        mapped = self.ids.get(table_id)
        if mapped is None or not is_bytes(body, mapped.body):
            data = bytes_of(body)
            mapped = self.bodies.get(data)
            if mapped is None:
                mapped = self.bodies[data] = Mapped(data)
            self.ids[table_id] = mapped
        self.last_id = table_id
        self.last_mapped = mapped
        return 0

    cdef Mapped mapped(self, uint64_t table_id):
        if self.last_mapped is None or table_id != self.last_id:
            mapped = self.ids.get(table_id)
            if mapped is None:
                raise DecodeError(f"rows of table number {table_id}, which no table map describes")
            self.last_mapped = mapped
            self.last_id = table_id
        return self.last_mapped

    cdef object wanted_map(self):
        """The table map that `rows` lacked, as it came."""
        return self.last_id.to_bytes(6, "little") + self.last_mapped.body

    cdef int set_table(self, object body, object target) except -1:
        cdef Mapped mapped
        data = bytes(body)[6:]
        mapped = self.bodies.get(data)
        if mapped is None:
            mapped = self.bodies[data] = Mapped(data)
        mapped.is_known = True
        mapped.table = None if target is None else self.table_of(target)
        return 0

    cdef Table table_of(self, object target):
        cdef Table table = self.active.get(target.table)
        if table is not None and table.target == target:
            return table
        table = Table(target, self.unrepresentable)
        self.activate(table)
        return table

    cdef int activate(self, Table table) except -1:
        """Of all targets of one table one gathers rows at a time, so that its batches keep their order."""
        cdef Table former = self.active.get(table.target.table)
        if former is not None:
            former.is_active = False
            self.gathering.set_aside(former)
        self.active[table.target.table] = table
        table.is_active = True
        return 0

    cdef bint rows(self, uint8_t kind, Cursor* body) except? True:
        """Gather a rows event; true when its table is not known, and nothing was gathered."""
        cdef Cursor cursor = body[0]
        cdef uint64_t table_id = read_table_id(&cursor)
        cdef Mapped mapped
        cdef Py_ssize_t extra
        cdef int flags = little_u16(advance(&cursor, 2))
        if self.skips_event:
            self.skips_event = False
            self.statement = b""
            return False
        if has_extra(kind):
            extra = little_u16(advance(&cursor, 2))
            advance(&cursor, extra - 2)
        if table_id == DUMMY_TABLE:
            # It ends a statement, and has no rows.
            return False
        mapped = self.mapped(table_id)
        if not mapped.is_known:
            return True
        if mapped.table is not None:
            if not mapped.table.is_active:
                self.activate(mapped.table)
            self.place = mapped.table
            self.read_rows(mapped.table, kind, &cursor)
            self.place = None
        if flags & STATEMENT_END:
            self.statement = b""
        return False

    cdef int read_rows(self, Table table, uint8_t kind, Cursor* cursor) except -1:
        cdef uint64_t width
        cdef int operation = operation_of(kind)
        cdef Cursor plain
        cdef Py_ssize_t left
        cdef bint is_whole = False
        read_lenenc(cursor, &width)
        if width != <uint64_t>table.width:
            raise DecodeError(f"rows of {width} columns where {table.width} are declared")
        if operation == CREATE:
            read_present(cursor, &self.new, table.width)
            if self.new.count != table.width:
                check_insert(table.target, [i for i in range(table.width) if not self.new.present[i]])
        else:
            read_present(cursor, &self.old, table.width)
            if not table.has_key(&self.old):
                raise unidentified_row(table.target)
            if operation == UPDATE:
                is_whole = table.is_whole(&self.old)
                read_present(cursor, &self.new, table.width)
                if not table.is_whole(&self.new) and (table.target.derived or table.target.is_annotated):
                    absent = [i for i in range(table.width) if not self.new.present[i]]
                    check_update(table.target, absent, self.statement)
        if is_compressed(kind):
            data = inflate_body(bytes_of(cursor))
            plain.at = <const unsigned char*>PyBytes_AS_STRING(data)
            plain.left = PyBytes_GET_SIZE(data)
            cursor = &plain
        while cursor.left:
            left = cursor.left
            if operation == CREATE:
                self.insert(table, cursor)
            elif operation == UPDATE:
                self.update(table, cursor, kind == PARTIAL_UPDATE, is_whole)
            else:
                self.delete(table, cursor)
            if cursor.left == left:
                raise DecodeError("a row without any bytes")
            self.byte_count += left - cursor.left + ROW_OVERHEAD
        return 0

    cdef int insert(self, Table table, Cursor* cursor) except -1:
        table.read_image(cursor, &self.new, NULL)
        if table.is_history(&self.new):
            return 0
        self.begin_row(table, CREATE)
        return table.append_row(&self.new)

    cdef int delete(self, Table table, Cursor* cursor) except -1:
        table.read_image(cursor, &self.old, NULL)
        return 0 if table.is_history(&self.old) else self.append_delete(table)

    cdef int append_delete(self, Table table) except -1:
        self.begin_row(table, DELETE)
        return table.append_row(&self.old)

    cdef int update(self, Table table, Cursor* cursor, bint may_be_partial, bint is_whole) except -1:
        cdef const unsigned char* diffs = NULL
        cdef uint64_t options = 0
        table.read_image(cursor, &self.old, NULL)
        if may_be_partial:
            read_lenenc(cursor, &options)
            if options & PARTIAL_JSON:
                diffs = advance(cursor, (table.json_columns + 7) >> 3)
            elif options:
                raise DecodeError(f"an update with options {options}, which this version does not understand")
        table.read_image(cursor, &self.new, diffs)
        if diffs != NULL:
            self.require_documents(table)
        if table.is_history(&self.old):
            return 0
        if table.is_history(&self.new):
            return self.append_delete(table)
        return self.append_update(table, is_whole)

    cdef int require_documents(self, Table table) except -1:
        """Refuse an update whose diffs have no document, before any of its values is appended."""
        cdef Py_ssize_t i
        for i in range(table.width):
            if self.new.values[i].kind == DIFFS and self.old.values[i].kind != PRESENT:
                raise diffs_without_document(table.target)
        return 0

    cdef int append_update(self, Table table, bint is_whole) except -1:
        """Keep the old image if it is whole or its key differs, and fill from it what the new one lacks."""
        cdef Py_ssize_t i
        if is_whole or table.key_changed(&self.old, &self.new):
            table.append_before(&self.old)
        for i in range(table.width):
            if self.new.values[i].kind == ABSENT:
                self.new.values[i] = self.old.values[i]
        self.begin_row(table, UPDATE)
        return table.append_update(&self.old, &self.new)

    cdef int begin_row(self, Table table, int op) except -1:
        if table.ops.length == 0:
            self.gathering.touched.append(table)
        if table.last_transaction != self.moment.number:
            table.last_transaction = self.moment.number
            tx, position = self.attributed or (self.tx_text(), self.position_text())
            table.transactions.append(tx)
            table.positions.append(position)
        table.append_envelope(op, self.changes, self.moment.commit_at)
        if self.transaction_changes == 0:
            self.first_change = self.changes
        self.changes += 1
        self.transaction_changes += 1
        return 0

    cdef int truncate(self, object target) except -1:
        cdef Table table = self.table_of(target)
        self.begin_row(table, TRUNCATE)
        table.append_nulls()
        self.byte_count += ROW_OVERHEAD
        return 0

    cdef bint drop_transaction(self, Py_ssize_t kept, Py_ssize_t end) except? True:
        cdef Py_ssize_t last = min(end, self.transaction_changes)
        if last <= kept:
            return False
        last += self.first_change
        if last > 0:
            self.dropped.append((max(self.first_change + kept, 0), last))
        return self.first_change + kept < 0

    cdef object take(self):
        self.first_change -= self.changes
        batches = self.gathering.take()
        dropped, self.dropped = self.dropped, []
        self.changes = self.byte_count = 0
        return without_dropped(batches, dropped)
