"""Lists in portions."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def batched(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """`size` at a time, in their order; the last portion may be smaller."""
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
