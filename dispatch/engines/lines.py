"""Lines to draw with as few points as the eye needs (Douglas-Peucker)."""

import numpy as np

from dispatch.engines.base import Line, Points

TOLERANCE_M, METRES_PER_DEGREE = 15.0, 111_320.0


def thinned(line: Points) -> Line:
    """None of the points left out is more than 15 m beside the line; both ends stay."""
    scale = np.array([1.0, np.cos(np.radians(line[0, 0]))]) * METRES_PER_DEGREE
    flat, kept, parts = line * scale, {0, len(line) - 1}, [(0, len(line) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        off = _off(flat[first + 1 : last], flat[first], flat[last])
        if off.max() > TOLERANCE_M:
            middle = first + 1 + int(off.argmax())
            kept.add(middle)
            parts += [(first, middle), (middle, last)]
    return [(round(float(lat), 6), round(float(lon), 6)) for lat, lon in line[sorted(kept)]]


def _off(points: Points, start: Points, end: Points) -> Points:
    """Metres of each point from the piece between start and end."""
    along = end - start
    length = float(along @ along) or 1.0
    share = np.clip((points - start) @ along / length, 0, 1)
    off: Points = np.linalg.norm(points - start - share[:, None] * along, axis=1)
    return off
