"""Settlements whose part in suspense nobody explains any more: booked before rows said what of them lies there (0053).

What each row has there still, and what left it since, is known; the rest is what a row had that is known by now, and
stands on clearing a second time. Two operators take it out, to the paisa.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, F, When
from django.utils.translation import gettext_lazy as _

from billing.approvals import services as approvals
from billing.approvals.models import Approval
from billing.models import GatewayPayment, Settlement, SettlementRow
from billing.payments.applying import CLEARING
from billing.services import ledger
from billing.services.ledger import Leg
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

KIND = "settlement_mend"
# of settlements that ever had something in suspense; one that got rows after it was booked is asked about as such
_UNEXPLAINED = """
WITH suspense AS (SELECT id FROM billing_ledgeraccount WHERE code = 'suspense'),
booked AS (
    SELECT s.id, s.settlement_id, s.amount_paise,
           sum(CASE WHEN t.credit_id = suspense.id THEN t.amount_paise ELSE -t.amount_paise END) AS paise
    FROM suspense JOIN billing_ledgertransfer t ON t.credit_id = suspense.id OR t.debit_id = suspense.id
    JOIN billing_settlement s ON s.settlement_id = split_part(t.entry_key, ':', 2)
    WHERE t.entry_key LIKE 'settlement:%%' OR t.entry_key LIKE 'settlement-mend:%%'
    GROUP BY s.id
)
SELECT b.id, b.settlement_id, (b.paise - r.there - r.gone)::bigint FROM booked b CROSS JOIN LATERAL (
    SELECT sum(row.credit_paise - row.debit_paise) AS net,
           sum(CASE WHEN row.suspense_paise <> 0 OR row.outcome <> 'unknown_to_us' THEN row.suspense_paise
                    WHEN row.credit_paise > 0 THEN row.amount_paise ELSE -row.debit_paise END) AS there,
           sum(COALESCE((
               SELECT sum(CASE WHEN t.debit_id = suspense.id THEN t.amount_paise ELSE -t.amount_paise END)
               FROM suspense JOIN billing_ledgertransfer t ON suspense.id IN (t.debit_id, t.credit_id)
               WHERE t.entry_key = 'settlement-row:' || row.kind || ':' || row.entity_id), 0)) AS gone
    FROM billing_settlementrow row WHERE row.settlement_id = b.id
) r
WHERE r.net = b.amount_paise AND b.paise <> r.there + r.gone AND (%(only)s::bigint IS NULL OR b.id = %(only)s)
ORDER BY b.id LIMIT %(limit)s
"""


@dataclass(frozen=True)
class Unexplained:
    """`paise` lie in suspense (below zero: are missing there) and are nobody's any more."""

    settlement_pk: int
    settlement_id: str
    paise: int


def unexplained(*, limit: int, only: int | None = None) -> Iterator[Unexplained]:
    with connection.cursor() as cursor:
        cursor.execute(_UNEXPLAINED, {"limit": limit, "only": only})
        yield from (Unexplained(*row) for row in cursor.fetchall())


def ask_to_mend(*, settlement_id: str, asked_by: User, reason: str, now: datetime) -> Approval:
    """Take it out of suspense; another operator has to agree. Raises Conflict when all is explained by now."""
    settlement = Settlement.objects.get(settlement_id=settlement_id)
    found = _of(settlement.pk)
    return approvals.ask(
        kind=KIND, organisation_id=_fleet_of(settlement), subject=f"settlement:{settlement_id}", asked_by=asked_by,
        title=f"Take {format_inr(found.paise)} of settlement {settlement_id} out of suspense", reason=reason, now=now,
        amount_paise=abs(found.paise), may_be_free=False, facts={
            "settlement": settlement.pk, "before": {"suspense_paise": found.paise}, "after": {"suspense_paise": 0},
        },
    )  # fmt: skip


def _of(settlement_pk: int) -> Unexplained:
    found = next(unexplained(limit=1, only=settlement_pk), None)
    if found is None:
        raise Conflict("All that it has in suspense is explained by now.", code="explained")
    return found


def _fleet_of(settlement: Settlement) -> int:
    """A wish is kept with a fleet, though only operators see this kind: one whose payment is in it."""
    payments = GatewayPayment.objects.filter(payment_id__in=settlement.rows.values("payment_id"))
    fleet = payments.exclude(organisation=None).order_by("pk").values_list("organisation", flat=True).first()
    if fleet is None:
        raise Conflict("No payment in it belongs to a fleet: give them to theirs first.", code="nobodys")
    return int(fleet)


def _mend(approval: Approval, decided_by: User, now: datetime) -> str:
    settlement = Settlement.objects.select_for_update().get(pk=approval.facts["settlement"])
    found = _of(settlement.pk)
    if found.paise != approval.facts["before"]["suspense_paise"]:
        raise Conflict("It is another amount by now.", code="changed_meanwhile")
    unknown = settlement.rows.filter(outcome=SettlementRow.Outcome.UNKNOWN, suspense_paise=0)
    unknown.update(suspense_paise=Case(When(credit_paise__gt=0, then=F("amount_paise")), default=-F("debit_paise")))
    sides = ("suspense", CLEARING) if found.paise > 0 else (CLEARING, "suspense")
    key = f"settlement-mend:{settlement.settlement_id}"
    ledger.post(
        entry_key=key, legs=[Leg(*sides, abs(found.paise), "settlement", approval.reason[:200])], occurred_at=now,
        actor=str(decided_by),
    )  # fmt: skip
    return key


def _shown(approval: Approval) -> list[tuple[Any, str, str]]:
    paise = approval.facts["before"]["suspense_paise"]
    return [(_("In suspense, explained by nothing"), format_inr(paise), format_inr(0))]


approvals.register(approvals.Kind(KIND, _("Settlement in suspense"), _mend, is_ours=True, shown=_shown))
