"""The archive in use, read where it lies: each process maps it once, and again after another was built."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmtiles.reader import MmapSource, Reader


@dataclass(frozen=True)
class Archive:
    """`version` tells its content: the same one has the same tiles."""

    version: str
    attribution: str
    first_zoom: int
    last_zoom: int
    bounds: list[float]
    reader: Any

    def tile(self, zoom: int, x: int, y: int) -> bytes | None:
        """A gzipped vector tile; None where there is nothing to draw."""
        found: bytes | None = self.reader.get(zoom, x, y)
        return found


def current(path: Path) -> Archive | None:
    """None without one, or when it cannot be read: the page then draws its own ground."""
    try:
        stat = path.stat()
        return _open(path, stat.st_ino, stat.st_mtime_ns)
    except (OSError, ValueError, KeyError, IndexError, EOFError, _NotOurs):
        return None


class _NotOurs(Exception):
    """No archive of the kind that build_basemap writes."""


@functools.lru_cache(maxsize=2)
def _open(path: Path, inode: int, changed_ns: int) -> Archive:
    with path.open("rb") as file:
        reader = Reader(MmapSource(file))
    try:
        header, metadata = reader.header(), reader.metadata()
    except Exception as error:  # whatever a file of something else makes the library raise
        raise _NotOurs from error
    names = ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7")
    return Archive(
        metadata["version"], metadata["attribution"], header["min_zoom"], header["max_zoom"],
        [header[name] / 1e7 for name in names], reader,
    )  # fmt: skip
