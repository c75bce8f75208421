"""Fuzzes the decoding of COPY BINARY."""

from cdc_source_postgres.wire import native as wire_native
from cdc_source_postgres.wire import python as wire_python
from fuzz import mutation, outcomes

mutation.run("copy", outcomes.copy(wire_native), outcomes.copy(wire_python))
