"""A depot has a geofence of its own: a circle around the site, which its fleet may draw anew or remove."""

from dispatch.depot.models import Depot
from vehicles.geofences import services, shapes
from vehicles.models import Geofence


def draw_missing() -> int:
    """Draw one for each depot that never had one; how many. One that was removed stays so."""
    known = set(Geofence.objects.exclude(depot="").values_list("organisation_id", "depot"))
    depots = Depot.objects.filter(is_active=True).select_related("location").order_by("pk")
    return sum(_draw(depot) for depot in depots if (depot.organisation_id, depot.location.public_id) not in known)


def fit(depot: Depot, radius_before_m: int) -> None:
    """The circle follows the depot's radius, unless somebody has drawn it anew."""
    own = Geofence.objects.drawn().filter(organisation=depot.organisation_id, depot=depot.location.public_id)
    for fence in own.filter(radius_m=_radius_m(radius_before_m)).exclude(radius_m=_radius_m(depot.radius_m)):
        services.change(
            geofence_id=fence.pk, name=fence.name, geometry=fence.geometry, radius_m=_radius_m(depot.radius_m)
        )


def _draw(depot: Depot) -> bool:
    """With the site's id behind its name when another geofence has that; False when the fleet has no room for it."""
    site = depot.location
    for name in (site.name[:100] or site.public_id, f"{site.name[:80]} ({site.public_id})"):
        try:
            services.draw(
                organisation_id=depot.organisation_id, name=name, depot=site.public_id,
                geometry={"type": "Point", "coordinates": [site.longitude, site.latitude]},
                radius_m=_radius_m(depot.radius_m),
            )  # fmt: skip
        except services.NameTaken:
            continue
        except (services.TooMany, shapes.BadShape):
            return False
        return True
    return False


def _radius_m(radius_m: int) -> int:
    return min(max(radius_m, shapes.RADIUS_M[0]), shapes.RADIUS_M[-1])
