"""Every record of a network priced again by its own tariff; what differs goes to finance, with all the reasons."""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum

from billing.models import CDR, BillingException, ChargingSession, PriceCheck
from billing.price_check import Figures, compare
from billing.rating import Rating, TariffError
from billing.services import rating, tariffs
from billing.services.exceptions import open_exception, withdraw_one
from billing.services.gst_rates import percent_at
from stations.cpo.ocpi.models import RoamingCDR
from stations.cpo.ubc.models import UBCCarry
from stations.models import Tariff
from stations.services.roaming import digest

Kind, State = BillingException.Kind, PriceCheck.State
TAKEN_BACK = "The network took its record back."


@transaction.atomic
def check(*, cdr: CDR, told: RoamingCDR, rated: Rating, tariff: Tariff | None, now: datetime) -> PriceCheck | None:
    """Compare once; beyond tolerance finance is asked. None: the network told no price, or another currency."""
    known = PriceCheck.objects.filter(roaming_cdr=told).first()
    theirs = _theirs(told)
    if known or told.currency != cdr.currency or theirs == Figures(None, None):
        return known
    lines = rating.explain(rated, gst_percent=percent_at(cdr.started_at))
    ours = Figures(rated.taxable_paise, rated.total_paise)
    if theirs.after == theirs.before and all(line.vat_percent is None for line in rated.lines):
        theirs = Figures(theirs.before, None)  # neither the record nor its tariff speaks of tax
    comparison = compare(
        ours=ours, theirs=theirs, our_lines=lines, their_parts=_parts(told), problems=_problems(told),
        tariff_problem=_tariff_problem(cdr, told, tariff),
    )  # fmt: skip
    row = PriceCheck.objects.create(
        organisation_id=cdr.organisation_id, session_id=cdr.session_id, roaming_cdr=told, tariff=tariff,
        state=State.DIFFERS if comparison.is_disputed else State.AGREES, currency=cdr.currency,
        ours_before_paise=rated.taxable_paise, ours_after_paise=rated.total_paise, theirs_before_paise=theirs.before,
        theirs_after_paise=theirs.after, difference_paise=comparison.difference, findings=comparison.findings,
        explanation=lines, checked_at=now,
    )  # fmt: skip
    if comparison.is_disputed:
        _ask(row, told, now)
    return row


@transaction.atomic
def end_dispute(*, told: RoamingCDR, now: datetime) -> None:
    """The network took the record back: nobody has to argue about it any more."""
    disputed = PriceCheck.objects.filter(roaming_cdr=told, state=State.DIFFERS)
    sessions = list(disputed.values_list("session_id", flat=True))
    disputed.update(state=State.TAKEN_BACK)
    ChargingSession.objects.filter(pk__in=sessions).update(reconciled_at=None)  # judged again without it
    for question in BillingException.objects.open().filter(kind=Kind.CPO_PRICE, reference=_reference(told)):
        withdraw_one(question, resolution=TAKEN_BACK, at=now)


def _ask(row: PriceCheck, told: RoamingCDR, now: datetime) -> None:
    open_exception(
        organisation_id=row.organisation_id, kind=Kind.CPO_PRICE, session_id=row.session_id,
        reference=_reference(told), title="The network asks another price than its tariff gives",
        amount_paise=row.difference_paise, at=now,
        details={"price_check": row.pk, "ours_paise": row.ours_after_paise, "theirs_paise": row.theirs_after_paise,
                 "ours_before_paise": row.ours_before_paise, "theirs_before_paise": row.theirs_before_paise,
                 "cdr": told.key, "findings": row.findings},
    )  # fmt: skip


def _reference(told: RoamingCDR) -> str:
    return f"price:{told.pk}"


# --- what the network says --------------------------------------------------------------------------------------
def _theirs(told: RoamingCDR) -> Figures:
    """Without what it only carries forward from earlier orders: that is no price of this session."""
    carried = _carried_paise(told)
    before = _paise(told.total_before_taxes)
    after = _paise(told.total_after_taxes)
    return Figures(None if before is None else before - carried, None if after is None else after - carried)


def _carried_paise(told: RoamingCDR) -> int:
    if not told.session_ref or "components" not in told.costs:
        return 0
    fees = UBCCarry.objects.filter(
        charged_in__transaction_id=told.session_ref, charged_in__network__source_id=told.source_id
    )
    return int(fees.aggregate(total=Sum("amount_paise"))["total"] or 0)


def _parts(told: RoamingCDR) -> dict[str, int]:
    found = {
        name: _paise(Decimal(str(cost["before_taxes"])))
        for name, cost in told.costs.items()
        if isinstance(cost, dict) and cost.get("before_taxes") is not None
    }
    return {name: paise for name, paise in found.items() if paise is not None}


def _problems(told: RoamingCDR) -> list[str]:
    try:
        return rating.told_periods(told).problems if told.periods else []
    except TariffError as error:
        return [str(error)]


def _tariff_problem(cdr: CDR, told: RoamingCDR, used: Tariff | None) -> str:
    """The record names prices that the network never told us, or others than were in force at the start."""
    if told.tariffs and tariff_named(told) is None:
        return "It names a tariff that the network never told us in these words"
    in_force = tariffs.tariff_for(connector=cdr.session.connector, at=told.started_at)
    if used is not None and in_force is not None and used.pk != in_force.pk:
        return f"It is priced by {used}; in force at the start was {in_force}"
    return ""


def tariff_named(told: RoamingCDR) -> Tariff | None:
    """The version of ours that the CDR prices by, word for word; None lets rating find what was in force then."""
    for named in told.tariffs:
        versions = Tariff.objects.filter(source_id=told.source_id, external_id__lower=str(named.get("id", "")).lower())
        for version in versions.order_by("-version"):
            if _same_prices(version.elements, named.get("elements")):
                return version
    return None


def _same_prices(ours: Any, theirs: Any) -> bool:
    """Ours keep prices as text."""
    return digest(_numbers(ours)) == digest(_numbers(theirs))


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: float(item) if name == "price" else _numbers(item) for name, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, list) else value


def _paise(amount: Decimal | None) -> int | None:
    return None if amount is None else int((amount * 100).to_integral_value(ROUND_HALF_UP))
