"""Bills are kept as they came, each once; a wrong one is withdrawn, never edited."""

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.utility.clock import slots_of
from billing.utility.facts import BillFacts, ChargeFacts, flaws
from billing.utility.models import UtilityAllocation, UtilityBill, UtilityCharge, UtilitySupply
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict


@transaction.atomic
def record_bill(
    *, supply_id: int, facts: BillFacts, origin: str, actor: User | None, now: datetime
) -> tuple[UtilityBill, bool]:
    """The bill and whether it is new; the same one again is the one we have.

    Raises BadBill for what cannot be, Conflict for the same number with other content or an overlapping period.
    """
    supply = UtilitySupply.objects.select_related("organisation").get(pk=supply_id)
    slots = slots_of(supply.slots)
    for flaw in flaws(facts, [slot.name for slot in slots]):
        raise flaw
    known = UtilityBill.objects.filter(supply=supply, number=facts.number, withdrawn_at=None).first()
    if known is not None:
        if facts_of(known) != facts:
            raise Conflict(f"{facts.number} is there already, with other content.", code="bill_differs")
        return known, False
    try:
        with transaction.atomic():
            bill = _create(supply, facts, origin, str(actor) if actor else "system", now)
    except IntegrityError as error:
        raise Conflict("Another bill covers a part of this period.", code="bill_overlaps") from error
    audit(
        action="record_utility_bill", target=bill, actor=actor, organisation=supply.organisation,
        after={"number": bill.number, "charges_paise": bill.charges_paise, "origin": origin},
    )  # fmt: skip
    return bill, True


def _create(supply: UtilitySupply, facts: BillFacts, origin: str, actor: str, now: datetime) -> UtilityBill:
    bill = UtilityBill.objects.create(
        organisation_id=supply.organisation_id, supply=supply, number=facts.number, starts_on=facts.starts_on,
        ends_on=facts.ends_on, due_on=facts.due_on, recorded_va=facts.recorded_va, billing_va=facts.billing_va,
        charges_paise=facts.charges_paise, arrears_paise=facts.arrears_paise, slots=supply.slots, origin=origin,
        created_by=actor, created_at=now,
    )  # fmt: skip
    UtilityCharge.objects.bulk_create(
        UtilityCharge(
            bill=bill, position=position, kind=charge.kind, slot=charge.slot, energy_wh=charge.energy_wh,
            apparent_vah=charge.apparent_vah, amount_paise=charge.amount_paise,
        )
        for position, charge in enumerate(facts.charges, start=1)
    )  # fmt: skip
    return bill


def facts_of(bill: UtilityBill) -> BillFacts:
    """One query."""
    charges = tuple(
        ChargeFacts(row.kind, row.amount_paise, row.slot, row.energy_wh, row.apparent_vah) for row in bill.charges.all()
    )
    return BillFacts(
        bill.number, bill.starts_on, bill.ends_on, charges, bill.due_on, bill.recorded_va, bill.billing_va
    )  # fmt: skip


@transaction.atomic
def withdraw_bill(*, bill_id: int, actor: User, reason: str, now: datetime) -> UtilityBill:
    """Raises ValueError without a reason, Conflict when it is withdrawn already or its division is in the ledger."""
    if not reason.strip():
        raise ValueError("Withdrawing a bill needs a reason.")
    bill: UtilityBill = (
        UtilityBill.objects.select_for_update(of=("self",)).select_related("organisation").get(pk=bill_id)
    )
    if bill.withdrawn_at is not None:
        raise Conflict("This bill is withdrawn already.", code="already_withdrawn")
    if UtilityAllocation.objects.filter(bill=bill, posted_at__isnull=False, reversed_at=None).exists():
        raise Conflict("Its division is in the ledger: take it back first.", code="bill_posted")
    bill.withdrawn_at, bill.withdrawn_because = now, reason[:500]
    bill.save(update_fields=["withdrawn_at", "withdrawn_because"])
    audit(action="withdraw_utility_bill", target=bill, actor=actor, reason=reason, organisation=bill.organisation)
    return bill
