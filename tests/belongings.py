"""One of everything that a fleet owns, with names nobody else uses, and how to put its ids into a URL."""

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.apps import apps
from django.utils import timezone

from billing.approvals.models import Approval
from billing.invoicing.models import (
    AccountingMonth,
    OrganisationRegistration,
    RegistrationMapping,
    SupplierRegistration,
    TaxDocument,
)
from billing.invoicing.services import issuing
from billing.invoicing.services.parties import supply_of
from billing.models import (
    CDR,
    AllowedSite,
    AuthorisationDecision,
    BillingException,
    BillUpload,
    ChargingPolicy,
    ChargingSession,
    PriceCheck,
    SpendLimit,
)
from billing.services import wallets
from billing.utility import bills, dividing
from billing.utility.facts import BillFacts, ChargeFacts
from billing.utility.models import UtilityAllocation, UtilityBill, UtilitySupply
from dispatch.models import Alert, ChargePlan, Reservation, SessionCommand
from fleetcharge.accounts import invitations
from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Membership, Organisation, User
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookMessage
from ocpp_bridge.models import ChargingGoal, ChargingPlan, ChargingSite, Command, HeldProfile, LocalList
from stations.cpo.ocpi.models import RoamingCDR
from stations.cpo.webhooks.models import DeadLetter, WebhookFeed, WebhookPush
from stations.models import (
    EVSE,
    Charger,
    Connector,
    EvseHealth,
    Location,
    MaintenanceTicket,
    Source,
    Tariff,
    TicketNote,
)
from vehicles.geofences import services as geofences
from vehicles.models import (
    Driver,
    GeofenceEvent,
    GeofenceStanding,
    IdToken,
    Shift,
    Vehicle,
    VehicleModel,
    VehicleState,
)

PLATE, SITE, PERSON, TAG, IDENTITY = "KA 99 ZZ 4711", "Secret Depot Hoodi", "Quenby Zzyx", "TAGZZ4711", "DEPOT-ZZ-1"
COLLEAGUE, MAILBOX, NETWORK = "Wilhelmina Qoph", "w.qoph@hoodi.example", "Hoodi Private Grid"
INVITED = "soon@hoodi.example"
FENCE = "Yard of Zz at Hoodi"
HOOK = "https://hooks.hoodi.example/in"
OWNED = ("webhooks", "stations", "vehicles", "billing", "dispatch", "ocpp_bridge")


@dataclass
class Belongings:
    """`fill` puts this fleet's ids into a route; `signs` are texts that must never reach a stranger."""

    rows: dict[str, Any] = field(default_factory=dict)
    signs: tuple[str, ...] = (PLATE, SITE, PERSON, TAG, IDENTITY, COLLEAGUE, MAILBOX, NETWORK, INVITED, HOOK, FENCE)

    def fill(self, route: str) -> str:
        return re.sub(r"<(?:(\w+):)?(\w+)>|\(\?P<(\w+)>[^)]*\)", lambda match: self._value(route, match), route)

    def _value(self, route: str, match: re.Match[str]) -> str:
        name = match[2] or match[3]
        if name in {"format", "app_label", "url", "content_type_id", "path"}:
            return {"format": "json", "app_label": "billing"}.get(name, "1")
        row = next((row for key, row in self.rows.items() if key in route), None)
        if row is None:
            return "1"
        if name == "identity":
            return str(row.ocpp_identity)
        if name == "key":
            return str(getattr(row, "key", row.pk))
        return str(getattr(row, "public_id", row.pk) if name in {"public_id", "slug"} else row.pk)

    def fingerprint(self) -> dict[str, list[Any]]:
        """Every row of every table that belongs to somebody."""
        return {
            model._meta.label: list(model._default_manager.order_by("pk").values())
            for label in OWNED
            for model in apps.get_app_config(label).get_models()
            if model._meta.managed
        }


def belongings_of(organisation: Organisation | None) -> Belongings:
    return Belongings() if organisation is None else Belongings(_make(organisation))


def _make(fleet: Organisation) -> dict[str, Any]:
    """Keys are parts of the routes that show such a row; the longest first."""
    now = timezone.now()
    accounts.create_api_key(organisation=fleet, name=f"key of {PERSON}", scopes=[])
    colleague = User.objects.create_user(MAILBOX, "correct horse", full_name=COLLEAGUE, created_for=fleet)
    membership = Membership.objects.create(user=colleague, organisation=fleet, role=Membership.Role.DRIVER)
    invitation = invitations.invite(organisation=fleet, email=INVITED, role="driver", actor=colleague, now=now)
    Source.objects.create(slug="zz-grid", name=NETWORK, kind="ocpp-own", organisation=fleet)
    source = Source.objects.create(slug="zz", name=f"{SITE} network", kind="ocpp-own", organisation=fleet)
    site = Location.objects.create(
        source=source, organisation=fleet, name=SITE, city="Bengaluru", latitude=12.99, longitude=77.72
    )
    tariff = Tariff.objects.create(
        source=source, external_id="zz", name=f"{SITE} tariff", elements=[], content_hash="zz"
    )
    charger = Charger.objects.create(organisation=fleet, location=site, ocpp_identity=IDENTITY)
    evse = EVSE.objects.create(location=site, charger=charger)
    connector = Connector.objects.create(
        evse=evse, plug="ccs2", max_power_w=60_000, tariff=tariff, status="available", heard_at=now, status_at=now
    )
    model = VehicleModel.objects.create(
        manufacturer="Zz",
        name="van",
        battery_wh=20_000,
        plugs=["ccs2"],
        consumption_wh_per_km=150,
        max_dc_power_w=30_000,
    )
    driver = Driver.objects.create(organisation=fleet, name=PERSON)
    vehicle = Vehicle.objects.create(
        organisation=fleet, registration=PLATE, model=model, device_id="zz-4711", default_driver=driver
    )
    VehicleState.objects.update_or_create(
        vehicle=vehicle,
        defaults={"latitude": 12.98, "longitude": 77.71, "position_at": now, "received_at": now, "soc_percent": 55},
    )
    circle = {"type": "Point", "coordinates": [77.71, 12.98]}
    fence = geofences.draw(organisation_id=fleet.pk, name=FENCE, geometry=circle, radius_m=200)
    crossing = GeofenceEvent.objects.create(
        organisation=fleet, geofence=fence, vehicle=vehicle, kind="entered", at=now, latitude=12.98, longitude=77.71
    )
    GeofenceStanding.objects.create(geofence=fence, vehicle=vehicle, is_inside=True, is_doubted=False, since=now)
    token = IdToken.objects.create(organisation=fleet, uid=TAG, vehicle=vehicle, driver=driver)
    shift = Shift.objects.create(
        organisation=fleet, vehicle=vehicle, driver=driver, starts_at=now, ends_at=now + timedelta(hours=8)
    )
    session = ChargingSession.objects.create(
        organisation=fleet, source=source, charger=charger, connector=connector, transaction_ref="4711", start_key="zz",
        id_token=token, id_token_uid=TAG, vehicle=vehicle, driver=driver, started_at=now - timedelta(hours=1),
        ended_at=now, state="ended",
    )  # fmt: skip
    cdr = CDR.objects.create(
        organisation=fleet, session=session, started_at=session.started_at, ended_at=now, energy_wh=9000
    )
    exception = BillingException.objects.create(
        organisation=fleet,
        kind="suspicious_session",
        session=session,
        title=f"{PLATE} charged elsewhere",
        owner=colleague,
    )
    wallets.open_wallet(organisation_id=fleet.pk)
    wallets.top_up(organisation_id=fleet.pk, amount_paise=4711, key="zz", at=now, reason=f"by {PERSON}")
    plan = ChargePlan.objects.create(
        organisation=fleet, vehicle=vehicle, connector=connector, trigger="manual", trigger_key="zz", soc_percent=15
    )
    health = EvseHealth.objects.create(evse=evse, score=40, p_unusable=0.9, is_failing=True, judged_at=now)
    ticket = MaintenanceTicket.objects.create(
        organisation=fleet, charger=charger, cause="failed_starts", score=40, opened_at=now,
        evidence={"cause": "failed_starts", "points": 60, "figure": 0.9},
    )  # fmt: skip
    TicketNote.objects.create(ticket=ticket, author=colleague, text=f"Ask {PERSON}", at=now)
    reservation = Reservation.objects.create(
        organisation=fleet, vehicle=vehicle, connector=connector, plan=plan, id_token=TAG, expires_at=now
    )
    wish = SessionCommand.objects.create(
        organisation=fleet, kind="start", connector=connector, vehicle=vehicle, id_token=TAG, reason=f"by {PERSON}"
    )
    told = RoamingCDR.objects.create(
        source=source, key="IN*ZZ*1", country_code="IN", party_id="ZZ", token_uid=TAG, started_at=now, raw={},
        content_hash="zz", source_updated_at=now,
    )  # fmt: skip
    price_check = PriceCheck.objects.create(
        organisation=fleet, session=session, roaming_cdr=told, state="differs", ours_before_paise=4711,
        ours_after_paise=4711, difference_paise=4711, checked_at=now,
    )  # fmt: skip
    alert = Alert.objects.create(
        organisation=fleet, kind="will_not_reach", title=f"{PLATE} will not reach", vehicle=vehicle, plan=plan,
        dedupe_key="zz", revision=1,
    )  # fmt: skip
    command = Command.objects.create(
        organisation=fleet, charger=charger, action="RemoteStart", idempotency_key="zz", deadline_at=now
    )
    policy = ChargingPolicy.objects.create(organisation=fleet)
    limit = SpendLimit.objects.create(
        organisation=fleet, scope="vehicle", vehicle=vehicle, period="day", amount_paise=4711
    )
    allowed = AllowedSite.objects.create(organisation=fleet, vehicle=vehicle, location=site)
    decision = AuthorisationDecision.objects.create(
        organisation=fleet, id_token_uid=TAG, id_token=token, vehicle=vehicle, driver=driver, charger=charger,
        door="start", is_accepted=True, reason="accepted", at=now,
    )  # fmt: skip
    local_list = LocalList.objects.create(charger=charger, organisation=fleet, entries={TAG.lower(): {"id_token": TAG}})
    shared = ChargingSite.objects.create(location=site, organisation=fleet, limit_w=50_000)
    split = ChargingPlan.objects.create(
        site=shared, at=now, reason="zz", limit_w=50_000, allowed_w=0, missing=0, inputs={},
        result={"outlets": [], "excess_w": 0},
    )  # fmt: skip
    held = HeldProfile.objects.create(charger=charger, evse_number=1, purpose="tx", reason=f"not for {PERSON}")
    goal = ChargingGoal.objects.create(session=session, target_soc_percent=80, actor=PERSON)
    hook = WebhookEndpoint.objects.create(
        organisation=fleet, url=HOOK, event_types=["wallet.low"], secret_encrypted="zz"
    )
    pushing = Source.objects.create(slug="zz-hooks", name=f"{NETWORK} hooks", kind="webhook", organisation=fleet)
    feed = WebhookFeed.objects.create(source=pushing, mapping={"evse": "a", "status": "b"})
    push = WebhookPush.objects.create(
        feed=feed, dedupe_key="zz", method="POST", path=PERSON, raw=f'"{PERSON}"'.encode(), received_at=now
    )
    letter = DeadLetter.objects.create(feed=feed, push=push, index=0, code="unknown_evse", subject=IDENTITY)
    payload = {"type": "wallet.low", "timestamp": "2026-11-21T08:00:00Z", "data": {"note": f"by {PERSON}"}}
    message = WebhookMessage.objects.create(
        organisation=fleet, event_type="wallet.low", dedupe_key="zz", payload=payload
    )
    sent = WebhookDelivery.objects.create(
        endpoint=hook, message=message, next_attempt_at=now, last_error=f"no {PERSON}"
    )
    registration = OrganisationRegistration.objects.create(
        organisation=fleet, legal_name=f"{PERSON} LLP", address=SITE, city="Bengaluru", pin_code="560001",
        state_code="29",
    )  # fmt: skip
    mapping = RegistrationMapping.objects.create(organisation=fleet, registration=registration, vehicle=vehicle)
    document = _document(fleet, registration)
    supply, bill, division = _electricity(fleet, site, now)
    approval = Approval.objects.create(
        organisation=fleet, kind="spend_limit", subject=f"limit:{limit.pk}", title=f"Raise the limit of {PLATE}",
        reason=f"by {PERSON}", asked_by=colleague, asked_at=now, amount_paise=4711,
        facts={"limit_id": limit.pk, "before": {"amount_paise": 4711, "energy_wh": None}, "after": None},
    )  # fmt: skip
    upload = BillUpload.objects.create(
        organisation=fleet, source=pushing, number="ZZ-4711", starts_on=now.date(), ends_on=now.date(),
        file_name=f"{NETWORK}.csv", content=b"CDR,Rs\n", layout={"columns": {"reference": "CDR", "total": "Rs"}},
        state="tried", report=[], uploaded_by=colleague,
    )  # fmt: skip
    return {
        "geofenceevent": crossing, "geofence": fence,
        "maintenance-tickets": ticket, "maintenanceticket": ticket, "charger-health": evse, "evsehealth": health,
        "billupload": upload,
        "approvals": approval, "wallet/approvals": approval, "billing/approval": approval, "utilitysupply": supply,
        "utilitybill": bill, "utilityallocation": division,
        "invoices": document, "taxdocument": document, "organisationregistration": registration,
        "registrationmapping": mapping, "accountingmonth": document.month,
        "webhookfeed": feed, "webhookpush": push, "deadletter": letter,
        "webhookdelivery": sent, "webhookmessage": message, "webhooks": hook,
        "authorisationdecision": decision, "chargingpolicy": policy, "spendlimit": limit, "allowedsite": allowed,
        "locallist": local_list,
        "charging-sites": site, "chargingsite": shared, "chargingplan": split, "heldprofile": held,
        "charginggoal": goal,
        "session-commands": wish, "price-checks": price_check, "pricecheck": price_check,
        "commands": command, "command": command, "reservations": reservation, "reservation": reservation,
        "alerts": alert, "alert": alert, "plans": plan, "chargeplan": plan, "exceptions": exception,
        "billingexception": exception, "cdrs": cdr, "cdr": cdr, "sessions": session, "chargingsession": session,
        "id-tokens": token, "idtoken": token, "shifts": shift, "shift": shift, "drivers": driver, "driver": driver,
        "vehicles": vehicle, "vehicle": vehicle, "fleet": vehicle, "connectors": connector, "connector": connector,
        "tariffs": tariff, "tariff": tariff, "charger": charger, "stations": site, "location": site, "source": source,
        "membership": membership, "invitation": invitation, "accounts/user": colleague,
    }  # fmt: skip


def _electricity(fleet: Organisation, site: Location, now: Any) -> tuple[UtilitySupply, UtilityBill, UtilityAllocation]:
    supply = UtilitySupply.objects.create(
        organisation=fleet, location=site, utility=NETWORK, consumer_number="zz-4711"
    )  # fmt: skip
    first, last = (now - timedelta(days=40)).date(), (now - timedelta(days=10)).date()
    facts = BillFacts("ZZ/4711", first, last, (ChargeFacts("energy", 4711, "", 4711),))
    bill, _ = bills.record_bill(supply_id=supply.pk, facts=facts, origin="form", actor=None, now=now)
    division, _ = dividing.divide(bill_id=bill.pk, actor=None, now=now)
    return supply, bill, division


def _document(fleet: Organisation, registration: OrganisationRegistration) -> TaxDocument:
    """Without lines or amounts, which add up."""
    supplier = SupplierRegistration.objects.create(
        gstin="29AAGCB7383J1Z4", legal_name="FleetCharge", state_code="29", is_default=True
    )
    month = AccountingMonth.objects.create(starts_on=date(2026, 11, 1))
    return TaxDocument.objects.create(
        number="FC/26-27/4711", financial_year="2026-27", kind="invoice", dated_on=month.starts_on, month=month,
        taxable_paise=0, total_paise=0, request_key="zz", issued_at=timezone.now(), issued_by=PERSON,
        **issuing.identity(supplier, registration, fleet, supply_of(supplier, registration)), organisation=fleet,
    )  # fmt: skip
