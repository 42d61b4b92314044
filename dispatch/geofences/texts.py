"""Why a geofence is not taken, for people; the codes are those of `vehicles.geofences.shapes`."""

from django.utils.translation import gettext_lazy as _

NAME_TAKEN = _("Another geofence of yours has this name.")
TOO_MANY = _("A fleet draws at most 500 geofences.")
NOT_GEOJSON = _("This is no GeoJSON of a polygon. Paste one Polygon, MultiPolygon or Feature.")
OFF = _("This place is nowhere a vehicle can be. GeoJSON has the longitude first.")
REFUSED = {
    "invalid": _("A name is needed, and a circle (click the map) or GeoJSON; a radius is 20 to 50,000 m."),
    "no_geometry": _("Click the map for a circle, or paste GeoJSON of a polygon."),
    "several_features": NOT_GEOJSON,
    "no_position": NOT_GEOJSON,
    "too_few_positions": NOT_GEOJSON,
    "radius_of_a_polygon": NOT_GEOJSON,
    "radius": _("A circle needs a radius of 20 to 50,000 m."),
    "not_closed": _("The ring is not closed: repeat its first position at the end."),
    "swapped": _("Longitude comes first in GeoJSON; the other way round this place is in India."),
    "off_the_globe": OFF,
    "coordinates": OFF,
    "crosses_itself": _("The boundary crosses or touches itself."),
    "too_many_positions": _("At most 1,000 positions are taken."),
    "too_large": _("At most 200 km across are taken."),
    "too_small": _("It is smaller than a receiver can tell: at least 400 m²."),
}
