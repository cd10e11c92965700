"""The ways in which a stream's bytes may arrive."""

from __future__ import annotations

import random
from collections.abc import Iterator


def cuts(data: bytes, seeds: int = 20) -> Iterator[list[bytes]]:
    """Yield ``data`` whole, byte by byte, and cut at random places (the same ones every time)."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for seed in range(seeds):
        chance = random.Random(seed)
        places = sorted(chance.sample(range(len(data) + 1), min(len(data), chance.randint(1, 12))))
        yield [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
