"""Distances on the sphere; degrees in, metres out."""

from math import asin, atan2, cos, degrees, radians, sin, sqrt

EARTH_RADIUS_M = 6_371_008.8


def distance_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance in metres (haversine)."""
    phi1, phi2 = radians(lat1), radians(lat2)
    half_chord = sin((phi2 - phi1) / 2) ** 2 + cos(phi1) * cos(phi2) * sin(radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(half_chord)))


def bearing_deg(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Initial bearing from the first point to the second, 0..360."""
    phi1, phi2, dlon = radians(lat1), radians(lat2), radians(lon2 - lon1)
    y = sin(dlon) * cos(phi2)
    x = cos(phi1) * sin(phi2) - sin(phi1) * cos(phi2) * cos(dlon)
    return degrees(atan2(y, x)) % 360


def is_coordinate(latitude: float, longitude: float) -> bool:
    """On the globe, and not the (0, x) or (x, 0) that broken receivers send."""
    on_globe = -90 <= latitude <= 90 and -180 <= longitude <= 180
    return on_globe and abs(latitude) > 1e-6 and abs(longitude) > 1e-6
