# The compiled decoders, as `connectors.postgres.wire.decoder` describes them.

from collections.abc import Callable, Sequence

import pyarrow as pa

from connectors.postgres.type_plan import ColumnPlan
from connectors.postgres.wire.copy import CopyDecoder as CopyDecoder

class PgoutputDecoder:
    changes: int
    byte_count: int
    transactions: int
    in_transaction: bool
    end_lsn: int
    commit_ts_us: int | None
    received_lsn: int
    def __init__(self, unrepresentable: str, count: Callable[[str, int], None]) -> None: ...
    def set_relation(
        self,
        relid: int,
        schema_name: str,
        table_name: str,
        plans: Sequence[ColumnPlan] | None,
        key: Sequence[int],
        identity: str,
    ) -> None: ...
    def knows(self, relid: int) -> bool: ...
    def drain(
        self, get_copy_data: Callable[[int], tuple[int, memoryview]], soft_bytes: int, hard_bytes: int
    ) -> tuple[int, memoryview | None]: ...
    def feed(self, payload: bytes | memoryview) -> int: ...
    def truncate(self, relids: Sequence[int]) -> None: ...
    def take(self) -> list[tuple[int, pa.RecordBatch]]: ...
