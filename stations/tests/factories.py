"""Sites, chargers and connectors for tests."""

from typing import Any

from fleetcharge.accounts.models import Organisation
from stations.models import EVSE, Charger, Connector, Location, NetworkAccess, Source


def make_source(*, slug: str = "own", kind: str = "ocpp-own", organisation: Organisation | None = None) -> Source:
    source, _ = Source.objects.get_or_create(
        slug=slug, defaults={"name": slug.title(), "kind": kind, "organisation": organisation, "state": "connected"}
    )
    return source


def make_location(*, source: Source, latitude: float = 12.9595, longitude: float = 77.7, **fields: Any) -> Location:
    fields = {"name": "Marathahalli Hub", "city": "Bengaluru", **fields}
    return Location.objects.create(source=source, latitude=latitude, longitude=longitude, **fields)


def make_charger(organisation: Organisation, identity: str = "BLR-017", **location: Any) -> Charger:
    """A 1.6 charger with one CCS2 connector of 60 kW at a depot of the organisation."""
    source = make_source(organisation=organisation)
    site = make_location(source=source, organisation=organisation, **location)
    charger = Charger.objects.create(organisation=organisation, location=site, ocpp_identity=identity)
    evse = EVSE.objects.create(location=site, charger=charger, evse_number=1)
    Connector.objects.create(evse=evse, connector_id=1, plug="ccs2", max_power_w=60_000)
    return charger


def make_public_connector(source: Source, **fields: Any) -> Connector:
    """A connector of a CPO, at a public site."""
    location = {key: fields.pop(key) for key in ("latitude", "longitude", "name", "city") if key in fields}
    site = make_location(source=source, **location)
    evse = EVSE.objects.create(location=site, uid=f"E{site.pk}", capabilities=["RESERVABLE"])
    return Connector.objects.create(evse=evse, **{"connector_id": 1, "plug": "ccs2", "max_power_w": 60_000, **fields})


def give_access(organisation: Organisation, source: Source) -> None:
    NetworkAccess.objects.get_or_create(organisation=organisation, source=source)
