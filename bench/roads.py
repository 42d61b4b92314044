"""Distances along roads in this process (engine cch): from one vehicle to fifty plugs, and of many to many.

    python -m bench.roads [--file EXTRACT.osm.pbf] [--side 175]

Along the roads of an extract (also named by OSM_EXTRACT in the environment), else of a made-up city of 175 x 175
crossings, whose streets have no order that could help. The floor is scipy's Dijkstra on the same arcs in the same run:
what one has without a prepared map; both must agree. Needs the packages of requirements-roads.txt (`make roads`).
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

GOAL_MS, GOAL_LOAD_S, GOAL_AGAIN_S = 2.0, 3.0, 0.2
TURNS, PLUGS = 300, 50
CORNER = (12.90, 77.50)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what came of it."""
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1000, result


def row(name: str, taken: list[float], note: str = "") -> float:
    ordered = sorted(taken)
    middle, p95 = statistics.median(ordered), ordered[int(len(ordered) * 0.95)]
    print(f"  {name:<36} p50 {middle:9.3f} ms   p95 {p95:9.3f} ms   {note}")
    return middle


def made_up(side: int, path: Path) -> Path:
    """Streets 150 m apart, every tenth a main road, in an extract of its own."""
    import osmium

    with osmium.SimpleWriter(str(path), overwrite=True) as writer:
        for number in range(side * side):
            place = (CORNER[1] + number % side * 0.0014, CORNER[0] + number // side * 0.00135)
            writer.add_node(osmium.osm.mutable.Node(id=number + 1, location=place))
        for line in range(2 * side):
            kind = "primary" if line % 10 == 0 else "residential"
            nodes = [line * side + n + 1 if line < side else n * side + line - side + 1 for n in range(side)]
            writer.add_way(osmium.osm.mutable.Way(id=line + 1, nodes=nodes, tags={"highway": kind}))
    return path


def bare(graph: Any) -> csr_matrix:
    """The arcs; of two between the same nodes the faster one."""
    order = np.lexsort((graph.seconds, graph.head, graph.tail))
    tail, head, seconds = graph.tail[order], graph.head[order], graph.seconds[order]
    first = np.r_[True, (tail[1:] != tail[:-1]) | (head[1:] != head[:-1])]
    count = len(graph.latitude)
    return csr_matrix((seconds[first], (tail[first], head[first])), shape=(count, count))


def run(extract: Path, folder: Path) -> bool:
    from dispatch.engines import maps, pointer
    from dispatch.engines.cch import CchEngine

    loading, made = timed(lambda: maps.make(extract, folder))
    again, engine = timed(lambda: CchEngine(maps.load(folder / pointer.in_use(folder))))
    graph = made.graph
    print(f"{extract.name}: {len(graph.latitude):,} nodes, {len(graph.tail):,} arcs")
    print(f"  load_osm {loading / 1000:.2f} s (goal <= {GOAL_LOAD_S:.0f} s for 30,000 nodes)   "
          f"into a process {again / 1000:.3f} s (goal <= {GOAL_AGAIN_S} s)")  # fmt: skip
    random = np.random.default_rng(7)
    nodes = random.integers(0, len(graph.latitude), (TURNS, PLUGS + 1))
    places = np.column_stack([graph.latitude, graph.longitude])
    arcs = bare(graph)
    asked = [timed(lambda one=one: ask(engine, places, one)) for one in nodes]  # type: ignore[misc]
    floor = [timed(lambda one=one: dijkstra(arcs, indices=one[:1])) for one in nodes[:30]]  # type: ignore[misc]
    middle = row(f"1 x {PLUGS}", [taken for taken, _ in asked], f"goal p50 <= {GOAL_MS} ms")
    least = row("floor: Dijkstra, 1 to all", [taken for taken, _ in floor])
    pairs = [(ours[0], all_of[0, one[1:]]) for (_, ours), (_, all_of), one in zip(asked, floor, nodes, strict=False)]
    worst = max(float(np.nanmax(np.abs(ours - theirs))) for ours, theirs in pairs)
    print(f"  ratio {middle / least:.3f}   seconds differ by {worst:.4f} at most (roundings)")
    for side in (50, 100):
        some = random.integers(0, len(places), (10, 2 * side))
        row(f"{side} x {side}", [timed(lambda one=one: many(engine, places, one))[0] for one in some])  # type: ignore[misc]
    return middle <= GOAL_MS and worst < 0.1


def ask(engine: Any, places: Any, nodes: Any) -> Any:
    return engine.matrix(places[nodes[:1]], places[nodes[1:]], seconds=60).seconds


def many(engine: Any, places: Any, nodes: Any) -> Any:
    half = len(nodes) // 2
    return engine.matrix(places[nodes[:half]], places[nodes[half:]], seconds=60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=os.environ.get("OSM_EXTRACT"))
    parser.add_argument("--side", type=int, default=175)
    options = parser.parse_args()
    try:
        import osmium  # noqa: F401
        import pyroutingkit  # noqa: F401
    except ImportError as error:
        print(f"skipped: {error}; `make roads` installs the optional road engine")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        extract = Path(options.file) if options.file else made_up(options.side, Path(folder) / "made-up.osm.pbf")
        return int(not run(extract, Path(folder) / "roads"))


if __name__ == "__main__":
    sys.exit(main())
