"""The way out, the same for every sink: may this process write it and does a delivery continue where the sink
is (`continuity`), and which rows its changes become, a column at a time.
"""

from cdc.merge.keyed import (
    Holes,
    Reduced,
    Rows,
    TruncateSegment,
    Versions,
    reduce_batches,
    row_versions,
    segments,
)
from cdc.merge.keyless import Delta, multiset_delta
from cdc.merge.refused import TableRefused, from_truncate, set_aside_for

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
