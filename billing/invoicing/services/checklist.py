"""What must be true before a month is closed, and what should be known."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from billing.invoicing.models import AccountingMonth, EInvoice, OrganisationRegistration, SupplierRegistration
from billing.invoicing.services import advances, collecting, figures
from billing.models import CDR, BillingException, ChargingSession, PriceCheck
from billing.prices.services.invoicing import organisations_waiting
from billing.services import verification
from fleetcharge.accounts.models import Organisation

NO_ADDRESS = Q(address="") | Q(city="") | Q(pin_code="")
IRN_WARNING = timedelta(days=20)
MUST, SHOULD, KNOW = "must", "should", "know"
"""`must` cannot be closed over; `should` can, with a reason; `know` is only said."""


@dataclass(frozen=True)
class Check:
    code: str
    title: str
    weight: str
    count: int

    @property
    def is_fine(self) -> bool:
        return self.count == 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Count = Callable[[AccountingMonth, datetime], int]


def run(month: AccountingMonth, *, now: datetime) -> list[Check]:
    """Each line of the list with how many stand against it. Reads only."""
    return [Check(code, str(title), weight, count(month, now)) for code, (title, weight, count) in CHECKS.items()]


def _is_running(month: AccountingMonth, now: datetime) -> int:
    return int(now < month.ended_at)


def _earlier(month: AccountingMonth, now: datetime) -> int:
    return AccountingMonth.objects.filter(starts_on__lt=month.starts_on, closed_at=None).count()


def _suppliers(month: AccountingMonth, now: datetime) -> int:
    return int(not SupplierRegistration.objects.filter(closed_on=None).exists())


def _ledger(month: AccountingMonth, now: datetime) -> int:
    """Limits are no books: what they have counted stands in no close's way, and nobody waits for it."""
    return sum(map(len, verification.differences(with_limits=False).values()))


def _charging(month: AccountingMonth, now: datetime) -> int:
    return ChargingSession.objects.active().filter(started_at__lt=month.ended_at).count()


def _unrecorded(month: AccountingMonth, now: datetime) -> int:
    """Sessions at networks, over without a record, that nobody has decided about; a closed month was closed so."""
    over = ChargingSession.objects.filter(state=ChargingSession.State.ENDED, ended_at__lt=month.ended_at, charger=None)
    closed = AccountingMonth.objects.filter(starts_on__lt=month.starts_on, closed_at__isnull=False)
    if last := closed.order_by("starts_on").last():
        over = over.filter(ended_at__gte=last.ended_at)
    decided = BillingException.objects.filter(session=OuterRef("pk"), kind="never_ended", resolved_at__isnull=False)
    return over.filter(~Exists(decided), cdr=None).count()


def _cdrs(month: AccountingMonth) -> Any:
    return CDR.objects.filter(ended_at__lt=month.ended_at)


def _unpriced(month: AccountingMonth, now: datetime) -> int:
    return int(_cdrs(month).filter(rated_at=None).count())


def _uncaptured(month: AccountingMonth, now: datetime) -> int:
    return int(_cdrs(month).filter(rated_at__isnull=False, captured_at=None).count())


def _unjudged(month: AccountingMonth, now: datetime) -> int:
    return collecting.unjudged(collecting.unbilled(before=month.ended_at)).count()


def _exceptions(month: AccountingMonth, now: datetime) -> int:
    return BillingException.objects.open().filter(opened_at__lt=month.ended_at).count()


def _held(month: AccountingMonth, now: datetime) -> int:
    return collecting.held(collecting.unbilled(before=month.ended_at)).count()


def _unregistered(month: AccountingMonth, now: datetime) -> int:
    waiting = collecting.unbilled(before=month.ended_at)
    without = waiting.filter(organisation__gst_registrations=None, organisation__gstin="")
    return without.values("organisation").distinct().count()


def _incomplete(month: AccountingMonth, now: datetime) -> int:
    """Parties of documents that the portal would refuse: who is billed, and ourselves."""
    reported = SupplierRegistration.objects.filter(closed_on=None, einvoice_from__lt=month.ends_before)
    if not reported.exists():
        return 0
    waiting = collecting.unbilled(before=month.ended_at).order_by().values_list("organisation", flat=True)
    fleets = {*waiting.distinct(), *organisations_waiting(before=month.ends_before)}
    theirs = OrganisationRegistration.objects.filter(organisation__in=fleets).exclude(gstin="")
    nothing_known = Organisation.objects.filter(pk__in=fleets, gst_registrations=None).exclude(gstin="")
    return reported.filter(NO_ADDRESS).count() + theirs.filter(NO_ADDRESS).count() + nothing_known.count()


def _vouchers(month: AccountingMonth, now: datetime) -> int:
    return advances.without_voucher(before=month.ended_at).count()


def _disputed(month: AccountingMonth, now: datetime) -> int:
    return PriceCheck.objects.filter(state="differs", session__ended_at__lt=month.ended_at).count()


def _irns(month: AccountingMonth, now: datetime) -> int:
    done = [EInvoice.State.REGISTERED, EInvoice.State.CANCELLED]
    return EInvoice.objects.exclude(state__in=done).filter(document__dated_on__lt=(now - IRN_WARNING).date()).count()


def _gaps(month: AccountingMonth, now: datetime) -> int:
    return len(figures.gaps())


CHECKS: dict[str, tuple[Any, str, Count]] = {
    "over": (_("The month is over"), MUST, _is_running),
    "earlier": (_("Earlier months are closed"), MUST, _earlier),
    "supplier": (_("A GST registration of ours is known"), MUST, _suppliers),
    "ledger": (_("The books add up"), MUST, _ledger),
    "numbers": (_("Serial numbers have no gap"), MUST, _gaps),
    "charging": (_("No session of the month is still charging"), SHOULD, _charging),
    "unrecorded": (_("Every session at a network has its record"), SHOULD, _unrecorded),
    "unpriced": (_("Every session has a price"), SHOULD, _unpriced),
    "uncaptured": (_("Every price is in the ledger"), SHOULD, _uncaptured),
    "unjudged": (_("Every session is checked against its evidence"), SHOULD, _unjudged),
    "exceptions": (_("No exception is open"), SHOULD, _exceptions),
    "addresses": (_("Registrations have the address that an e-invoice needs"), SHOULD, _incomplete),
    "held": (_("Sessions blocked by their evidence stay off the invoices"), KNOW, _held),
    "unregistered": (_("Fleets without a GSTIN get an invoice as consumers"), KNOW, _unregistered),
    "vouchers": (_("Advances without a receipt voucher get one now"), KNOW, _vouchers),
    "disputed": (_("Networks ask another price"), KNOW, _disputed),
    "irn": (_("E-invoices not registered after 20 days"), KNOW, _irns),
}
