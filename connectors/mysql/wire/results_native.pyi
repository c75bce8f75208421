from collections.abc import Callable, Sequence

import pyarrow as pa

from connectors.mysql.type_plan import ColumnPlan

class ResultDecoder:
    byte_count: int
    finished: bool
    error: bytes | None
    def __init__(
        self,
        table: str,
        plans: Sequence[ColumnPlan],
        unrepresentable: str,
        count: Callable[[str, int], None],
    ) -> None: ...
    def feed(self, data: bytes | memoryview) -> None: ...
    def take(self) -> pa.RecordBatch | None: ...
