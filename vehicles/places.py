"""Where can a ping be: refuses (0, x), what is not on the globe, and pairs that were swapped."""

from fleetcharge.lib.geo import is_coordinate
from vehicles.fixes import NO_PLACE, Fix, Problem

INDIA_LATITUDES, INDIA_LONGITUDES = (6.0, 38.0), (68.0, 98.0)


def place_problem(fix: Fix) -> Problem | None:
    """Why these coordinates cannot be right, or None."""
    if _is_india(fix.latitude, fix.longitude):
        return None
    if fix.flags & NO_PLACE:
        return None
    if _is_india(fix.longitude, fix.latitude):
        return Problem("coordinates", "Latitude and longitude look swapped: the other way round the place is in India.")
    if not is_coordinate(fix.latitude, fix.longitude):
        return Problem("coordinates", f"({fix.latitude}, {fix.longitude}) is no place a vehicle can be.")
    return None


def _is_india(latitude: float, longitude: float) -> bool:
    return (
        INDIA_LATITUDES[0] <= latitude <= INDIA_LATITUDES[1] and INDIA_LONGITUDES[0] <= longitude <= INDIA_LONGITUDES[1]
    )
