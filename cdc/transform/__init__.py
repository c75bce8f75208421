"""What happens to batches between the source and a sink, a column at a time."""

from cdc.transform.multiset import Delta, multiset_delta
from cdc.transform.reduce import Reduced, reduce_batches
from cdc.transform.segment import Segment, segments
from cdc.transform.timeline import Holes, Rows
from cdc.transform.versions import Versions, row_versions

__all__ = [
    "Delta",
    "Holes",
    "Reduced",
    "Rows",
    "Segment",
    "Versions",
    "multiset_delta",
    "reduce_batches",
    "row_versions",
    "segments",
]
