"""The durable segmented log: what capture writes and every delivery reads."""

from cdc.log.inspection import verify_log
from cdc.log.local import LocalLogs
from cdc.log.log import DEFAULT_SEGMENT_BYTES, SegmentedLog
from cdc.log.segment import Segment
from cdc.log.view import LogView

__all__ = [
    "DEFAULT_SEGMENT_BYTES",
    "LocalLogs",
    "LogView",
    "Segment",
    "SegmentedLog",
    "verify_log",
]
