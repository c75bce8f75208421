"""Fuzzes the decoding of binary result sets."""

from cdc_source_mysql.wire import result_stream as wire_results_python
from cdc_source_mysql.wire import result_stream_native as wire_results_native
from fuzz import mutation
from fuzz.result_sets import results

mutation.run("result_sets", results(wire_results_native), results(wire_results_python))
