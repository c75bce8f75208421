# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The rows of one table with their envelope, and those of all tables, gathered between two takes; the twin is
`gathering_python.py`.
"""

from libc.stdint cimport int32_t, int64_t

from cdc.native.columns cimport FixedColumn, fixed_slot

from cdc.native import gathered as _gathered
from cdc.native.gathered import (
    Gathered,
    before_position,
    change_batch,
    finish_columns,
    report_refused,
    rows_position,
)

assert (_gathered.CREATE, _gathered.UPDATE, _gathered.DELETE, _gathered.TRUNCATE) == (CREATE, UPDATE, DELETE, TRUNCATE)


cdef class TableRows:
    """The rows of one table since the last take."""

    def __init__(self, shape):
        self.shape = shape
        self.columns = self.make_fields()
        self.width = len(self.columns)
        self.reset()

    cdef list make_fields(self):
        """A field for every column of the shape."""
        raise NotImplementedError

    cdef int begin_before(self) except -1:
        """An old image, of the row that is appended next; its values follow, in `old_columns`."""
        if self.old_columns is None:
            self.old_columns = self.make_fields()
        (<int64_t*>fixed_slot(self.before_rows))[0] = self.ops.length
        return 0

    cdef int mark_unchanged(self, tuple columns) except -1:
        """Name the unchanged columns of the newest row; there is at least one."""
        cdef Py_ssize_t i
        cdef int32_t code
        if self.unchanged is None:
            self.unchanged = FixedColumn(4)
            for i in range(self.ops.length):
                (<int32_t*>fixed_slot(self.unchanged))[0] = -1
        code = self.sets.setdefault(columns, len(self.sets))
        (<int32_t*>self.unchanged.values.data)[self.ops.length - 1] = code
        return 0

    cdef list completed(self, gathered, list columns):
        """The rows' columns, with what the stream left out filled in by a subclass that knows it."""
        return columns

    cdef object take(self):
        """The batch of the rows; begins anew."""
        gathered = Gathered(
            count=self.ops.length,
            ops=self.ops.release(),
            seqs=self.seqs.release(),
            codes=self.codes.release(),
            commit_ats=self.commit_ats.release(),
            transactions=self.transactions,
            positions=self.positions,
            unchanged=None if self.unchanged is None else self.unchanged.release(),
            unchanged_sets=list(self.sets),
            before_rows=None if self.before_rows.length == 0 else self.before_rows.release(),
        )
        columns = self.completed(gathered, finish_columns(self.shape, self.columns, rows_position(gathered)))
        before = None
        if gathered.before_rows is not None:
            before = finish_columns(self.shape, self.old_columns, before_position(gathered))
        self.reset()
        return change_batch(self.shape, gathered, columns, before)

    cdef int reset(self) except -1:
        self.first = -1
        self.ops = FixedColumn(1)
        self.seqs = FixedColumn(8)
        self.codes = FixedColumn(4)
        self.commit_ats = FixedColumn(8)
        self.unchanged = None
        self.before_rows = FixedColumn(8)
        self.transactions = []
        self.positions = []
        self.sets = {}
        self.last_transaction = -1
        return 0


cdef class Gathering:
    """The tables with rows since the last take, and the batches that were finished before it."""

    def __init__(self, count):
        self.count = count
        self.touched = []
        self.done = []

    cdef int set_aside(self, TableRows table) except -1:
        """Finish the rows gathered so far: those that follow have other plans."""
        if table.ops.length:
            self.touched.remove(table)
            self.finish_table(table)
        return 0

    cdef list take(self):
        """Everything gathered, as (relid, batch), ordered by first ordinal."""
        touched, self.touched = self.touched, []
        for table in touched:
            self.finish_table(table)
        done, self.done = sorted(self.done, key=_first), []
        return [(relid, batch) for _, relid, batch in done]

    cdef int finish_table(self, TableRows table) except -1:
        first = table.first
        batch = table.take()
        self.done.append((first, table.shape.relid, batch))
        report_refused(table.shape, self.count)
        return 0


def _first(entry):
    return entry[0]
