# The compiled decoder of COPY BINARY, as `connectors.postgres.wire.decoder` describes it.

from collections.abc import Callable, Sequence

import pyarrow as pa

from connectors.postgres.type_plan import ColumnPlan

class CopyDecoder:
    finished: bool
    def __init__(
        self,
        table: str,
        plans: Sequence[ColumnPlan],
        unrepresentable: str,
        count: Callable[[str, int], None],
    ) -> None: ...
    def drain(self, get_copy_data: Callable[[int], tuple[int, memoryview]], limit_bytes: int) -> int: ...
    def feed(self, data: bytes | memoryview) -> None: ...
    def take(self) -> pa.RecordBatch | None: ...
