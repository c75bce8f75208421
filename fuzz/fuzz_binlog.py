"""Fuzzes the decoding of binlog events."""

from cdc_source_mysql.wire import native as wire_native
from cdc_source_mysql.wire import python as wire_python
from fuzz import binlog_outcome, mutation

mutation.run("binlog", binlog_outcome.binlog(wire_native), binlog_outcome.binlog(wire_python))
