"""For tests of tax documents: our registrations, a fleet's, and sessions that went the whole way."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing.gst import gstin as gstins
from billing.gst import states
from billing.invoicing.models import OrganisationRegistration, SupplierRegistration
from billing.models import CDR, ChargingSession
from billing.services import rating, reconciliation
from billing.tests.factories import NOON, Fleet, start, stop
from fleetcharge.accounts.models import Organisation

NOVEMBER = date(2026, 11, 1)
AFTER_NOVEMBER = datetime(2026, 12, 1, 3, tzinfo=UTC)  # 08:30 in India


def gstin_in(state: str, pan: str = "AAGCB7383J", entity: str = "1") -> str:
    first = f"{state}{pan}{entity}Z"
    return first + gstins.check_digit(first)


def make_supplier(state: str = "29", *, is_default: bool = True, **fields: Any) -> SupplierRegistration:
    defaults = {
        "gstin": gstin_in(state), "legal_name": "FleetCharge Services Pvt Ltd", "address": "12 Residency Road",
        "city": states.STATES[state], "pin_code": "560025", "state_code": state, "is_default": is_default,
    }  # fmt: skip
    return SupplierRegistration.objects.create(**{**defaults, **fields})


def make_registration(organisation: Organisation, state: str = "29", **fields: Any) -> OrganisationRegistration:
    defaults = {
        "gstin": gstin_in(state, "AAPFU0939F"), "legal_name": f"{organisation.name} LLP", "address": "7 Hosur Road",
        "city": states.STATES[state], "pin_code": "560068", "state_code": state, "is_default": True,
    }  # fmt: skip
    return OrganisationRegistration.objects.create(organisation=organisation, **{**defaults, **fields})


def charge(fleet: Fleet, *, at: datetime = NOON, energy_wh: int = 10_000, minutes: int = 30) -> CDR:
    """A session that is priced, paid and judged."""
    started = start(fleet, started_at=at, received_at=at, meter_start_wh=1_000)
    ended = at + timedelta(minutes=minutes)
    stop(
        fleet, started.transaction_ref, ended_at=ended, received_at=ended, meter_stop_wh=1_000 + energy_wh
    )  # fmt: skip
    cdr = CDR.objects.get(session_id=started.session_id)
    rating.rate_and_capture(cdr_id=cdr.pk, now=ended)
    reconciliation.judge(session_id=started.session_id, now=ended)
    cdr.refresh_from_db()
    return cdr


def judged(cdr: CDR) -> ChargingSession:
    return ChargingSession.objects.select_related("verdict").get(pk=cdr.session_id)
