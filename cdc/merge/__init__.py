"""Changes → rows to write, a column at a time: what sinks that hold a state or a history have to do."""

from cdc.merge.multiset import Delta, multiset_delta
from cdc.merge.reduce import Reduced, reduce_batches
from cdc.merge.refused import TableRefused, from_truncate, set_aside_for
from cdc.merge.segment import Segment, segments
from cdc.merge.timeline import Holes, Rows
from cdc.merge.versions import Versions, row_versions

__all__ = [
    "Delta",
    "Holes",
    "Reduced",
    "Rows",
    "Segment",
    "TableRefused",
    "Versions",
    "from_truncate",
    "multiset_delta",
    "reduce_batches",
    "row_versions",
    "segments",
    "set_aside_for",
]
