"""A small town as an OpenStreetMap extract: a trunk road, a lane, a lake, a park, a hall, a shed and a name."""

from pathlib import Path

NODES = {
    1: (12.97, 77.55), 2: (12.97, 77.65), 3: (12.972, 77.58), 4: (12.979, 77.581),
    5: (12.985, 77.57), 6: (12.985, 77.58), 7: (12.99, 77.58), 8: (12.99, 77.57),
    9: (12.96, 77.60), 10: (12.96, 77.61), 11: (12.965, 77.61), 12: (12.85, 77.80),
    13: (12.975, 77.575), 14: (12.975, 77.5755), 15: (12.9755, 77.5755), 16: (12.97502, 77.57502),
    17: (12.97500, 77.57502),
}  # fmt: skip
WAYS = {
    1: ([1, 2, 12], {"highway": "trunk"}),
    2: ([3, 4], {"highway": "residential"}),
    3: ([5, 6, 7, 8, 5], {"natural": "water"}),
    4: ([9, 10, 11, 9], {"leisure": "park"}),
    5: ([1, 3], {"highway": "footway"}),
    6: ([2, 9999], {"highway": "primary"}),  # cut at the edge of the extract
    7: ([13, 14, 15, 13], {"building": "yes"}),
    8: ([13, 16, 17, 13], {"building": "shed"}),  # of three metres
    9: ([14, 15, 17, 14], {"building": "no"}),
}  # fmt: skip


def town(path: Path) -> Path:
    import osmium

    with osmium.SimpleWriter(str(path), overwrite=True) as writer:
        for number, (latitude, longitude) in NODES.items():
            writer.add_node(osmium.osm.mutable.Node(id=number, location=(longitude, latitude)))
        named = {"place": "city", "name": "ಕಬ್ಬನ್", "name:en": "Cubbon Town", "name:hi": "कब्बन"}
        writer.add_node(osmium.osm.mutable.Node(id=20, location=(77.58, 12.98), tags=named))
        for number, (nodes, tags) in WAYS.items():
            writer.add_way(osmium.osm.mutable.Way(id=number, nodes=nodes, tags=tags))
    return path
