"""What a charger says that a person should see: published, so that the apps above can make an alert of it."""

from datetime import datetime

from fleetcharge.lib.events import publish
from stations.events import ChargerMatterSettled, ChargerNeedsAttention
from stations.models import Charger


def raise_matter(
    *, charger_id: int, cause: str, key: str, title: str, detail: str = "", is_bad: bool = False, at: datetime
) -> None:
    """Tell whoever listens, after the commit. `title` is put behind the charger's name."""
    identity, location_id, organisation_id = Charger.objects.values_list(
        "ocpp_identity", "location_id", "organisation_id"
    ).get(pk=charger_id)
    publish(
        ChargerNeedsAttention(
            charger_id, location_id, organisation_id, cause, key, f"{identity}: {title}", detail, is_bad, at
        )
    )


def settle_matter(*, charger_id: int, cause: str, key: str, at: datetime) -> None:
    """The same matter is over."""
    organisation_id = Charger.objects.values_list("organisation_id", flat=True).get(pk=charger_id)
    publish(ChargerMatterSettled(charger_id, organisation_id, cause, key, at))
