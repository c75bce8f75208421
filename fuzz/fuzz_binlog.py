"""Fuzzes the decoding of binlog events."""

from connectors.mysql import wire_native, wire_python
from fuzz import binlog_outcome, mutation

mutation.run("binlog", binlog_outcome.binlog(wire_native), binlog_outcome.binlog(wire_python))
