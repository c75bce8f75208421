"""Small operations on the columns of a ChangeBatch that Arrow lacks or does for plain types only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.model import Envelope


def choose(condition: pa.Array, first: pa.Array, second: pa.Array) -> pa.Array:
    """Row by row `first` where the condition is true, else `second`; of any type."""
    if isinstance(first, pa.ExtensionArray):
        storage = pc.if_else(condition, first.storage, second.storage)
        return pa.ExtensionArray.from_storage(first.type, storage)
    return pc.if_else(condition, first, second)


def nulled(condition: np.ndarray, values: pa.Array) -> pa.Array:
    """The values, null where the condition is true."""
    return choose(pa.array(condition), pa.nulls(len(values), values.type), values)


def children(struct: pa.StructArray) -> dict[str, pa.Array]:
    """The columns of old images by name, null where there is no image."""
    return {field.name: child for field, child in zip(struct.type, struct.flatten(), strict=True)}


def struct_of(columns: Mapping[str, pa.Array], like: pa.StructArray) -> pa.StructArray:
    """Old images of these columns, for the rows that have one in `like`."""
    mask = like.is_null()
    if not columns:
        return pa.array([None if missing else {} for missing in mask.to_pylist()], pa.struct([]))
    fields = [pa.field(name, values.type) for name, values in columns.items()]
    return pa.StructArray.from_arrays(list(columns.values()), fields=fields, mask=mask)


def names_of(unchanged: pa.DictionaryArray) -> tuple[list[list[str]], np.ndarray]:
    """The sets of columns that were not sent, and each row's set; -1 for none."""
    indices = pc.fill_null(unchanged.indices, -1).to_numpy(zero_copy_only=False)
    return [list(names or ()) for names in unchanged.dictionary.to_pylist()], indices


def unchanged_of(sets: Sequence[Sequence[str]], indices: np.ndarray) -> pa.DictionaryArray | None:
    """The column of `names_of`; None if no row has a set."""
    if not (indices >= 0).any():
        return None
    codes = pa.array(indices.astype(np.int32), mask=indices < 0)
    return pa.DictionaryArray.from_arrays(
        codes, pa.array([list(each) for each in sets], pa.list_(pa.string()))
    )


def mapped_unchanged(
    unchanged: pa.DictionaryArray, map_names: Callable[[Sequence[str]], list[str]]
) -> pa.DictionaryArray | None:
    """The same with other names; a row whose set becomes empty has none."""
    sets, indices = names_of(unchanged)
    mapped = [map_names(names) for names in sets]
    is_empty = np.array([not names for names in mapped] or [True])
    kept = np.where((indices < 0) | is_empty[np.maximum(indices, 0)], -1, indices)
    return unchanged_of(mapped, kept)


def assemble(
    columns: Mapping[str, pa.Array],
    data: pa.RecordBatch,
    before: pa.StructArray | None,
    unchanged: pa.DictionaryArray | None,
) -> pa.RecordBatch:
    """A batch of these row columns with the envelope of `data`, its last two columns apart."""
    arrays = [*columns.values(), *(data.column(name) for name in Envelope.ALWAYS)]
    names = [*columns, *Envelope.ALWAYS]
    for name, values in ((Envelope.BEFORE, before), (Envelope.UNCHANGED, unchanged)):
        if values is not None:
            arrays.append(values)
            names.append(name)
    return pa.RecordBatch.from_arrays(arrays, names=names)
