"""A rated CDR is final: what we learn afterwards is priced by the same tariff and posted as a difference."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F, Sum

from billing.approvals.models import Approval
from billing.limits import correcting, using
from billing.models import CDR, BillingException, CDRAdjustment, ChargingSession
from billing.prices.models import AllowanceUse
from billing.rating import Rating
from billing.services import price_checks, rating, wallets
from billing.services.exceptions import open_exception
from billing.services.gst_rates import percent_at
from billing.services.wallets import Charge
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Source

CHARGE_BACK = "charge_back"
HEADS = ("taxable_paise", "cgst_paise", "sgst_paise", "igst_paise")


@dataclass(frozen=True)
class Figures:
    """What a CDR says of a session."""

    started_at: datetime
    ended_at: datetime
    energy_wh: int
    charging_seconds: int
    idle_seconds: int


def figures_of(cdr: CDR) -> Figures:
    """The figures now in force: the newest adjustment's, else the record's own."""
    newest = cdr.adjustments.order_by("-number").first() or cdr
    return Figures(*(getattr(newest, field.name) for field in dataclasses.fields(Figures)))


@transaction.atomic
def adjust(*, cdr: CDR, figures: Figures, reason: str, now: datetime) -> CDRAdjustment | None:
    """Post the difference between what was booked and what these figures cost; None when they are in force already.

    The caller holds the lock of the CDR's row, which must be rated. A tariff that cannot price the new figures opens
    an exception with both, and books nothing.
    """
    if figures == figures_of(cdr) or is_charged_back(cdr.session):
        return None
    rated = rating.rate_cdr(_as_if(cdr, figures))
    if rated is None:
        _report(cdr, figures, reason, now)
        return None
    return _book(cdr, figures, rated, reason, now)


@transaction.atomic
def adjust_included(*, cdr_id: int, now: datetime) -> CDRAdjustment | None:
    """Another part of the session is included than when it was priced: book the difference."""
    cdr = locked(cdr_id)
    if is_charged_back(cdr.session):
        return None
    figures = figures_of(cdr)
    rated = rating.rate_cdr(_as_if(cdr, figures))
    reason = "Included energy is used in the order of sessions"
    if rated is None:
        _report(cdr, figures, reason, now)
        return None
    return _book(cdr, figures, rated, reason, now)


def locked(cdr_id: int) -> CDR:
    """The record with all that pricing reads, its row locked."""
    related = CDR.objects.select_related(
        "organisation", "tariff", "plan_version__plan", "session__source", "session__organisation",
        "session__vehicle", "session__driver", "session__connector__evse__location",
    )  # fmt: skip
    return related.select_for_update(of=("self",), no_key=True).get(pk=cdr_id)


def charge_nothing(*, cdr: CDR, reason: str, now: datetime) -> CDRAdjustment:
    """Give back all that is booked, for good: nothing that comes later charges for it again. As `locked`."""
    nothing = Figures(cdr.started_at, cdr.started_at, 0, 0, 0)
    return _book(cdr, nothing, None, f"Not billed: {reason}", now)


def subject_of(session_id: int) -> str:
    """As which a session's charge back is asked for."""
    return f"session:{session_id}"


def is_charged_back(session: ChargingSession) -> bool:
    """Was all that was charged for it given back for good?"""
    done = Approval.objects.filter(state__in=[Approval.State.APPROVED, Approval.State.FREE], kind=CHARGE_BACK)
    return done.filter(organisation=session.organisation_id, subject=subject_of(session.pk)).exists()


def book_record(*, cdr: CDR, told: RoamingCDR, figures: Figures, now: datetime) -> CDRAdjustment | None:
    """Book a network's fresh record after its credit, priced by the tariff that it names, and compare it.

    The caller holds the lock of the CDR's row. None: it cannot be priced, and finance sees why.
    """
    as_if = _as_if(cdr, figures)
    as_if.roaming_cdr, as_if.tariff = told, price_checks.tariff_named(told)
    rated = rating.rate_cdr(as_if)
    if rated is None:
        _report(cdr, figures, f"fresh record {told.key}", now)
        return None
    adjustment = _book(cdr, figures, rated, f"Fresh record {told.key}", now, told)
    price_checks.check(cdr=cdr, told=told, rated=rated, tariff=as_if.tariff, now=now)
    return adjustment


def _book(
    cdr: CDR, figures: Figures, rated: Rating | None, reason: str, now: datetime, told: RoamingCDR | None = None
) -> CDRAdjustment:
    """`rated` None: it costs nothing."""
    correcting.lock(session_id=cdr.session_id)  # what its limits count of it, before anything changes
    before, more_wh = booked(cdr), figures.energy_wh - figures_of(cdr).energy_wh
    differences = {name: value - before[name] for name, value in _heads(rated).items()}
    tax_paise = sum(differences[name] for name in HEADS[1:])
    adjustment = CDRAdjustment.objects.create(
        cdr=cdr,
        number=cdr.adjustments.count() + 1,
        roaming_cdr=told,
        **dataclasses.asdict(figures),
        **differences,
        tax_paise=tax_paise,
        total_paise=differences["taxable_paise"] + tax_paise,
        explanation=rating.explain(rated, gst_percent=percent_at(figures.started_at)) if rated else [],
        reason=reason[:200],
        created_at=now,
    )
    _post(cdr, adjustment, differences, more_wh, now)
    ChargingSession.objects.filter(pk=cdr.session_id).update(
        adjusted_paise=F("adjusted_paise") + adjustment.total_paise
    )
    return adjustment


def _as_if(cdr: CDR, figures: Figures) -> CDR:
    """The record as it would be written today, by the tariff it is pinned to; never saved."""
    return CDR(
        organisation=cdr.organisation, session=cdr.session, tariff=cdr.tariff, currency=cdr.currency,
        negotiated_rate=cdr.negotiated_rate, plan_version=cdr.plan_version, included_wh=included_wh(cdr),
        rated_at=cdr.rated_at, **dataclasses.asdict(figures),
    )  # fmt: skip


def included_wh(cdr: CDR) -> int:
    """What of it is included in a subscription by now; the record says what was when it was priced."""
    use = AllowanceUse.objects.filter(cdr=cdr.pk).first() if cdr.plan_version_id else None
    return use.wh if use else cdr.included_wh


def _heads(rated: Rating | None) -> dict[str, int]:
    if rated is None:
        return dict.fromkeys(HEADS, 0)
    tax = rated.tax
    return dict(zip(HEADS, (rated.taxable_paise, tax.cgst_paise, tax.sgst_paise, tax.igst_paise), strict=True))


def booked(cdr: CDR) -> dict[str, int]:
    """What is in the books for it now: the record and every adjustment, by head."""
    sums = cdr.adjustments.aggregate(**{name: Sum(name) for name in HEADS})
    return {name: (getattr(cdr, name) or 0) + (sums[name] or 0) for name in HEADS}


def count_energy(cdr: CDR, more_wh: int) -> None:
    """On its limits, where no money moves that they would count it with."""
    if more_wh:
        using.spend(correcting.lock(session_id=cdr.session_id), paise=0, wh=more_wh)


def _post(cdr: CDR, adjustment: CDRAdjustment, differences: dict[str, int], more_wh: int, now: datetime) -> None:
    """More goes through the wallet like a charge, less comes back to it; each head on its own account.

    Limits count the energy with the first of them.
    """
    session, key = cdr.session, entry_key(cdr, adjustment.number)
    parts = _parts(session, differences)
    memo = f"Session {session.transaction_ref}, corrected"
    about = rating.dimensions_of(session)
    if more := [Charge(account, amount, "adjustment", memo) for account, amount in parts if amount > 0]:
        wallets.capture(
            organisation_id=cdr.organisation_id, session_key=key, entry_key=key, charges=more,  # no hold pays it
            about=about, at=adjustment.ended_at, now=now, currency=cdr.currency, energy_wh=more_wh,
        )  # fmt: skip
        more_wh = 0
    if less := [(account, -amount) for account, amount in parts if amount < 0]:
        wallets.refund(
            organisation_id=cdr.organisation_id, entry_key=f"{key}:refund", refunds=less, memo=memo, about=about,
            at=now, currency=cdr.currency, energy_wh=-more_wh,
        )  # fmt: skip
        more_wh = 0
    count_energy(cdr, more_wh)


def entry_key(cdr: CDR, number: int) -> str:
    """Under which an adjustment stands in the ledger."""
    return f"adjust:{cdr.session_id}:{number}"


def _parts(session: ChargingSession, differences: dict[str, int]) -> list[tuple[str, int]]:
    if session.source.kind != Source.Kind.OWN_OCPP:
        return [(f"cpo_payable:{session.source.slug}", sum(differences.values()))]
    accounts = ("revenue:charging", "output_cgst", "output_sgst", "output_igst")
    return list(zip(accounts, differences.values(), strict=True))


def _report(cdr: CDR, figures: Figures, reason: str, now: datetime) -> None:
    known = figures_of(cdr)
    open_exception(
        organisation_id=cdr.organisation_id,
        kind=BillingException.Kind.NOT_ADJUSTED,
        session_id=cdr.session_id,
        title="A late correction cannot be priced by the session's tariff",
        details={
            "reason": reason,
            "booked": {"energy_wh": known.energy_wh, "ended_at": known.ended_at.isoformat()},
            "corrected": {"energy_wh": figures.energy_wh, "ended_at": figures.ended_at.isoformat()},
        },
        at=now,
    )
