"""Who bills whom: which of our registrations supplies, and which of a fleet's receives."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Protocol

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


class Billed(Protocol):
    """A vehicle, as far as it matters here."""

    @property
    def pk(self) -> Any: ...
    @property
    def cost_centre(self) -> str: ...


class NoSupplier(LookupError):
    """None of our own GSTINs is known, so nobody can be invoiced."""


class Parties:
    """Of one organisation: who supplies and who receives what it draws."""

    def __init__(
        self,
        organisation: Organisation,
        suppliers: Sequence[SupplierRegistration] | None = None,
        known: Sequence[OrganisationRegistration] | None = None,
        mappings: Sequence[RegistrationMapping] | None = None,
    ) -> None:
        """Reads what it is not given, once."""
        self.organisation = organisation
        self._suppliers = our_registrations() if suppliers is None else list(suppliers)
        self._by_state = {supplier.state_code: supplier for supplier in reversed(self._suppliers)}
        if known is None:
            known = list(OrganisationRegistration.objects.filter(organisation=organisation))
        if mappings is None:
            mappings = list(RegistrationMapping.objects.filter(organisation=organisation))
        rows = {row.pk: row for row in known}
        self._default = next((row for row in known if row.is_default), None)
        if self._default is None and len(known) == 1:
            [self._default] = known
        self._by_vehicle = {row.vehicle_id: rows[row.registration_id] for row in mappings if row.vehicle_id}
        self._by_centre = {row.cost_centre: rows[row.registration_id] for row in mappings if row.cost_centre}

    def supplier(self, session: ChargingSession | None = None) -> SupplierRegistration:
        """Ours in the state of our own charger's site, else the default one, else any. Raises NoSupplier."""
        if session is None or session.source.kind != Source.Kind.OWN_OCPP:
            return self.supplier_in(None)
        return self.supplier_in(session.connector.evse.location.state)

    def supplier_in(self, state: str | None) -> SupplierRegistration:
        """By the name of the state of a site of ours; None: at nobody's site, or a network's."""
        if state is not None and (code := states.code_of(state)) in self._by_state:
            return self._by_state[code]
        if not self._suppliers:
            raise NoSupplier("None of our own GST registrations is known.")
        return self._suppliers[0]

    def recipient(self, session: ChargingSession | None = None) -> OrganisationRegistration | None:
        """The vehicle's, its cost centre's, or the default one; None: nothing is known of the fleet."""
        return self.recipient_of(session.vehicle if session is not None else None)

    def recipient_of(self, vehicle: Billed | None) -> OrganisationRegistration | None:
        if vehicle is None:
            return self._default
        return self._by_vehicle.get(vehicle.pk) or self._by_centre.get(vehicle.cost_centre) or self._default


def our_registrations() -> list[SupplierRegistration]:
    """That still supply, the default one first."""
    return list(SupplierRegistration.objects.filter(closed_on=None).order_by("-is_default", "gstin"))


def parties_of(organisations: Collection[Organisation]) -> dict[int, Parties]:
    """Of several, by organisation, in three queries."""
    known: dict[int, list[OrganisationRegistration]] = defaultdict(list)
    mappings: dict[int, list[RegistrationMapping]] = defaultdict(list)
    ids = [organisation.pk for organisation in organisations]
    for row in OrganisationRegistration.objects.filter(organisation__in=ids).order_by("organisation", "gstin"):
        known[row.organisation_id].append(row)
    for mapping in RegistrationMapping.objects.filter(organisation__in=ids):
        mappings[mapping.organisation_id].append(mapping)
    ours = our_registrations()
    return {each.pk: Parties(each, ours, known[each.pk], mappings[each.pk]) for each in organisations}


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
def take_over_all() -> None:
    """Rows for GSTINs that were known before there were registrations: the setting's, the organisations' own."""
    _take_over_ours()
    for organisation in Organisation.objects.filter(gst_registrations=None).exclude(gstin=""):
        if gstins.is_valid(organisation.gstin):
            _take_over(organisation)


def _take_over_ours() -> None:
    ours = settings.SUPPLIER_GSTIN
    if gstins.is_valid(ours) and not SupplierRegistration.objects.exists():
        SupplierRegistration.objects.create(
            gstin=gstins.clean(ours), legal_name="FleetCharge", state_code=gstins.state_of(ours), is_default=True
        )


def _take_over(organisation: Organisation) -> None:
    gstin = gstins.clean(organisation.gstin)
    OrganisationRegistration.objects.create(
        organisation=organisation, gstin=gstin, legal_name=organisation.name,
        state_code=gstins.state_of(gstin), is_default=True,
    )  # fmt: skip
