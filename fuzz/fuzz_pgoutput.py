"""Fuzzes the decoding of pgoutput messages."""

from connectors.postgres import wire_native, wire_python
from fuzz import mutation, outcomes

mutation.run("pgoutput", outcomes.pgoutput(wire_native), outcomes.pgoutput(wire_python))
