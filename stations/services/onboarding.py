"""Chargers nobody registered: written down as Pending, out of sight, until somebody decides about them."""

from datetime import datetime

from django.db import transaction

from fleetcharge.accounts.models import Organisation
from stations.models import Charger, Location, Source

WAITING_ROOM = "Chargers to be accepted"
MAX_WAITING = 100


@transaction.atomic
def onboard_charger(*, ocpp_identity: str, auth_key_hash: str, organisation_slug: str, at: datetime) -> int | None:
    """A Pending charger of this fleet; the key it came with is its key from now on (empty: it came without).

    None: no such fleet, or too many wait already, so that nobody fills the table. Idempotent by the identity.
    """
    organisation = Organisation.objects.select_for_update().filter(slug=organisation_slug).first()
    if organisation is None:
        return None
    known = Charger.objects.filter(ocpp_identity=ocpp_identity).values_list("pk", flat=True).first()
    if known is not None:
        return known
    waiting = Charger.objects.filter(organisation=organisation, registration=Charger.Registration.PENDING)
    if waiting.count() >= MAX_WAITING:
        return None
    charger = Charger.objects.create(
        organisation=organisation,
        location=_waiting_room(organisation),
        ocpp_identity=ocpp_identity,
        auth_key_hash=auth_key_hash,
        registration=Charger.Registration.PENDING,
        last_seen_at=at,
    )
    return charger.pk


def _waiting_room(organisation: Organisation) -> Location:
    """A site that no map shows; whoever accepts the charger moves it to a real one."""
    own = Source.objects.filter(kind=Source.Kind.OWN_OCPP, organisation=organisation)
    source = own.order_by("pk").first() or Source.objects.create(
        slug=f"own-{organisation.slug}"[:50], name="Own chargers", kind=Source.Kind.OWN_OCPP, organisation=organisation
    )
    room = Location.objects.filter(source=source, name=WAITING_ROOM, is_removed=True).first()
    return room or Location.objects.create(
        source=source, organisation=organisation, name=WAITING_ROOM, latitude=0, longitude=0, is_removed=True
    )
