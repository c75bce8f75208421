"""The statistics of a data file, of its Parquet metadata, by which readers pass over files.

PyIceberg makes Python's dates of the bounds, which end at the year 9999: these are numbers, as in the file.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pyiceberg.io.pyarrow import parquet_path_to_id_mapping
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from cdc_sink_iceberg.packing import pack_decimal, pack_float, pack_integer, pack_lower_text, pack_upper_text

# Bytes of an integer's bound.
_INTEGERS: dict[type[IcebergType], int] = {
    IntegerType: 4, DateType: 4, LongType: 8, TimeType: 8, TimestampType: 8, TimestamptzType: 8,
}  # fmt: skip


def statistics_of(metadata: Any, schema: Schema) -> dict[str, Any]:
    """Return the statistics of a written file as arguments of `DataFile.from_args`."""
    ids = parquet_path_to_id_mapping(schema)
    kinds = {field.field_id: field.field_type for field in schema.fields}
    sizes: dict[int, int] = defaultdict(int)
    counts: dict[int, int] = defaultdict(int)
    nulls: dict[int, int] = defaultdict(int)
    ends: dict[int, list[tuple[Any, Any]]] = defaultdict(list)
    offsets, unbounded = [], set[int]()
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        offsets.append(_start(row_group.column(0)))
        for place in range(metadata.num_columns):
            column = row_group.column(place)
            field_id = ids[column.path_in_schema]
            sizes[field_id] += column.total_compressed_size
            counts[field_id] += column.num_values
            found = column.statistics if column.is_stats_set else None
            if found is None or not found.has_null_count:
                unbounded.add(field_id)
                continue
            nulls[field_id] += found.null_count
            if found.has_min_max and field_id in kinds:
                ends[field_id].append((found.min_raw, found.max_raw))
            elif found.null_count < column.num_values:
                unbounded.add(field_id)
    bounds = {i: _bounds(kinds[i], pairs) for i, pairs in ends.items() if i not in unbounded}
    return {
        "record_count": metadata.num_rows,
        "column_sizes": dict(sizes),
        "value_counts": dict(counts),
        "null_value_counts": {i: n for i, n in nulls.items() if i not in unbounded},
        "nan_value_counts": {},
        "lower_bounds": {i: low for i, (low, _) in bounds.items() if low is not None},
        "upper_bounds": {i: high for i, (_, high) in bounds.items() if high is not None},
        "split_offsets": sorted(offsets),
    }


def _start(column: Any) -> int:
    if column.has_dictionary_page:
        return int(min(column.dictionary_page_offset, column.data_page_offset))
    return int(column.data_page_offset)


def _bounds(kind: IcebergType, pairs: Iterable[tuple[Any, Any]]) -> tuple[bytes | None, bytes | None]:
    """The bounds of all row groups, as Iceberg writes them; None where the type has none here."""
    lows, highs = zip(*pairs, strict=True)
    if isinstance(kind, BooleanType):
        return pack_integer(min(lows), 1), pack_integer(max(highs), 1)
    if type(kind) in _INTEGERS:
        size = _INTEGERS[type(kind)]
        return pack_integer(min(lows), size), pack_integer(max(highs), size)
    if isinstance(kind, DecimalType):
        numbers = [[_unscaled(value) for value in values] for values in (lows, highs)]
        return pack_decimal(min(numbers[0])), pack_decimal(max(numbers[1]))
    if isinstance(kind, StringType):
        return pack_lower_text(min(lows)), pack_upper_text(max(highs))
    if isinstance(kind, FloatType | DoubleType) and not any(map(math.isnan, (*lows, *highs))):
        is_double = isinstance(kind, DoubleType)
        return pack_float(min(lows), is_double=is_double), pack_float(max(highs), is_double=is_double)
    return None, None


def _unscaled(value: int | bytes) -> int:
    return value if isinstance(value, int) else int.from_bytes(value, "big", signed=True)
