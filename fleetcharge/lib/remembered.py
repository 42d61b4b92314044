"""Objects made of rows, remembered for as long as their rows are the very same."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


def version(alias: str) -> str:
    """SQL for what every update of a row changes, by whomever and in whatever process."""
    return f"{alias}.xmin::text || {alias}.ctid::text"


class Remembered(Generic[T]):
    """`load` makes the objects of some primary keys; one that comes with the same version again is not loaded again.

    Versions are read from the database each time, so nothing stale is ever handed out. Whoever gets an object shares it
    with others: it is for reading.
    """

    def __init__(self, load: Callable[[Sequence[int]], Mapping[int, T]], *, max_entries: int = 10_000) -> None:
        self._load, self._max_entries = load, max_entries
        self._held: dict[int, tuple[str, T]] = {}

    def get(self, versions: Mapping[int, str]) -> dict[int, T]:
        """Those that are there, by primary key."""
        held = self._held  # other threads may put another one in its place meanwhile
        entries = {pk: held.get(pk) for pk in versions}
        found = {pk: entry[1] for pk, entry in entries.items() if entry and entry[0] == versions[pk]}
        if len(found) < len(versions):
            loaded = self._load([pk for pk in versions if pk not in found])
            if len(held) + len(loaded) > self._max_entries:
                held = self._held = {}
            held.update((pk, (versions[pk], each)) for pk, each in loaded.items())
            found |= loaded
        return found
