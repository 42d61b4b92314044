"""A network takes a record back with a credit CDR, and may send a fresh one: both go into the books by themselves.

OCPI 2.2.1 mod_cdrs, Credit CDRs: a new id, `credit_reference_id`, all data equal, only total_cost negative.
"""

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import F

from billing.limits import correcting
from billing.models import CDR, BillingException, CDRAdjustment, ChargingSession
from billing.services import adjustments, price_checks, rating, wallets
from billing.services.adjustments import Figures
from billing.services.exceptions import withdraw, withdraw_one
from stations.cpo.ocpi.models import RoamingCDR

SETTLED = "It could be booked by itself after all."
EXACT = Decimal("0.01")
OF_ITS_PRICE = (BillingException.Kind.ODD_METER, BillingException.Kind.MISSING_TARIFF)


def is_taken(told: RoamingCDR) -> bool:
    return CDRAdjustment.objects.filter(roaming_cdr=told).exists()


def record_of(told: RoamingCDR) -> RoamingCDR | None:
    """What a credit takes back."""
    key = f"{told.country_code}*{told.party_id}*{told.credit_reference}".lower()
    return RoamingCDR.objects.filter(source_id=told.source_id, key__lower=key, is_credit=False).first()


@transaction.atomic
def give_back(*, told: RoamingCDR, now: datetime) -> bool:
    """Reverse what was booked for the record that this credit names; False when a person must look. May run twice.

    Sure enough: the credit is exactly what that record asked, and the record is the one in force.
    """
    record = record_of(told)
    cdr = None if record is None else _billed(record)
    if cdr is None or record is None or is_taken(told):
        return cdr is not None and is_taken(told)
    if not _is_exact(told, record) or _in_force(cdr) != record:
        return False
    if cdr.captured_at is None and not _finish(cdr, now):
        return False
    correcting.lock(session_id=cdr.session_id)  # what its limits count of it, before anything changes
    given_back_wh = adjustments.figures_of(cdr).energy_wh
    number = cdr.adjustments.count() + 1
    key = adjustments.entry_key(cdr, number)
    booked = adjustments.booked(cdr)
    CDRAdjustment.objects.create(
        cdr=cdr, number=number, roaming_cdr=told, started_at=told.started_at, ended_at=told.started_at, energy_wh=0,
        charging_seconds=0, idle_seconds=0, **{name: -paise for name, paise in booked.items()},
        tax_paise=-sum(booked[name] for name in adjustments.HEADS[1:]), total_paise=-sum(booked.values()),
        reason=f"Credit {told.key}", created_at=now,
    )  # fmt: skip
    if sum(booked.values()):
        wallets.take_back(
            organisation_id=cdr.organisation_id, entry_key=_posting(cdr, record), as_key=key,
            reason=f"Credit {told.key}", at=now, energy_wh=given_back_wh,
        )  # fmt: skip
    else:
        adjustments.count_energy(cdr, -given_back_wh)
    _move_total(cdr, -sum(booked.values()))
    price_checks.end_dispute(told=record, now=now)
    settle_questions(told, now)
    _judge_again(cdr.session_id)
    return True


@transaction.atomic
def bill_afresh(*, told: RoamingCDR, session: ChargingSession, now: datetime) -> bool:
    """Book the record that follows a credit; False when none was given, or it cannot be priced. May run twice."""
    cdr = CDR.objects.select_for_update(of=("self",)).filter(session=session).first()
    if cdr is None or is_taken(told):
        return is_taken(told)
    newest = cdr.adjustments.select_related("roaming_cdr").order_by("-number").first()
    if newest is None or newest.roaming_cdr is None or not newest.roaming_cdr.is_credit:
        return False
    adjustment = adjustments.book_record(cdr=cdr, told=told, figures=_figures(told), now=now)
    if adjustment is not None:
        settle_questions(told, now)
        _judge_again(session.pk)
    return adjustment is not None


def _billed(record: RoamingCDR) -> CDR | None:
    """The CDR of ours that this record made, at once or after a credit; locked."""
    cdrs = CDR.objects.select_for_update(of=("self",))
    return cdrs.filter(roaming_cdr=record).first() or cdrs.filter(adjustments__roaming_cdr=record).first()


def _in_force(cdr: CDR) -> RoamingCDR | None:
    newest = cdr.adjustments.select_related("roaming_cdr").order_by("-number").first()
    if newest is None:
        return cdr.roaming_cdr
    return None if newest.roaming_cdr is None or newest.roaming_cdr.is_credit else newest.roaming_cdr


def _is_exact(credit: RoamingCDR, record: RoamingCDR) -> bool:
    """The total taken back is the total that was asked; of the others only the energy says which session it was."""
    mine, theirs = credit.total_before_taxes, record.total_before_taxes
    if mine is None or theirs is None:
        mine, theirs = credit.total_after_taxes, record.total_after_taxes
    if mine is None or theirs is None or credit.currency != record.currency:
        return False
    return abs(mine + theirs) <= EXACT and credit.energy_wh == record.energy_wh


def _finish(cdr: CDR, now: datetime) -> bool:
    """Charge what was not charged yet; of what a person must look at first nothing is charged at all."""
    if not cdr.is_blocked:
        rating.rate_and_capture(cdr_id=cdr.pk, now=now)
        cdr.refresh_from_db()
    if cdr.is_blocked and cdr.rated_at is None:
        _charge_nothing(cdr, now)
    return cdr.captured_at is not None


def _charge_nothing(cdr: CDR, now: datetime) -> None:
    """It is gone before it cost anything: an empty record stays, for a fresh one to be booked on."""
    nothing = dict.fromkeys(("energy_wh", "charging_seconds", "idle_seconds", "included_wh"), 0)
    nothing |= dict.fromkeys((*adjustments.HEADS, "tax_paise", "total_paise"), 0)
    for name, value in {**nothing, "is_blocked": False, "rated_at": now, "captured_at": now}.items():
        setattr(cdr, name, value)
    cdr.save()
    wallets.release(session_key=wallets.hold_key(cdr.session_id), now=now)
    withdraw(session_id=cdr.session_id, kinds=OF_ITS_PRICE, at=now)


def _posting(cdr: CDR, record: RoamingCDR) -> str:
    """The entry by which the record was charged."""
    made = cdr.adjustments.filter(roaming_cdr=record).first()
    return adjustments.entry_key(cdr, made.number) if made else f"charge:{cdr.session_id}"


def _figures(told: RoamingCDR) -> Figures:
    ended_at = max(told.ended_at or told.source_updated_at, told.started_at)
    charging = max(0, told.total_seconds - told.parking_seconds)
    return Figures(told.started_at, ended_at, told.energy_wh, charging, told.parking_seconds)


def _move_total(cdr: CDR, paise: int) -> None:
    ChargingSession.objects.filter(pk=cdr.session_id).update(adjusted_paise=F("adjusted_paise") + paise)


def _judge_again(session_id: int) -> None:
    """What was known of the record that is gone says nothing of the one in force."""
    ChargingSession.objects.filter(pk=session_id).update(reconciled_at=None)


def settle_questions(told: RoamingCDR, now: datetime) -> None:
    """It is in the books now: nobody has to decide about it any more."""
    questions = BillingException.objects.open().filter(
        kind=BillingException.Kind.CPO_CORRECTION, reference=f"cdr:{told.pk}"
    )
    for question in questions:
        withdraw_one(question, resolution=SETTLED, at=now)
