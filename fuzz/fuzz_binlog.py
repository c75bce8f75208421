"""Fuzzes the decoding of binlog events."""

from cdc_source_mysql.wire import stream as wire_python
from cdc_source_mysql.wire import stream_native as wire_native
from fuzz import binlog_outcome, mutation

mutation.run("binlog", binlog_outcome.binlog(wire_native), binlog_outcome.binlog(wire_python))
