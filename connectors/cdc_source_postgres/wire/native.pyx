# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""pgoutput straight into Arrow memory; the twin is `python.py`.

Every tuple is split and checked whole before any of its values is decoded. Nothing but the cursor moves a pointer.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp

from cdc.native.cursor cimport Cursor, advance, finish, read_i32, read_i64, read_u8, read_u16, read_u32, read_u64
from cdc.native.gathering cimport (
    CREATE,
    DELETE,
    TRUNCATE,
    UPDATE,
    Gathering,
    TableRows,
    append_envelope,
)
from cdc_source_postgres.wire.fields cimport Field, make_field

from cdc.errors import CdcError, DecodeError
from cdc_source_postgres.wire import calendar as _calendar
from cdc_source_postgres.wire import codes as _codes
from cdc_source_postgres.messages import lsn_text
from cdc.native.refusals import locate
from cdc.native.gathered import TableShape
from cdc_source_postgres.wire.copy import CopyDecoder  # noqa: F401

cdef int64_t EPOCH_MICROSECONDS = _calendar.EPOCH_MICROSECONDS
cdef int64_t INT64_LARGEST = 0x7FFFFFFFFFFFFFFF
cdef Py_ssize_t ROW_OVERHEAD_BYTES = _codes.ROW_OVERHEAD_BYTES
cdef Py_ssize_t XLOG_HEADER_BYTES = _codes.XLOG_HEADER_BYTES
cdef enum:
    WOULD_BLOCK, ENDED, MESSAGE, KEEPALIVE, FULL, PART
assert (_codes.WOULD_BLOCK, _codes.ENDED, _codes.MESSAGE) == (WOULD_BLOCK, ENDED, MESSAGE)
assert (_codes.KEEPALIVE, _codes.FULL, _codes.PART) == (KEEPALIVE, FULL, PART)

cdef struct Value:
    # kind: n null, u unchanged, t text, b binary.
    const unsigned char* at
    Py_ssize_t size
    unsigned char kind


@cython.final
cdef class Table(TableRows):
    """The rows of one table since the last take."""

    cdef object key
    cdef set key_set

    def __init__(self, shape):
        TableRows.__init__(self, shape)
        self.key = shape.key
        self.key_set = set(shape.key)

    cdef list make_fields(self):
        return [make_field(p.codec, r) for p, r in zip(self.shape.plans, self.shape.refusals)]

    cdef int mark_unsent(self, Value* values) except -1:
        """Name the unchanged columns of the newest row; there is at least one."""
        cdef Py_ssize_t i
        return self.mark_unchanged(tuple([i for i in range(self.width) if values[i].kind == c"u"]))


@cython.final
cdef class PgoutputDecoder:
    """See `cdc_source_postgres.wire.decoder.Pgoutput`."""

    cdef object unrepresentable
    cdef dict tables
    cdef Gathering gathering
    cdef readonly Py_ssize_t changes
    cdef readonly Py_ssize_t byte_count
    cdef readonly Py_ssize_t transactions
    cdef readonly bint in_transaction
    cdef readonly uint64_t end_lsn
    cdef readonly object commit_ts_us
    cdef readonly uint64_t received_lsn
    cdef int64_t number
    cdef readonly uint32_t xid
    cdef readonly uint64_t commit_lsn
    cdef int64_t commit_at
    # The relation of the last change: changes come in runs.
    cdef int64_t last_relid
    cdef Table last_table
    # Where we are, for errors.
    cdef Table place
    cdef Py_ssize_t place_column
    cdef Value* new
    cdef Value* old
    cdef Py_ssize_t room

    def __init__(self, unrepresentable, count):
        self.unrepresentable = unrepresentable
        self.tables = {}
        self.gathering = Gathering(count)
        self.last_relid = -1

    def __dealloc__(self):
        free(self.new)
        free(self.old)

    def set_relation(self, relid, schema_name, table_name, plans, key, identity):
        table = None
        if plans is not None:
            name = f"{schema_name}.{table_name}"
            table = Table(TableShape(relid, name, plans, key, identity, self.unrepresentable))
            self.make_room(len(plans))
        former = self.tables.get(relid)
        if former is not None:
            self.gathering.set_aside(former)
        self.tables[relid] = table
        self.last_relid = -1

    cdef int make_room(self, Py_ssize_t columns) except -1:
        cdef void* memory
        if columns <= self.room:
            return 0
        memory = realloc(self.new, columns * sizeof(Value))
        if memory == NULL:
            raise MemoryError
        self.new = <Value*>memory
        memory = realloc(self.old, columns * sizeof(Value))
        if memory == NULL:
            raise MemoryError
        self.old = <Value*>memory
        self.room = columns
        return 0

    def knows(self, relid):
        return relid in self.tables

    def drain(self, get_copy_data, Py_ssize_t soft_bytes, Py_ssize_t hard_bytes):
        cdef Py_ssize_t length
        cdef int tag
        while True:
            length, frame = get_copy_data(1)
            if length <= 0:
                return (WOULD_BLOCK if length == 0 else ENDED), None
            tag = self.frame(frame)
            if tag == c"k":
                return KEEPALIVE, memoryview(frame)
            if tag:
                return MESSAGE, memoryview(frame)[XLOG_HEADER_BYTES:]
            if self.in_transaction:
                if self.byte_count >= hard_bytes:
                    return PART, None
            elif self.byte_count >= soft_bytes:
                return FULL, None

    cdef int frame(self, object frame) except -1:
        """One CopyData: 0 when consumed, k for a keepalive, else the tag of the message inside."""
        cdef Py_buffer view
        cdef Cursor cursor
        cdef uint8_t tag = 0
        cdef uint64_t wal_end
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            open_cursor(&cursor, &view)
            read_u8(&cursor, &tag)
            if tag == c"w":
                advance(&cursor, 8)
            elif tag != c"k":
                raise DecodeError(f"a frame of kind {tag} in the replication stream")
            read_u64(&cursor, &wal_end)
            advance(&cursor, 8)
            if wal_end > self.received_lsn:
                self.received_lsn = wal_end
            return c"k" if tag == c"k" else self.message(&cursor)
        except CdcError as error:
            raise self.located(error) from None
        finally:
            PyBuffer_Release(&view)

    def feed(self, payload):
        cdef Py_buffer view
        cdef Cursor cursor
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            open_cursor(&cursor, &view)
            return self.message(&cursor)
        except CdcError as error:
            raise self.located(error) from None
        finally:
            PyBuffer_Release(&view)

    cdef object located(self, error):
        position = lsn_text(self.commit_lsn) if self.in_transaction else ""
        if self.place is not None:
            return locate(error, self.place.shape.place(self.place_column, position))
        return locate(error, f"commit {position}" if position else "the replication stream")

    cdef int message(self, Cursor* cursor) except -1:
        """0 when consumed, else the tag of a message for the caller."""
        cdef uint8_t tag
        self.place = None
        self.place_column = -1
        read_u8(cursor, &tag)
        if tag == c"I":
            return self.insert(cursor)
        if tag == c"U":
            return self.update(cursor)
        if tag == c"D":
            return self.delete(cursor)
        if tag == c"B":
            return self.begin(cursor)
        if tag == c"C":
            return self.commit(cursor)
        return tag

    cdef int begin(self, Cursor* cursor) except -1:
        cdef int64_t commit_ts
        cdef uint64_t commit_lsn
        cdef uint32_t xid
        if self.in_transaction:
            raise DecodeError("a Begin inside a transaction")
        read_u64(cursor, &commit_lsn)
        read_i64(cursor, &commit_ts)
        read_u32(cursor, &xid)
        finish(cursor)
        self.commit_at = from_1970(commit_ts)
        self.commit_lsn = commit_lsn
        self.xid = xid
        self.number += 1
        self.in_transaction = True
        return 0

    cdef int commit(self, Cursor* cursor) except -1:
        cdef uint8_t flags
        cdef uint64_t commit_lsn
        cdef uint64_t end_lsn
        cdef int64_t commit_ts
        self.require_transaction()
        read_u8(cursor, &flags)
        read_u64(cursor, &commit_lsn)
        read_u64(cursor, &end_lsn)
        read_i64(cursor, &commit_ts)
        finish(cursor)
        if commit_lsn != self.commit_lsn:
            raise DecodeError(f"a Commit of {lsn_text(commit_lsn)}, which is not the transaction begun")
        self.commit_ts_us = from_1970(commit_ts)
        self.in_transaction = False
        self.end_lsn = end_lsn
        if end_lsn > self.received_lsn:
            self.received_lsn = end_lsn
        self.transactions += 1
        return 0

    cdef int require_transaction(self) except -1:
        if not self.in_transaction:
            raise DecodeError("a change or a Commit outside of a transaction")
        return 0

    cdef Table table(self, uint32_t relid):
        """The relation's table, None when it is left out."""
        self.require_transaction()
        if relid != self.last_relid:
            try:
                self.last_table = self.tables[relid]
            except KeyError:
                raise DecodeError(f"a change of relation {relid}, which was never described") from None
            self.last_relid = relid
        self.place = self.last_table
        return self.last_table

    cdef int insert(self, Cursor* cursor) except -1:
        cdef Py_ssize_t total = cursor.left
        cdef Table table
        cdef uint32_t relid
        cdef bint unchanged
        read_u32(cursor, &relid)
        table = self.table(relid)
        if table is None:
            return 0
        expect_new(cursor)
        unchanged = split(cursor, table.width, self.new)
        finish(cursor)
        return self.append(table, CREATE, self.new, unchanged, total)

    cdef int update(self, Cursor* cursor) except -1:
        cdef Py_ssize_t total = cursor.left
        cdef Table table
        cdef uint32_t relid
        cdef uint8_t tag
        cdef bint unchanged
        read_u32(cursor, &relid)
        table = self.table(relid)
        if table is None:
            return 0
        read_u8(cursor, &tag)
        if tag == c"K" or tag == c"O":
            split(cursor, table.width, self.old)
            expect_new(cursor)
        elif tag != c"N":
            raise_unexpected(tag)
        unchanged = split(cursor, table.width, self.new)
        finish(cursor)
        if tag != c"N":
            unchanged = self.take_over(table, tag == c"K")
        return self.append(table, UPDATE, self.new, unchanged, total)

    cdef bint take_over(self, Table table, bint is_key) except? True:
        """Keep the old image if it is full or its key differs, and fill from it what the new one left unchanged.

        True when the new image still has an unchanged column.
        """
        cdef bint has_before = not is_key or self.key_changed(table)
        cdef bint unchanged = False
        cdef Py_ssize_t i
        for i in range(table.width):
            if self.new[i].kind == c"u":
                if not is_key or i in table.key_set:
                    self.new[i] = self.old[i]
                unchanged = unchanged or self.new[i].kind == c"u"
        if has_before:
            self.append_before(table)
        return unchanged

    cdef bint key_changed(self, Table table) except? True:
        cdef Py_ssize_t i
        cdef Value* new
        cdef Value* old
        for i in table.key:
            new = &self.new[i]
            old = &self.old[i]
            if new.kind == c"u":
                continue
            if new.kind != old.kind or new.size != old.size or memcmp(new.at, old.at, new.size) != 0:
                return True
        return False

    cdef int delete(self, Cursor* cursor) except -1:
        cdef Py_ssize_t total = cursor.left
        cdef Table table
        cdef uint32_t relid
        cdef uint8_t tag
        cdef Py_ssize_t i
        cdef bint unchanged
        read_u32(cursor, &relid)
        table = self.table(relid)
        if table is None:
            return 0
        read_u8(cursor, &tag)
        if tag != c"K" and tag != c"O":
            raise_unexpected(tag)
        unchanged = split(cursor, table.width, self.old)
        finish(cursor)
        if tag == c"K":
            # Null in a key tuple means "not sent", except in the key itself.
            for i in range(table.width):
                if self.old[i].kind == c"n" and i not in table.key_set:
                    self.old[i].kind = c"u"
                    unchanged = True
        return self.append(table, DELETE, self.old, unchanged, total)

    cdef int append(self, Table table, int op, Value* values, bint unchanged, Py_ssize_t total) except -1:
        self.begin_row(table, op)
        if unchanged:
            table.mark_unsent(values)
        self.append_values(table.columns, values, table.width)
        self.byte_count += total + ROW_OVERHEAD_BYTES
        return 0

    cdef int begin_row(self, Table table, int op) except -1:
        if table.last_transaction != self.number:
            table.last_transaction = self.number
            table.transactions.append(str(self.xid))
            table.positions.append(lsn_text(self.commit_lsn))
        if table.ops.length == 0:
            self.gathering.touched.append(table)
        append_envelope(table, op, self.changes, self.commit_at)
        self.changes += 1
        return 0

    cdef int append_before(self, Table table) except -1:
        table.begin_before()
        return self.append_values(table.old_columns, self.old, table.width)

    cdef int append_values(self, list columns, Value* values, Py_ssize_t count) except -1:
        cdef Py_ssize_t i
        cdef Cursor cursor
        cdef Field field
        for i in range(count):
            self.place_column = i
            field = <Field>columns[i]
            cursor.at = values[i].at
            cursor.left = values[i].size
            if values[i].kind == c"b":
                field.binary(&cursor)
            elif values[i].kind == c"t":
                field.text(&cursor)
            else:
                field.null()
        return 0

    def truncate(self, relids):
        cdef Table table
        cdef Py_ssize_t i
        self.place = None
        for relid in relids:
            try:
                table = self.table(relid)
            except CdcError as error:
                raise self.located(error) from None
            if table is None:
                continue
            self.begin_row(table, TRUNCATE)
            for i in range(table.width):
                (<Field>table.columns[i]).null()
            self.byte_count += ROW_OVERHEAD_BYTES

    def take(self):
        self.changes = self.byte_count = self.transactions = 0
        return self.gathering.take()


cdef int open_cursor(Cursor* cursor, Py_buffer* view) except -1:
    cursor.at = <const unsigned char*>view.buf
    cursor.left = view.len
    if cursor.at == NULL:
        cursor.at = b""
    return 0


cdef int64_t from_1970(int64_t microseconds) except? -1:
    if microseconds > INT64_LARGEST - EPOCH_MICROSECONDS:
        raise DecodeError("a commit time out of range")
    return microseconds + EPOCH_MICROSECONDS


cdef int expect_new(Cursor* cursor) except -1:
    cdef uint8_t tag
    read_u8(cursor, &tag)
    return 0 if tag == c"N" else raise_unexpected(tag)


cdef int raise_unexpected(int tag) except -1:
    raise DecodeError(f"an unexpected kind of tuple ({tag})")


cdef bint split(Cursor* cursor, Py_ssize_t expected, Value* values) except? True:
    """The values of one tuple, checked whole; true when one of them is unchanged."""
    cdef uint16_t count
    cdef uint8_t kind
    cdef int32_t size
    cdef Py_ssize_t i
    cdef bint unchanged = False
    read_u16(cursor, &count)
    if count != expected:
        raise DecodeError(f"a row of {count} columns where {expected} are declared")
    for i in range(count):
        read_u8(cursor, &kind)
        values[i].kind = kind
        values[i].size = 0
        values[i].at = cursor.at
        if kind == c"b" or kind == c"t":
            read_i32(cursor, &size)
            values[i].at = advance(cursor, size)
            values[i].size = size
        elif kind == c"u":
            unchanged = True
        elif kind != c"n":
            raise DecodeError(f"an unknown kind of value ({kind})")
    return unchanged
