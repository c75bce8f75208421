"""Fuzzes the decoding of COPY BINARY."""

from connectors.postgres import wire_native, wire_python
from fuzz import mutation, outcomes

mutation.run("copy", outcomes.copy(wire_native), outcomes.copy(wire_python))
