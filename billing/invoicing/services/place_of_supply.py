"""Where one session is supplied, for its price: the same answer as its invoice's parties give, in one query."""

from django.conf import settings
from django.db import connection

from billing.gst import gstin as gstins
from billing.gst import states
from billing.gst.supply import Supply, supply_between
from billing.models import ChargingSession
from stations.models import Source

_PARTIES = """
SELECT ours.state_code, ours.has_undertaking, theirs.state_code, theirs.gstin, theirs.is_sez,
    EXISTS (SELECT 1 FROM billing_organisationregistration WHERE organisation_id = %(organisation)s)
FROM (VALUES (1)) AS always(one)
LEFT JOIN LATERAL (
    SELECT state_code, has_undertaking FROM billing_supplierregistration WHERE closed_on IS NULL
    ORDER BY state_code = %(site)s DESC, is_default DESC, gstin LIMIT 1
) ours ON true
LEFT JOIN LATERAL (
    SELECT r.state_code, r.gstin, r.is_sez FROM billing_organisationregistration r
    LEFT JOIN billing_registrationmapping m ON m.registration_id = r.id
      AND (m.vehicle_id = %(vehicle)s OR (m.cost_centre <> '' AND m.cost_centre = %(centre)s))
    WHERE r.organisation_id = %(organisation)s AND (m.id IS NOT NULL OR r.is_default OR NOT EXISTS (
        SELECT 1 FROM billing_organisationregistration o WHERE o.organisation_id = r.organisation_id AND o.id <> r.id))
    ORDER BY m.vehicle_id IS NOT NULL DESC, m.id IS NOT NULL DESC, r.is_default DESC LIMIT 1
) theirs ON true
"""


def supply_of_session(session: ChargingSession) -> Supply:
    """Reads session.source, vehicle, organisation and connector__evse__location.

    GSTINs that are known only from the settings and the organisation count as they will when a month is closed.
    """
    vehicle = session.vehicle
    values: dict[str, int | str | None] = {
        "site": _state_of_site(session), "organisation": session.organisation_id,
        "vehicle": vehicle.pk if vehicle else None, "centre": vehicle.cost_centre if vehicle else "",
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_PARTIES, values)
        ours, has_undertaking, theirs, gstin, is_sez, has_rows = cursor.fetchone()
    if not has_rows:
        theirs = gstin = session.organisation.gstin
    return supply_between(
        supplier_state=ours or gstins.state_of(settings.SUPPLIER_GSTIN) or (theirs or "")[:2],
        recipient_state=(theirs or "")[:2], is_registered=bool(gstin), is_sez=bool(is_sez),
        has_undertaking=bool(has_undertaking),
    )  # fmt: skip


def _state_of_site(session: ChargingSession) -> str:
    """Only our own chargers are supplied from where they stand."""
    if session.source.kind != Source.Kind.OWN_OCPP:
        return ""
    return states.code_of(session.connector.evse.location.state) or ""
