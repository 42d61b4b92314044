"""A bill divided, version by version: the same evidence and rules are the same version."""

import hashlib
import json
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from billing.models import BillingException
from billing.services import exceptions
from billing.utility import allocation
from billing.utility.allocation import Charge, Part, Result, Rules
from billing.utility.clock import slots_of
from billing.utility.evidence import Evidence, gather
from billing.utility.models import UtilityAllocation, UtilityBill, UtilityShare
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

RULESET = "2026-11"
TOO_MUCH_PERMILLE = -20  # the chargers measured more than the utility: one of the meters is wrong
SETTLED = "Divided again: the loss is within its limit."


@transaction.atomic
def divide(*, bill_id: int, actor: User | None, now: datetime) -> tuple[UtilityAllocation, bool]:
    """The version that holds now, and whether it is new: also without news when the last one was taken back.

    Raises Conflict for a withdrawn bill or a period that is not over.
    """
    bill = UtilityBill.objects.select_for_update(of=("self",)).select_related("supply__location", "organisation").get(
        pk=bill_id
    )  # fmt: skip
    if bill.withdrawn_at is not None:
        raise Conflict("This bill is withdrawn.", code="bill_withdrawn")
    evidence = gather(bill)
    if evidence.grid.ended_at > now:
        raise Conflict("The period of this bill is not over yet.", code="period_not_over")
    supply = bill.supply
    rules = Rules(supply.demand_rule, supply.losses_rule, supply.fixed_rule)
    charges = [Charge(row.kind, row.amount_paise, row.slot, row.energy_wh) for row in bill.charges.all()]
    told = {"ruleset": RULESET, "demand": rules.demand, "losses": rules.losses, "fixed": rules.fixed,
            "block_minutes": evidence.grid.minutes, "slots": bill.slots}  # fmt: skip
    fingerprint = _hash(told, charges, evidence)
    last = bill.allocations.order_by("-version").first()
    if last is not None and last.input_hash == fingerprint and last.reversed_at is None:
        return last, False
    grid = evidence.grid
    result = allocation.allocate(
        charges=charges, uses=evidence.uses, slots=grid.slot_names(slots_of(bill.slots)),
        days=[grid.day_of(block) for block in range(grid.count)], meter=evidence.meter, rules=rules,
    )  # fmt: skip
    row = _keep(bill, result, evidence, told, fingerprint, str(actor) if actor else "system", now)
    audit(
        action="divide_utility_bill", target=row, actor=actor, organisation=bill.organisation,
        after={"version": row.version, "total_paise": row.total_paise},
    )  # fmt: skip
    _watch_the_loss(bill, result, now)
    return row, True


def _keep(
    bill: UtilityBill, result: Result, evidence: Evidence, told: dict[str, Any], fingerprint: str, actor: str,
    now: datetime,
) -> UtilityAllocation:  # fmt: skip
    if result.total != bill.charges_paise:
        raise ArithmeticError(f"{result.total} was divided of {bill.charges_paise}")
    version = (bill.allocations.aggregate(last=Max("version"))["last"] or 0) + 1
    row = UtilityAllocation.objects.create(
        organisation_id=bill.organisation_id, bill=bill, version=version, rules=told, input_hash=fingerprint,
        figures=_figures(result, evidence), total_paise=result.total, made_by=actor, made_at=now,
    )  # fmt: skip
    sessions = {session.pk: session for session in evidence.sessions}
    shares = [_share(row, bill, part, sessions.get(part.session_id or 0)) for part in (*result.parts, result.depot)]
    UtilityShare.objects.bulk_create(shares, batch_size=1_000)
    return row


def _share(row: UtilityAllocation, bill: UtilityBill, part: Part, session: Any) -> UtilityShare:
    vehicle = session.vehicle if session is not None and part.vehicle is not None else None
    return UtilityShare(
        allocation=row, session=session, vehicle=vehicle,
        is_guest=session is not None and session.organisation_id != bill.organisation_id,
        cost_centre=vehicle.cost_centre if vehicle else "", energy_wh=part.energy_wh, peak_wh=part.peak_wh,
        energy_paise=part.energy, losses_paise=part.losses, demand_paise=part.demand, fixed_paise=part.fixed,
        other_paise=part.other, total_paise=part.total,
    )  # fmt: skip


def _figures(result: Result, evidence: Evidence) -> dict[str, Any]:
    minutes = evidence.grid.minutes
    return {
        "metered_wh": result.metered_wh, "sessions_wh": result.sessions_wh, "loss_wh": result.loss_wh,
        "loss_permille": result.loss_permille, "sessions": len(evidence.sessions), "peak_wh": result.peak_wh,
        "peak_w": result.peak_wh * 60 // minutes, "block_minutes": minutes,
        "peak_blocks": [evidence.grid.start_of(block).isoformat() for block in result.peak_blocks[:20]],
        "has_readings": bool(evidence.meter),
    }  # fmt: skip


def _watch_the_loss(bill: UtilityBill, result: Result, now: datetime) -> None:
    """Finance hears of a depot that loses more than it may, or that sold more than it bought."""
    permille, reference = result.loss_permille, f"utility-bill:{bill.pk}"
    if permille is None or TOO_MUCH_PERMILLE <= permille <= bill.supply.loss_alarm_percent * 10:
        open_ones = BillingException.objects.open().filter(
            organisation_id=bill.organisation_id, kind=BillingException.Kind.UTILITY_LOSS, reference=reference
        )
        for exception in open_ones:
            exceptions.withdraw_one(exception, resolution=SETTLED, at=now)
        return
    title = f"{bill.supply.location} lost {permille / 10:.1f} % of its electricity"
    if permille < 0:
        title = f"{bill.supply.location}: the chargers measured more than the utility"
    exceptions.open_exception(
        organisation_id=bill.organisation_id, kind=BillingException.Kind.UTILITY_LOSS, reference=reference,
        title=title, at=now, details={"bill": bill.number, "loss_wh": result.loss_wh, "loss_permille": permille},
        amount_paise=sum(part.losses for part in (*result.parts, result.depot)),
    )  # fmt: skip


def _hash(told: dict[str, Any], charges: list[Charge], evidence: Evidence) -> str:
    """Of everything the division depends on."""
    content = [
        told, [[c.kind, c.amount_paise, c.slot, c.energy_wh] for c in charges],
        [[use.session_id, use.vehicle, sorted(use.blocks.items())] for use in evidence.uses],
        [[s.pk, s.organisation_id, s.vehicle.cost_centre if s.vehicle else ""] for s in evidence.sessions],
        sorted(evidence.meter.items()),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
