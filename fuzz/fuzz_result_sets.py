"""Fuzzes the decoding of binary result sets."""

from cdc_source_mysql.wire import results_native as wire_results_native
from cdc_source_mysql.wire import results_python as wire_results_python
from fuzz import mutation
from fuzz.result_sets import results

mutation.run("result_sets", results(wire_results_native), results(wire_results_python))
