"""The shop in numbers, and the configuration that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# A million rows are copied in seconds, and are enough for rates and memory to be seen.
DEFAULT_ROWS: Final = 1_000_000
# Fewer leave nothing to copy while the shop is open.
MIN_ROWS: Final = 10_000
# The digits of all amounts behind the point.
SCALE: Final = 2
# How long the workload runs against a daemon that has caught up, before and after its turning points; a
# smaller shop is watched for less.
WATCH_SECONDS = 3.0
MIN_WATCH_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Shop:
    """How much of everything there is at the beginning: `rows` in all."""

    rows: int = DEFAULT_ROWS

    @property
    def customers(self) -> int:
        return self.rows // 20

    @property
    def orders(self) -> int:
        return self.rows // 4

    @property
    def order_lines(self) -> int:
        """Three for each of the first orders."""
        return self.rows * 3 // 5

    @property
    def payments(self) -> int:
        return self.rows // 10

    @property
    def bulk_rows(self) -> int:
        """Rows of the one big transaction: a third of all order lines."""
        return self.rows // 5

    @property
    def watch_seconds(self) -> float:
        """How long each quiet step is shown."""
        return max(MIN_WATCH_SECONDS, WATCH_SECONDS * self.rows / DEFAULT_ROWS)


CONFIG: Final = """# Written by `cdc demo`, whose server ends with it; DEMO_URL was its address.
state_dir: ./state
sources:
  shop:
    type: {source}
    url: ${{DEMO_URL:-{example_url}}}
    tables: ["{schema}.*"]
sinks:
  warehouse:
{mirror}
    from: [shop]
    mode: mirror
    flush: {{interval: 1s}}
  lake:
    type: parquet
    from: [shop]
{place}
    flush: {{interval: 5s}}
"""
