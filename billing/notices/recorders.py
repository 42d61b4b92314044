"""Which facts become letters. Each runs in the transaction of its fact."""

from django.utils import timezone

from billing.events import ExceptionOpened, MandateChanged
from billing.models import BillingException, Mandate
from billing.notices import writing
from billing.notices.models import Letter
from fleetcharge.lib.events import record

OF_EXCEPTIONS = {
    BillingException.Kind.TOP_UP_SHORT: Letter.Kind.TOP_UP_SHORT,
    BillingException.Kind.REFUND_FAILED: Letter.Kind.REFUND_FAILED,
}


@record(MandateChanged)
def write_of_a_failing_mandate(event: MandateChanged) -> None:
    if not event.is_failing:
        return
    mandate = Mandate.objects.get(pk=event.mandate_id)
    facts = {
        "kind": mandate.kind, "payer": mandate.payer_name, "state": event.state, "reason": event.reason,
        "max_amount_paise": mandate.max_amount_paise, "failures": mandate.consecutive_failures,
    }  # fmt: skip
    writing.write(
        organisation_id=event.organisation_id, kind=Letter.Kind.MANDATE_FAILED,
        key=f"{mandate.pk}:{event.at.isoformat()}", facts=facts, now=event.at,
    )  # fmt: skip


@record(ExceptionOpened)
def write_of_an_exception(event: ExceptionOpened) -> None:
    kind = OF_EXCEPTIONS.get(BillingException.Kind(event.kind)) if event.kind in BillingException.Kind.values else None
    if kind is None:
        return
    row = BillingException.objects.get(pk=event.exception_id)
    writing.write(
        organisation_id=event.organisation_id, kind=kind, key=str(row.pk), now=timezone.now(),
        facts={"amount_paise": row.amount_paise, "title": row.title},
    )  # fmt: skip
