"""Ugly JSON documents: every kind of number, text and nesting at the edges of MySQL's binary form."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any

# Lengths at which the binary form changes: lengths of strings in seven bits a byte, and containers of 64 KiB.
_LENGTHS = (0, 1, 126, 127, 128, 129, 16_383, 16_384)
_LARGE = 70_000
_EDGES = [
    *(
        sign * (2**bits + change)
        for bits in (7, 15, 16, 31, 32, 63)
        for sign in (1, -1)
        for change in (-1, 0)
    ),
    *(0, 2**64 - 1, 2**64, 10**19, -(2**63) - 1),
]
_TEXTS = ('"\\/\b\f\n\r\t', "\x00\x01\x1f\x7f\x80", "é\u2028\ufeff", "😀", "k x", "$.a[0]", "'")
_DOUBLES = (
    0.0,
    -0.0,
    1.0,
    1e14,
    1e15,
    1e16,
    1e-14,
    1e-15,
    1e-16,
    123456789012345.6,
    5e-324,
    1.7976931348623157e308,
)


def fixed_documents() -> list[str]:
    """Those that must not be left to chance."""
    documents: list[Any] = [*_EDGES, *_TEXTS, *_DOUBLES, None, True, False, {}, [], [[]], {"": {}}]
    documents += ["x" * length for length in _LENGTHS]
    documents += [{"k" * length: length} for length in _LENGTHS]
    documents += [
        [0] * 30_000,
        {f"k{i}": i for i in range(9_000)},
        {"long": "y" * _LARGE, "after": [1, 2**17, "z"]},
    ]
    documents += [_EDGES, [*_EDGES, "x" * _LARGE], {"a": 1, "B": 2, "é": 3, "aa": 4, "": 5, "Z": 6}]
    texts = [json.dumps(document) for document in documents]
    texts += ["[" * 100 + "]" * 100, '{"a":' * 99 + "[]" + "}" * 99]
    numbers = ("1.0", "1.50", "1e2", "1E300", "-1.5e-10", "100000.0e0", "12345678901234567890123")
    return [*texts, *numbers]


def random_documents(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    documents = [random_value(chance, chance.randint(0, 5)) for _ in range(count)]
    return [json.dumps(document, ensure_ascii=chance.random() < 0.5) for document in documents]


def random_value(chance: random.Random, depth: int) -> Any:
    if depth and chance.random() < 0.7:
        size = chance.choice((0, 1, 2, 3, 5, 9))
        if chance.random() < 0.5:
            return [random_value(chance, depth - 1) for _ in range(size)]
        return {random_text(chance): random_value(chance, depth - 1) for _ in range(size)}
    kinds: list[Callable[[], Any]] = [
        lambda: chance.choice((None, True, False)),
        lambda: chance.choice(_EDGES),
        lambda: chance.randint(-(2**63), 2**64 - 1),
        lambda: random_double(chance),
        lambda: round(chance.uniform(-1000, 1000), chance.randint(0, 6)),
        lambda: random_text(chance),
    ]
    return chance.choice(kinds)()


def random_text(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return chance.choice(_TEXTS)
    alphabet = 'abcxyz019 ._-"\\\n\x03éß語😀'
    return "".join(chance.choice(alphabet) for _ in range(chance.choice((0, 1, 2, 3, 8, 40))))


def random_double(chance: random.Random) -> float:
    """Any bits that are a finite number."""
    if chance.random() < 0.3:
        return chance.choice(_DOUBLES)
    value: float = struct.unpack("<d", chance.randbytes(8))[0]
    return value if math.isfinite(value) else 1.5


def random_path(chance: random.Random, value: Any) -> str:
    """A path into the value, or just beside it."""
    path = "$"
    while True:
        if isinstance(value, dict) and value and chance.random() < 0.85:
            key = chance.choice(list(value)) if chance.random() < 0.8 else random_text(chance)
            path += f".{json.dumps(key, ensure_ascii=False)}"
            value = value.get(key)
        elif isinstance(value, list) and chance.random() < 0.85:
            index = chance.randint(0, len(value) + 1)
            path += f"[{index}]" if chance.random() < 0.7 else f"[last-{index}]"
            value = value[index] if index < len(value) else None
        else:
            return path + (chance.choice(("[0]", "[1]", ".zz")) if chance.random() < 0.1 else "")


def random_update(chance: random.Random, document: Any) -> tuple[str, list[str]]:
    """An expression that changes the column `v` in places, and its parameters."""
    expression, parameters = "v", []
    for _ in range(chance.randint(1, 4)):
        function = chance.choice(("json_set", "json_replace", "json_remove"))
        path = random_path(chance, document)
        if function == "json_remove" and path == "$":
            continue
        parameters.append(path)
        if function == "json_remove":
            expression = f"json_remove({expression}, %s)"
        else:
            expression = f"{function}({expression}, %s, cast(%s as json))"
            parameters.append(json.dumps(random_value(chance, 2)))
    return expression, parameters
