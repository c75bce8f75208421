"""Fuzzes the decoding of single values of the binlog."""

from cdc_source_mysql.wire import values as wire_values
from cdc_source_mysql.wire import values_python as wire_values_python
from fuzz import mutation
from fuzz.mysql_fields import fields

mutation.run("mysql_fields", fields(wire_values), fields(wire_values_python))
