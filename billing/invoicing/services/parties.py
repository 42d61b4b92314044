"""Who bills whom: which of our registrations supplies, and which of a fleet's receives."""

from typing import Any

from django.conf import settings
from django.db import transaction

from billing.gst import gstin as gstins
from billing.gst import states
from billing.gst.supply import Supply, supply_between
from billing.invoicing.models import OrganisationRegistration, RegistrationMapping, SupplierRegistration
from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation
from stations.models import Source

FACTS = ("legal_name", "trade_name", "gstin", "address", "city", "pin_code", "state_code", "email")


class NoSupplier(LookupError):
    """None of our own GSTINs is known, so nobody can be invoiced."""


class Parties:
    """Of one organisation: reads its registrations and mappings once."""

    def __init__(self, organisation: Organisation) -> None:
        self.organisation = organisation
        self._suppliers = list(SupplierRegistration.objects.filter(closed_on=None).order_by("-is_default", "gstin"))
        self._by_state = {supplier.state_code: supplier for supplier in reversed(self._suppliers)}
        known = {row.pk: row for row in OrganisationRegistration.objects.filter(organisation=organisation)}
        self._default = next((row for row in known.values() if row.is_default), None)
        if self._default is None and len(known) == 1:
            [self._default] = known.values()
        mappings = RegistrationMapping.objects.filter(organisation=organisation)
        self._by_vehicle = {row.vehicle_id: known[row.registration_id] for row in mappings if row.vehicle_id}
        self._by_centre = {row.cost_centre: known[row.registration_id] for row in mappings if row.cost_centre}

    def supplier(self, session: ChargingSession | None = None) -> SupplierRegistration:
        """Ours in the state of our own charger's site, else the default one, else any. Raises NoSupplier."""
        if session is not None and session.source.kind == Source.Kind.OWN_OCPP:
            code = states.code_of(session.connector.evse.location.state)
            if code in self._by_state:
                return self._by_state[code]
        if not self._suppliers:
            raise NoSupplier("None of our own GST registrations is known.")
        return self._suppliers[0]

    def recipient(self, session: ChargingSession | None = None) -> OrganisationRegistration | None:
        """The vehicle's, its cost centre's, or the default one; None: nothing is known of the fleet."""
        vehicle = session.vehicle if session is not None else None
        if vehicle is None:
            return self._default
        return self._by_vehicle.get(vehicle.pk) or self._by_centre.get(vehicle.cost_centre) or self._default


def supply_of(supplier: SupplierRegistration, recipient: OrganisationRegistration | None) -> Supply:
    if recipient is None:
        return supply_between(supplier_state=supplier.state_code)
    return supply_between(
        supplier_state=supplier.state_code, recipient_state=recipient.state_code,
        is_registered=bool(recipient.gstin), is_sez=recipient.is_sez, has_undertaking=supplier.has_undertaking,
    )  # fmt: skip


def facts_of(row: SupplierRegistration | OrganisationRegistration | None, organisation: Organisation) -> dict[str, Any]:
    """What a document shows of a party, copied so that it never changes."""
    if row is None:
        return {**dict.fromkeys(FACTS, ""), "legal_name": organisation.name}
    facts = {name: getattr(row, name) for name in FACTS}
    if isinstance(row, SupplierRegistration):
        facts |= {"bank_details": row.bank_details, "terms": row.terms}
    return facts


@transaction.atomic
def take_over_settings(organisation: Organisation) -> None:
    """Rows for GSTINs that were known before there were registrations: the setting's, the organisation's own."""
    ours = settings.SUPPLIER_GSTIN
    if gstins.is_valid(ours) and not SupplierRegistration.objects.exists():
        SupplierRegistration.objects.create(
            gstin=gstins.clean(ours), legal_name="FleetCharge", state_code=gstins.state_of(ours), is_default=True
        )
    theirs, rows = organisation.gstin, OrganisationRegistration.objects.filter(organisation=organisation)
    if gstins.is_valid(theirs) and not rows.exists():
        OrganisationRegistration.objects.create(
            organisation=organisation, gstin=gstins.clean(theirs), legal_name=organisation.name,
            state_code=gstins.state_of(gstins.clean(theirs)), is_default=True,
        )  # fmt: skip
