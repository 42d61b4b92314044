"""Who may see a site of a fleet's own: only that fleet, or everybody."""

from django.db import transaction
from django.utils import timezone

from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish
from stations.events import LocationChanged
from stations.models import EVSE, Location


class NotTheirs(Exception):
    """The site is another's, or another operator has units there."""


@transaction.atomic
def show_to_everybody(
    *, location_id: int, organisation: Organisation, is_public: bool, actor: User | None, actor_label: str = ""
) -> bool:
    """A site all of whose units are the fleet's own becomes public, or private again; False when it is so already.

    Public: everybody finds it, and the status page of an operator that has one counts it. Raises NotTheirs.
    """
    rows = Location.objects.visible_to(organisation).select_for_update(of=("self",)).select_related("source")
    location = rows.filter(pk=location_id).first()
    if location is None or not is_theirs(location, organisation):
        raise NotTheirs
    owner_id = None if is_public else organisation.pk
    if location.organisation_id == owner_id:
        return False
    Location.objects.filter(pk=location.pk).update(organisation_id=owner_id, updated_at=timezone.now())
    audit(
        action="station.show" if is_public else "station.hide", target=location, organisation=organisation, actor=actor,
        actor_label=actor_label, before={"is_public": not is_public}, after={"is_public": is_public},
    )  # fmt: skip
    publish(LocationChanged(location.pk))
    return True


def is_theirs(location: Location, organisation: Organisation) -> bool:
    """A site of the fleet's own, and every unit there, too."""
    units = EVSE.objects.filter(location=location, is_removed=False)
    own = units.filter(charger__organisation=organisation)
    if location.source.organisation_id == organisation.pk:
        own = own | units.filter(charger=None)
    elif not own.exists():
        return False
    return not units.exclude(pk__in=own.values("pk")).exists()
