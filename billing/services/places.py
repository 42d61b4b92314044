"""Which plug a station means by its own numbers."""

from datetime import datetime

from stations import services as stations
from stations.models import Charger, Connector

UNNAMED = -1


def find_connector(charger: Charger, evse_number: int | None, connector_id: int, received_at: datetime) -> Connector:
    """The row of this plug; a station may have plugs nobody told us of, so a missing one is created.

    `connector_id` counts over the station for OCPP 1.6 (`evse_number` None), within the EVSE for 2.x. A station that
    names more plugs than any has gets one row for all the rest: the session is a fact, the plug is not. The same row
    takes what names no plug at all (UNNAMED), unless the station has only one EVSE.
    """
    if connector_id == UNNAMED:
        return _only_plug(charger) or stations.nobodys_plug(charger)
    number = max(connector_id, 1)
    evse = number if evse_number is None else max(evse_number, 1)
    plugs = Connector.objects.filter(evse__charger=charger, evse__evse_number=evse)
    plugs = plugs.select_related("evse__location", "tariff")
    found = plugs.filter(connector_id=number).first() or (plugs.first() if connector_id < 1 else None)
    if found is None:
        report = stations.StatusReport(
            charger_id=charger.pk,
            evse_number=None if evse_number is None else evse,
            connector_id=number,
            raw_status="",
            status=Connector.Status.UNKNOWN,
            at=received_at,
            received_at=received_at,
        )
        if stations.report_statuses([report]) == [None]:
            return stations.nobodys_plug(charger)
        found = plugs.get(connector_id=number)
    return found


def _only_plug(charger: Charger) -> Connector | None:
    """Where an EVSE has several plugs, the first: they share its vehicle and its tariff."""
    plugs = Connector.objects.filter(evse__charger=charger).order_by("connector_id")
    found = list(plugs.select_related("evse__location", "tariff"))
    return found[0] if len({plug.evse_id for plug in found}) == 1 else None
