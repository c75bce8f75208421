"""A mutation fuzzer for decoders: damages corpus entries, and holds the compiled decoder against its twin.

Every input must end in equal outcomes, or in an error of `cdc.errors`; anything else is printed with the
input that did it and ends the run with exit code 1. Under AddressSanitizer a read past a buffer ends the
process by itself; the input in hand is then in the file `fuzz/last-input.hex`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
LAST_INPUT = FOLDER / "last-input.hex"
# Each round damages one entry this often at most: a frame damaged more seldom gets past its first check.
MOST_DAMAGES = 4
INTERESTING = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\1",
]

Outcome = Any


def corpus(name: str) -> list[list[bytes]]:
    """The entries of a target: files named after their case, one frame a line in hex."""
    paths = sorted((FOLDER / "corpus" / name).glob("*.hex"))
    return [[bytes.fromhex(line) for line in path.read_text().split()] for path in paths]


def damage(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(6)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at:]
    if kind == 2:
        return data[:at] + data[at + chance.randrange(1, 9) :]
    if kind == 3:
        word = chance.choice(INTERESTING)
        return data[:at] + word + data[at + len(word) :]
    if kind == 4 and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
    return data[:at] + data[chance.randrange(len(data) + 1) :]


def mutated(entry: Sequence[bytes], chance: random.Random) -> list[bytes]:
    frames = list(entry)
    for _ in range(chance.randint(1, MOST_DAMAGES)):
        at = chance.randrange(len(frames))
        if chance.randrange(8) == 0:
            frames.insert(at, chance.choice(frames))
        else:
            frames[at] = damage(frames[at], chance)
    return frames


def run(name: str, native: Callable[[list[bytes]], Outcome], twin: Callable[[list[bytes]], Outcome]) -> None:
    """Fuzz one target for as long as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    entries = corpus(name)
    deadline = time.monotonic() + arguments.seconds
    rounds = 0
    while time.monotonic() < deadline:
        frames = mutated(chance.choice(entries), chance)
        LAST_INPUT.write_text("\n".join(frame.hex() for frame in frames))
        if native(frames) != twin(frames):
            print(f"{name}: the decoders differ (seed {arguments.seed}, round {rounds}); see {LAST_INPUT}")
            sys.exit(1)
        rounds += 1
    LAST_INPUT.unlink(missing_ok=True)
    print(f"{name}: {rounds} inputs, seed {arguments.seed}, no difference")
