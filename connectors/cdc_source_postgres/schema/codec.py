"""How a column's values travel and what they become: chosen once when a column is planned, obeyed by both
decoders.

`kind` names the decoding:
    bool int2 int4 int8 uint4 uint8 float4 float8   numbers
    date time timestamp                             since 2000-01-01 on the wire, since 1970-01-01 in Arrow
    numeric                                         to decimal128 or decimal256
    money                                           to decimal128(19, the currency's fraction digits)
    numtext                                         numeric to text, as the server writes it
    text jsonb char bytes uuid                      as they are (jsonb without its version byte)
    list                                            arrays, with `element` (`element_oid` is a domain's own)
    and `dims` render                                          other types: `render` gives the server's text
    from the binary form
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

Renderer = Callable[[bytes], str]

# Kinds whose text form, as the server sends it, is already what the Arrow column holds.
TEXT_IS_VALUE = frozenset({"text", "jsonb", "char", "numtext", "render"})


@dataclass(frozen=True, slots=True)
class Codec:
    """One type's decoding. `render` is None where only the text form is readable (`Codec.text_only` of kind
    render).
    """

    kind: str
    arrow: pa.DataType
    oid: int
    scale: int = 0
    precision: int = 0
    element: Codec | None = None
    element_oid: int = 0
    dims: int = 1
    delimiter: str = ","
    render: Renderer | None = None

    @property
    def leaf(self) -> Codec:
        """The codec of the elements of a list, itself for all else."""
        return self.element.leaf if self.element is not None else self


def arrow_list(element: pa.DataType, dims: int) -> pa.DataType:
    """`dims` levels of list around `element`."""
    type_ = element
    for _ in range(dims):
        type_ = pa.list_(type_)
    return type_
