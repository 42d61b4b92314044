"""Debits of a mandate: one open at a time, told a day ahead, within its amount and what needs no approval."""

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from billing.events import PaymentWorkWaiting
from billing.models import Mandate, PaymentIntent, PaymentRule
from billing.models.payments import OPEN_INTENTS
from billing.payments import debit_times, rules
from billing.payments.intents import new_key
from fleetcharge.accounts.models import User
from fleetcharge.lib.events import publish

Name = PaymentRule.Name


@dataclass(frozen=True)
class Verdict:
    """Whether a debit may begin, how much of it, and when it will be here. `why` is empty for yes.

    not_in_force | resting | too_early | ends_too_soon | debit_open | limit_used | nothing
    """

    why: str
    most_paise: int = 0
    debit_due_at: datetime | None = None
    is_approval_needed: bool = False


def judge(*, mandate: Mandate, now: datetime, amount_paise: int | None = None) -> Verdict:
    """What this mandate can do now. Without `amount_paise`: as much as needs no approval by the payer. Queries."""
    if mandate.state != Mandate.State.CONFIRMED or mandate.cancel_asked_at is not None:
        return Verdict("not_in_force")
    if mandate.rests_since is not None:
        return Verdict("resting")
    if mandate.next_allowed_at is not None and now < mandate.next_allowed_at:
        return Verdict("too_early")
    if mandate.debits.filter(state__in=OPEN_INTENTS).exists():
        return Verdict("debit_open")
    due_at = debit_times.due_at(mandate, now=now)
    if mandate.expires_at <= debit_times.over_at(mandate, now=now):
        return Verdict("ends_too_soon")
    left = _left_paise(mandate)
    free = rules.value_of(Name.AFA_FREE, kind=mandate.kind, on=rules.day_of(due_at))
    most = min(mandate.max_amount_paise, left)
    unapproved = most if free is None else min(most, free)
    wanted = unapproved if amount_paise is None else amount_paise
    if wanted <= 0 or wanted > most:
        return Verdict("limit_used" if left < mandate.max_amount_paise else "nothing", most)
    return Verdict("", unapproved if amount_paise is None else wanted, due_at, wanted > unapproved)


def start(
    *, mandate_id: int, amount_paise: int, now: datetime, asked_by: User | None = None, reason: str = "",
    with_approval: bool = False,
) -> PaymentIntent:  # fmt: skip
    """Write down a debit; it is sent by the worker. Raises ValueError with the code of the verdict, or
    `approval_needed` for one that the payer has to approve, unless that is wanted (`with_approval`).
    """
    try:
        with transaction.atomic():
            mandate = Mandate.objects.select_for_update().get(pk=mandate_id)
            verdict = judge(mandate=mandate, now=now, amount_paise=amount_paise)
            if verdict.why:
                raise ValueError(verdict.why)
            if verdict.is_approval_needed and not with_approval:
                raise ValueError("approval_needed")
            return _write(mandate, verdict, amount_paise, now, asked_by, reason)
    except IntegrityError as error:  # the database has the last word on one open debit
        raise ValueError("debit_open") from error


def _write(
    mandate: Mandate, verdict: Verdict, amount_paise: int, now: datetime, asked_by: User | None, reason: str
) -> PaymentIntent:
    gives_up_at = debit_times.over_at(mandate, now=now) + debit_times.MARGIN
    intent = PaymentIntent.objects.create(
        key=new_key("DB"), organisation_id=mandate.organisation_id, kind=PaymentIntent.Kind.DEBIT, mandate=mandate,
        amount_paise=amount_paise, created_at=now, next_try_at=now, debit_due_at=verdict.debit_due_at,
        expires_at=gives_up_at, asked_by=asked_by, reason=reason[:200],
    )  # fmt: skip
    mandate.last_debit_state = PaymentIntent.State.CREATED
    mandate.next_allowed_at = debit_times.next_allowed_at(mandate, now=now)
    mandate.save(update_fields=["last_debit_state", "next_allowed_at"])
    publish(PaymentWorkWaiting("intent", intent.pk))
    return intent


def _left_paise(mandate: Mandate) -> int:
    if mandate.total_limit_paise is None:
        return mandate.max_amount_paise
    used = mandate.debits.filter(state__in=[*OPEN_INTENTS, PaymentIntent.State.CONFIRMED])
    return max(0, mandate.total_limit_paise - sum(used.values_list("amount_paise", flat=True)))
