"""The types of `events.py` where it is compiled."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cdc.native.cursor cimport Reader

cdef int NO_GTID, MYSQL_GTID, MARIADB_GTID
cdef int GROUP_COMMIT, ANY_XA, MAX_TAG_BYTES
cdef uint64_t LARGEST, WORD, LONG_WORD, HAS_ORIGINAL, LATE_BYTES
cdef uint64_t FLAGS_FIELD, UUID_FIELD, NUMBER_FIELD, TAG_FIELD, IMMEDIATE_FIELD, ORIGINAL_FIELD, LAST_KNOWN_FIELD


@cython.final
cdef class Event:
    # As wide as what is computed from them.
    cdef int64_t at_seconds
    cdef int type
    cdef uint32_t server_id
    cdef Py_ssize_t size
    cdef uint64_t log_pos
    cdef int flags
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef int read(self, Reader reader) except -1
    cdef int read_fields(self, Reader reader) except -1


@cython.final
cdef class Gtid:
    cdef int kind
    cdef uint32_t flags
    cdef bytes uuid
    cdef bytes tag
    cdef uint64_t number
    cdef uint32_t domain
    cdef uint32_t server_id
    cdef int64_t commit_at
    cdef int clear(self) except -1
    @cython.locals(immediate=uint64_t)
    cdef int read(self, Reader reader) except -1
    @cython.locals(size=Py_ssize_t)
    cdef int read_mariadb(self, Reader reader, uint32_t server_id) except -1
    @cython.locals(field=uint64_t, has_uuid=bint, has_number=bint)
    cdef int read_tagged(self, Reader reader) except -1
    @cython.locals(value=uint64_t)
    cdef int read_field(self, Reader reader, uint64_t field) except -1


@cython.final
cdef class Runs:
    cdef list runs
    cdef int kind
    cdef bytes uuid
    cdef bytes tag
    cdef uint64_t first
    cdef uint32_t domain
    cdef uint32_t server_id
    cdef uint64_t last
    cdef int note(self, Gtid gtid) except -1
    cdef bint is_continued_by(self, Gtid gtid) except? True
    cdef int finish(self) except -1
    cdef list take(self)


cdef uint64_t checked_number(uint64_t number) except? 0xFFFFFFFFFFFFFFFF
cdef bytes read_tag(Reader reader, uint64_t size)
cdef object uuid_text(bytes uuid)
@cython.locals(ahead=uint64_t)
cdef uint64_t caught_up(uint64_t end, uint64_t log_pos) except? 0xFFFFFFFFFFFFFFFF
@cython.locals(first=int)
cdef uint64_t read_lenenc(Reader reader) except? 0xFFFFFFFFFFFFFFFF
@cython.locals(first=int, more=int, rest=uint64_t)
cdef uint64_t read_varlen(Reader reader) except? 0xFFFFFFFFFFFFFFFF
@cython.locals(database=Py_ssize_t, variables=Py_ssize_t)
cdef int skip_to_statement(Reader reader) except -1
@cython.locals(kind=uint64_t, value=Reader)
cdef list read_payload_fields(Reader reader)
@cython.locals(position=uint64_t, field=int, value=Reader)
cdef uint64_t read_heartbeat(Reader reader) except? 0xFFFFFFFFFFFFFFFF
