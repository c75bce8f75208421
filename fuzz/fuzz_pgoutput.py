"""Fuzzes the decoding of pgoutput messages."""

from cdc_source_postgres.wire import native as wire_native
from cdc_source_postgres.wire import python as wire_python
from fuzz import mutation, outcomes

mutation.run("pgoutput", outcomes.pgoutput(wire_native), outcomes.pgoutput(wire_python))
