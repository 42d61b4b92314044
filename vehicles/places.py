"""Where can a ping be: refuses (0, x), what is not on the globe, and pairs that were swapped."""

from fleetcharge.lib.geo import is_coordinate
from vehicles.fixes import NO_PLACE, Fix, Problem

SOUTH, NORTH, WEST, EAST = 6.0, 38.0, 68.0, 98.0  # of India


def place_problem(fix: Fix) -> Problem | None:
    """Why these coordinates cannot be right, or None."""
    if SOUTH <= fix.latitude <= NORTH and WEST <= fix.longitude <= EAST:
        return None
    if fix.flags & NO_PLACE:
        return None
    if SOUTH <= fix.longitude <= NORTH and WEST <= fix.latitude <= EAST:
        return Problem("coordinates", "Latitude and longitude look swapped: the other way round the place is in India.")
    if not is_coordinate(fix.latitude, fix.longitude):
        return Problem("coordinates", f"({fix.latitude}, {fix.longitude}) is no place a vehicle can be.")
    return None
