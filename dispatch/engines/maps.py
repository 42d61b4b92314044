"""The road map of this machine: read once by `manage.py load_osm`, kept below var/roads, loaded in an instant.

A map is a folder named after what it was made of; pointer.py says which one is in use, so that a process sees the old
map or the new one whole.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pyroutingkit import CCHTopology

from dispatch.engines import pointer
from dispatch.engines.osm import PROFILE, Graph, NoRoads, read

FACTS, ARRAYS, TOPOLOGY = "map.json", "graph.npz", "topology"


@dataclass(frozen=True)
class RoadMap:
    """`version` tells program, rules and extract: the same one gives the same answers."""

    version: str
    graph: Graph
    topology: CCHTopology


def make(source: Path, folder: Path) -> RoadMap:
    """Read an extract, build what the search needs, and put it in use. Raises NoRoads; then the old map stays."""
    digest = _digest(source)
    made = RoadMap(_version(digest), graph := read(source), _topology(graph))
    folder.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="making.", dir=folder))
    try:
        _write(made, fresh)
        _use(fresh, folder, f"{digest}.{os.getpid()}")
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return made


def load(place: Path) -> RoadMap:
    """A map from its folder. Raises NoRoads when it is damaged, or was made by another version of the program."""
    try:
        facts = json.loads((place / FACTS).read_text())
        if facts["version"] != _version(facts["digest"]):
            raise NoRoads(f"The road map is of {facts['version']}: load the extract again.")
        if facts["files"] != _checksums(place):
            raise NoRoads(f"The road map in {place} is damaged: load the extract again.")
        with np.load(place / ARRAYS) as arrays:
            graph = Graph(**{name: arrays[name] for name in arrays.files})
        topology = CCHTopology()
        topology.load(str(place / TOPOLOGY))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise NoRoads(f"The road map in {place} cannot be read: {error!r}") from error
    return RoadMap(facts["version"], graph, topology)


def forget(folder: Path) -> None:
    """Back to distances without a map."""
    shutil.rmtree(folder, ignore_errors=True)


def _topology(graph: Graph) -> CCHTopology:
    topology = CCHTopology()
    latitude, longitude = graph.latitude.astype(np.float32), graph.longitude.astype(np.float32)
    topology.build(graph.tail, graph.head, latitude, longitude, len(latitude))
    return topology


def _write(made: RoadMap, place: Path) -> None:
    (place / TOPOLOGY).mkdir()
    made.topology.save(str(place / TOPOLOGY))
    np.savez(place / ARRAYS, **{each.name: getattr(made.graph, each.name) for each in fields(Graph)})
    digest = made.version.rsplit(" ", 1)[1]
    facts = {"version": made.version, "digest": digest, "files": _checksums(place)}
    (place / FACTS).write_text(json.dumps(facts))


def _checksums(place: Path) -> dict[str, str]:
    """Of all files but the facts: what reads the topology believes every byte of it, and dies of a wrong one."""
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.name != FACTS)
    return {str(path.relative_to(place)): _digest(path) for path in files}


def _use(fresh: Path, folder: Path, name: str) -> None:
    """Processes that still have the old map have it in memory."""
    fresh.chmod(0o755)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder / name)
    fresh.rename(folder / name)
    before = pointer.in_use(folder)
    pointer.use(folder, name)
    if before and before != name:
        shutil.rmtree(folder / before, ignore_errors=True)


def _digest(source: Path) -> str:
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:8]
    except OSError as error:
        raise NoRoads(f"{source} cannot be read: {error.strerror}.") from error


def _version(digest: str) -> str:
    return f"{version('pyroutingkit')} rules {PROFILE} map {digest}"
