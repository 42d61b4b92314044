"""Mapbox Vector Tiles 2.1, written: the few parts of the format that a base map needs. Pure."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from dispatch.basemap.geometry import EXTENT, Line

MOVE_TO, LINE_TO, CLOSE_PATH = 1, 2, 7
Value = str | int


class Shape(IntEnum):
    POINT = 1
    LINE = 2
    AREA = 3


LEAST_POINTS = {Shape.POINT: 1, Shape.LINE: 2, Shape.AREA: 3}


@dataclass(frozen=True)
class Feature:
    """Points in units of the tile."""

    shape: Shape
    parts: list[Line]
    values: dict[str, Value]


def tile(layers: dict[str, Sequence[Feature]]) -> bytes:
    return b"".join(_bytes(3, _layer(name, features)) for name, features in layers.items() if features)


def _layer(name: str, features: Sequence[Feature]) -> bytes:
    keys: dict[str, int] = {}
    values: dict[Value, int] = {}
    drawn = [(feature, steps) for feature in features if (steps := commands(feature.shape, feature.parts))]
    told = b"".join(_bytes(2, _feature(feature, steps, keys, values)) for feature, steps in drawn)
    names = b"".join(_bytes(3, key.encode()) for key in keys)
    written = b"".join(_bytes(4, _value(value)) for value in values)
    return _number(15, 2) + _bytes(1, name.encode()) + told + names + written + _number(5, EXTENT)


def _feature(feature: Feature, geometry: list[int], keys: dict[str, int], values: dict[Value, int]) -> bytes:
    tags: list[int] = []
    for key, value in feature.values.items():
        tags += [keys.setdefault(key, len(keys)), values.setdefault(value, len(values))]
    return _packed(2, tags) + _number(3, feature.shape) + _packed(4, geometry)


def _value(value: Value) -> bytes:
    return _bytes(1, value.encode()) if isinstance(value, str) else _number(5, value)


def commands(shape: Shape, parts: Iterable[Line]) -> list[int]:
    """Each part from where the last one ended, in whole units."""
    told: list[int] = []
    pen = (0, 0)
    for points in map(_whole, parts):
        if len(points) < LEAST_POINTS[shape]:
            continue
        told += [MOVE_TO | 1 << 3, *_step(pen, points[0])]
        if len(points) > 1:
            told.append(LINE_TO | (len(points) - 1) << 3)
        for before, point in itertools.pairwise(points):
            told += _step(before, point)
        if shape is Shape.AREA:
            told.append(CLOSE_PATH | 1 << 3)
        pen = points[-1]
    return told


def _whole(part: Line) -> list[tuple[int, int]]:
    points = [(round(x), round(y)) for x, y in part]
    return points[:1] + [point for before, point in itertools.pairwise(points) if point != before]


def _step(start: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    return _zigzag(end[0] - start[0]), _zigzag(end[1] - start[1])


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _varint(number: int) -> bytes:
    told = bytearray()
    while number > 0x7F:
        told.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*told, number])


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _packed(field: int, numbers: Iterable[int]) -> bytes:
    return _bytes(field, b"".join(map(_varint, numbers)))
