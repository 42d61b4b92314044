"""What is to be billed: priced and paid sessions whose evidence does not speak against them."""

from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from billing.invoicing.models import BilledItem
from billing.models import CDR
from billing.reconciliation import deciding, outweighing


def unbilled(*, before: datetime) -> QuerySet[CDR]:
    """Paid records of sessions that ended before, on no document yet; held ones too (`held`)."""
    billed = BilledItem.objects.filter(cdr=OuterRef("pk"), adjustment=None)
    return CDR.objects.filter(~Exists(billed), captured_at__isnull=False, ended_at__lt=before)


def held(cdrs: QuerySet[CDR]) -> QuerySet[CDR]:
    """Blocked by their evidence, or a record in doubt, and not yet accepted by a person: they stay off the invoice.

    So does what a person keeps off, whatever its verdict.
    """
    held_verdict = Q(session__verdict__verdict__in=deciding.HELD) & ~Q(session__verdict__outcome__in=outweighing.BILLED)
    is_decided = ~Q(session__verdict__outcome="")
    waits = is_decided | ~Exists(
        deciding.accepted_questions(OuterRef("session"), OuterRef("session__verdict__verdict"))
    )
    is_kept_off = Q(session__verdict__outcome__in=deciding.KEPT_OFF)
    return cdrs.filter(held_verdict & waits | is_kept_off, session__reconciled_at__isnull=False)


def unjudged(cdrs: QuerySet[CDR]) -> QuerySet[CDR]:
    return cdrs.filter(session__reconciled_at=None)
