"""The way out, the same for every sink: does a delivery continue where the sink is, may this process write it
(`continuity`, `fencing`), and which rows its changes become, a column at a time.
"""

from cdc.merge.multiset import Delta, multiset_delta
from cdc.merge.reduce import Reduced, reduce_batches
from cdc.merge.refused import TableRefused, from_truncate, set_aside_for
from cdc.merge.segment import TruncateSegment, segments
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
