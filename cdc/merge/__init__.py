"""The way out, the same for every sink: may this process write it and does a delivery continue where the sink
is (`continuity`), and which rows its changes become, a column at a time.
"""

from cdc.merge.multiset import Delta, multiset_delta
from cdc.merge.reduce import Reduced, TruncateSegment, reduce_batches, segments
from cdc.merge.refused import TableRefused, from_truncate, set_aside_for
from cdc.merge.timeline import Holes, Rows
from cdc.merge.versions import Versions, row_versions

__all__ = [
    "Delta",
    "Holes",
    "Reduced",
    "Rows",
    "TableRefused",
    "TruncateSegment",
    "Versions",
    "from_truncate",
    "multiset_delta",
    "reduce_batches",
    "row_versions",
    "segments",
    "set_aside_for",
]
