"""What integrators are told of payments: a mandate that does not pay any more."""

from billing.events import MandateChanged
from billing.models import Mandate
from fleetcharge.lib.events import record
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.outbox import Fact, tell


@record(MandateChanged)
def tell_of_a_failing_mandate(event: MandateChanged) -> None:
    if event.is_failing:
        tell(catalogue.MANDATE_FAILED, organisation_id=event.organisation_id, fact=lambda: _failing(event))


def _failing(event: MandateChanged) -> Fact:
    mandate = Mandate.objects.get(pk=event.mandate_id)
    data = {
        "id": mandate.pk,
        "kind": mandate.kind,
        "state": event.state,
        "reason": event.reason,
        "max_amount_paise": mandate.max_amount_paise,
        "consecutive_failures": mandate.consecutive_failures,
        "at": event.at,
    }
    return Fact(event.organisation_id, f"{mandate.pk}:{event.at.isoformat()}", event.at, data)
