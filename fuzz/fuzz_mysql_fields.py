"""Fuzzes the decoding of single values of the binlog."""

from connectors.mysql import wire_values, wire_values_python
from fuzz import mutation
from fuzz.mysql_fields import fields

mutation.run("mysql_fields", fields(wire_values), fields(wire_values_python))
