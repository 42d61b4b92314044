"""India, its states and the land around it, thinned out until every page can carry them. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

import shapely

from dispatch.basemap.sources import State

STEPS_PER_DEGREE = 250
LAND_STEPS_PER_DEGREE = 25
GAP = 0.006
"""Degrees: cracks between states that are no wider are none."""
THIN = 0.012
"""How far a thinned line may be from the true one: 1.3 km, three pixels at zoom 8."""
STATE_THIN = 0.022
LEAST_ISLET = 0.0006
"""Square degrees, 7 km²: smaller ones off the coast are left out."""
LEAST_ISLAND = 4e-6
"""0.05 km²: what lies far from the mainland is kept, for it is Lakshadweep, or of the Andaman and Nicobar Islands."""
FAR = 1.0
ISLAND_THIN = 0.004
AROUND = (-40.0, -45.0, 180.0, 75.0)
NEAR = (52.0, -2.0, 108.0, 44.0)
NEAR_THIN, FAR_THIN = 0.05, 0.35
NEAR_LEAST, FAR_LEAST = 0.02, 1.5
SEAM = 0.15
"""How far the coast of the land may be from India's own without a rim of foreign land along the beach."""
DISPUTED = "DISPUTED"
Numbers = list[int]


def ground(states: Sequence[State], land: Any) -> dict[str, Any]:
    """What the file holds: whole steps on a grid, each line as its first point and the ways from point to point."""
    whole = outline(states)
    thin = thinned(whole)
    lines = state_lines(states, whole)
    around = surroundings(land, thin)
    return {
        "steps": STEPS_PER_DEGREE,
        "india": [flat(area.exterior.coords) for area in areas(thin)],
        "states": [flat(line.coords) for line in lines],
        "land_steps": LAND_STEPS_PER_DEGREE,
        "land": [flat(area.exterior.coords, LAND_STEPS_PER_DEGREE) for area in areas(around)],
    }


def outline(states: Iterable[State]) -> Any:
    """Everything that is a state, or that states dispute among each other; cracks between them are closed."""
    whole = shapely.union_all([shapely.make_valid(state.area) for state in states])
    closed = shapely.union_all([whole, whole.buffer(GAP, quad_segs=2).buffer(-GAP, quad_segs=2)])
    return shapely.union_all([shapely.Polygon(area.exterior) for area in areas(closed)])


def thinned(whole: Any) -> Any:
    """Of the coast the form, of far islands each one."""
    parts = areas(whole)
    mainland = max(parts, key=lambda part: part.area)
    drawn = [small for part in parts if (small := _part(part, mainland)) is not None]
    return shapely.union_all([shapely.make_valid(part) for part in drawn])


def _part(part: Any, mainland: Any) -> Any:
    if part.area >= LEAST_ISLET:
        return part.simplify(min(THIN, part.area**0.5 / 6))
    if part.area < LEAST_ISLAND or part.distance(mainland) < FAR:
        return None
    return _seen(part.convex_hull.simplify(ISLAND_THIN))


def _seen(part: Any) -> Any:
    """Not so small that the grid swallows it."""
    step = 1 / STEPS_PER_DEGREE
    wide, high = part.bounds[2] - part.bounds[0], part.bounds[3] - part.bounds[1]
    if min(wide, high) >= 2 * step:
        return part
    x, y = round(part.centroid.x / step) * step, round(part.centroid.y / step) * step
    return shapely.box(x - step, y - step, x + step, y + step)


def state_lines(states: Sequence[State], whole: Any) -> list[Any]:
    """What divides states, each line once; nothing along the outline of the whole."""
    edges, taken = [], shapely.Polygon()
    for area in _undisputed(states):
        own = shapely.make_valid(area).buffer(GAP, quad_segs=2)
        edges.append(own.difference(taken).boundary)
        taken = shapely.union_all([taken, own])
    inside = shapely.union_all(edges, grid_size=1e-5).intersection(whole.buffer(-3 * GAP))
    merged = shapely.line_merge(shapely.union_all(inside, grid_size=1e-5))
    lines = [line.simplify(STATE_THIN) for line in shapely.get_parts(merged)]
    return sorted((line for line in lines if line.length > 5 * THIN), key=lambda line: line.bounds)


def _undisputed(states: Sequence[State]) -> list[Any]:
    """Slivers that states dispute go to the one they touch most: no line is drawn twice around them."""
    areas_of = [state.area for state in states if DISPUTED not in state.name.upper()]
    for state in states:
        if DISPUTED in state.name.upper():
            near = state.area.buffer(GAP)
            most = max(range(len(areas_of)), key=lambda n: areas_of[n].intersection(near).area)
            areas_of[most] = shapely.union_all([areas_of[most], near])
    return areas_of


def surroundings(land: Any, india: Any) -> Any:
    """The land around, reaching a little under India, without a rim of it along India's coast."""
    around, near = shapely.box(*AROUND), shapely.box(*NEAR)
    far = _land(land.intersection(around), FAR_THIN, FAR_LEAST).difference(near)
    close = _land(land.intersection(near.buffer(1)), NEAR_THIN, NEAR_LEAST).intersection(near)
    both = shapely.union_all([far, close])
    sea = shapely.difference(around, shapely.union_all([both, india]))
    rest = both.difference(india)
    wide = rest.buffer(-SEAM).buffer(SEAM, quad_segs=2).intersection(rest)
    narrow = [area for area in areas(rest.difference(wide)) if _is_no_rim(area, india, sea)]
    drawn = shapely.union_all([wide, *narrow])
    under = drawn.buffer(SEAM, quad_segs=2).intersection(india)  # so that no sea shows along the border
    whole = shapely.union_all([drawn, under]).simplify(SEAM / 2)
    return shapely.union_all([shapely.Polygon(area.exterior) for area in areas(whole) if area.area > NEAR_LEAST])


def _is_no_rim(area: Any, india: Any, sea: Any) -> bool:
    """A cape or an island of another coast, or the corner of a border; not what the coarser coast leaves along ours."""
    return bool(area.distance(india) > SEAM or area.distance(sea) > SEAM / 3)


def _land(land: Any, thin: float, least: float) -> Any:
    return shapely.union_all([area for area in areas(land.simplify(thin)) if area.area >= least])


def areas(shape: Any) -> list[Any]:
    """Its polygons, from west to east."""
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon" and part.area > 0]
    return sorted(parts, key=lambda part: part.bounds)


def flat(points: Iterable[Sequence[float]], per_degree: int = STEPS_PER_DEGREE) -> Numbers:
    """Whole steps, y to the north, without those that stand still."""
    told: Numbers = []
    pen = (0, 0)
    for x, y, *_ in points:
        at = round(x * per_degree), round(y * per_degree)
        if at != pen or not told:
            told += (at[0] - pen[0], at[1] - pen[1])
            pen = at
    return told
