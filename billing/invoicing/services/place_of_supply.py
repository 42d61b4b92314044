"""Where sessions are supplied, for their price: the same answer as their invoice's parties give, in one query."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from billing.gst import gstin as gstins
from billing.gst import states
from billing.gst.supply import Supply, supply_between
from billing.models import ChargingSession
from stations.models import Source

_PARTIES = """
SELECT ours.state_code, ours.has_undertaking, theirs.state_code, theirs.gstin, theirs.is_sez,
    EXISTS (SELECT 1 FROM billing_organisationregistration WHERE organisation_id = asked.organisation)
FROM unnest(%(sites)s::text[], %(organisations)s::bigint[], %(vehicles)s::bigint[], %(centres)s::text[])
    WITH ORDINALITY AS asked (site, organisation, vehicle, centre, number)
LEFT JOIN LATERAL (
    SELECT state_code, has_undertaking FROM billing_supplierregistration WHERE closed_on IS NULL
    ORDER BY state_code = asked.site DESC, is_default DESC, gstin LIMIT 1
) ours ON true
LEFT JOIN LATERAL (
    SELECT r.state_code, r.gstin, r.is_sez FROM billing_organisationregistration r
    LEFT JOIN billing_registrationmapping m ON m.registration_id = r.id
      AND (m.vehicle_id = asked.vehicle OR (m.cost_centre <> '' AND m.cost_centre = asked.centre))
    WHERE r.organisation_id = asked.organisation AND (m.id IS NOT NULL OR r.is_default OR NOT EXISTS (
        SELECT 1 FROM billing_organisationregistration o WHERE o.organisation_id = r.organisation_id AND o.id <> r.id))
    ORDER BY m.vehicle_id IS NOT NULL DESC, m.id IS NOT NULL DESC, r.is_default DESC LIMIT 1
) theirs ON true
ORDER BY asked.number
"""


class Parties(NamedTuple):
    """What the parties to a session's supply follow from; `gstin` is the fleet's own, without registrations."""

    site: str
    organisation_id: int
    vehicle_id: int | None
    cost_centre: str
    gstin: str


def supply_of_session(session: ChargingSession) -> Supply:
    """Reads session.source, vehicle, organisation and connector__evse__location.

    GSTINs that are known only from the settings and the organisation count as they will when a month is closed.
    """
    parties = parties_of(session)
    return supplies_of([parties])[parties]


def parties_of(session: ChargingSession) -> Parties:
    """Reads what `supply_of_session` does."""
    vehicle = session.vehicle
    return Parties(
        _state_of_site(session), session.organisation_id, vehicle.pk if vehicle else None,
        vehicle.cost_centre if vehicle else "", session.organisation.gstin,
    )  # fmt: skip


def supplies_of(asked: Collection[Parties]) -> Mapping[Parties, Supply]:
    """For as many as one likes; one query."""
    values: dict[str, Any] = {
        "sites": [each.site for each in asked], "organisations": [each.organisation_id for each in asked],
        "vehicles": [each.vehicle_id for each in asked], "centres": [each.cost_centre for each in asked],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_PARTIES, values)
        return {each: _supply(each, *row) for each, row in zip(asked, cursor.fetchall(), strict=True)}


def _supply(
    asked: Parties, ours: str | None, has_undertaking: bool | None, theirs: str | None, gstin: str | None,
    is_sez: bool | None, has_rows: bool,
) -> Supply:  # fmt: skip
    if not has_rows:
        theirs = gstin = asked.gstin
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
