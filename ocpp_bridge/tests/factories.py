"""Own chargers with plugs, and tokens that may use them."""

from typing import Any

from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import crypto
from stations.models import EVSE, Charger, Connector, Location, Plug, Source
from vehicles.models import IdToken

KEY = "00112233445566778899aabbccddeeff"


def own_source(organisation: Organisation) -> Source:
    source, _ = Source.objects.get_or_create(
        slug=f"own-{organisation.slug}",
        defaults={"name": "Own chargers", "kind": Source.Kind.OWN_OCPP, "organisation": organisation},
    )
    return source


def charger(organisation: Organisation, identity: str, *, plugs: int = 2, key: str = KEY, **fields: Any) -> Charger:
    """A charger with `plugs` DC plugs; EVSE n has connector n (the OCPP 1.6 numbering)."""
    place = Location.objects.create(
        source=own_source(organisation), organisation=organisation, name="Depot", latitude=12.97, longitude=77.59
    )
    made = Charger.objects.create(
        organisation=organisation,
        location=place,
        ocpp_identity=identity,
        auth_key_hash=crypto.keyed_hash(key, purpose=Charger.KEY_PURPOSE) if key else "",
        **{"last_boot_at": timezone.now(), **fields},
    )
    numbering = fields.get("subprotocols") != ["ocpp2.0.1"]
    for number in range(1, plugs + 1):
        unit = EVSE.objects.create(location=place, charger=made, evse_number=number)
        Connector.objects.create(evse=unit, connector_id=number if numbering else 1, plug=Plug.CCS2, max_power_w=60_000)
    return made


def token(organisation: Organisation, uid: str) -> IdToken:
    return IdToken.objects.create(organisation=organisation, uid=uid)
