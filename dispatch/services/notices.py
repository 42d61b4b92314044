"""Alerts that belong to no plan: networks that do not answer, chargers that complain, sessions that wait, webhooks."""

from datetime import UTC, datetime

from billing.models import BillingException
from dispatch.models import Alert
from dispatch.services.alerts import close_alert_by_key, open_alert
from dispatch.wording import Says
from fleetcharge.accounts.models import Organisation
from fleetcharge.webhooks.models import WebhookEndpoint
from stations.events import ChargerMatterSettled, ChargerNeedsAttention
from stations.models import NetworkAccess, Source

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def show_network(*, source_id: int, now: datetime) -> int:
    """Tell every fleet that may charge at a failing network, and take it back when it answers; alerts changed.

    Run twice it changes nothing; an alert that a person closed stays closed until the network has answered and fails
    again.
    """
    source = Source.objects.filter(pk=source_id).first()
    if source is None:
        return 0
    concerned = set(_fleets(source)) if source.state == Source.State.FAILING else set()
    alerts = Alert.objects.filter(dedupe_key=network_key(source_id))
    shown = set(alerts.open().values_list("organisation_id", flat=True))
    told = set(alerts.filter(opened_at__gt=source.last_polled_at or LONG_AGO).values_list("organisation_id", flat=True))
    for fleet in Organisation.objects.filter(pk__in=concerned - shown - told).order_by("pk"):
        _open_network_alert(source, fleet, now)
    for fleet_id in sorted(shown - concerned):
        close_alert_by_key(
            organisation_id=fleet_id, dedupe_key=network_key(source_id), reason=source.get_state_display(), now=now
        )
    return len(concerned - shown - told) + len(shown - concerned)


def network_key(source_id: int) -> str:
    return f"network:{source_id}"


def _fleets(source: Source) -> list[int]:
    """The owner, and everybody with access."""
    guests = NetworkAccess.objects.filter(source=source).values_list("organisation_id", flat=True)
    return [*guests, *([source.organisation_id] if source.organisation_id else [])]


def _open_network_alert(source: Source, fleet: Organisation, now: datetime) -> None:
    body = "no_answer_since" if source.last_polled_at else "no_answer"
    open_alert(
        organisation_id=fleet.pk, kind=Alert.Kind.NETWORK_DOWN, dedupe_key=network_key(source.pk), now=now,
        says=Says("network_down", (body,), {"network": source.name, "answered_at": source.last_polled_at}),
        severity=Alert.Severity.WARN,
        data={"source_id": source.pk, "network": source.name},
    )  # fmt: skip


def settle_network_alerts(*, now: datetime) -> int:
    """What events about networks missed."""
    failing = Source.objects.filter(state=Source.State.FAILING).values_list("pk", flat=True)
    shown = Alert.objects.open().filter(kind=Alert.Kind.NETWORK_DOWN).values_list("data__source_id", flat=True)
    return sum(show_network(source_id=source_id, now=now) for source_id in sorted({*failing, *shown}))


def matter_key(event: ChargerNeedsAttention | ChargerMatterSettled) -> str:
    """One alert per charger and matter."""
    return f"matter:{event.charger_id}:{event.cause}:{event.key}"[:80]


def money_key(exception_id: int) -> str:
    return f"exception:{exception_id}"


def close_settled_money(*, now: datetime) -> int:
    """Close the alerts of exceptions that are decided, by a person or by evidence that came later."""
    waiting = Alert.objects.open().filter(kind=Alert.Kind.MONEY)
    shown = {alert.data.get("exception_id"): alert.organisation_id for alert in waiting.only("data", "organisation_id")}
    decided = BillingException.objects.filter(pk__in=[pk for pk in shown if pk], resolved_at__isnull=False)
    return sum(
        close_alert_by_key(organisation_id=shown[pk], dedupe_key=money_key(pk), reason="resolved", now=now)
        for pk in decided.order_by("pk").values_list("pk", flat=True)
    )


def webhook_key(endpoint_id: int) -> str:
    return f"webhook:{endpoint_id}"


def show_webhook(*, endpoint_id: int, organisation_id: int, now: datetime) -> bool:
    """Tell the fleet that its webhook was given up, or take that back; True when an alert changed.

    An alert that a person closed stays closed until the webhook is given up anew.
    """
    key = webhook_key(endpoint_id)
    endpoint = WebhookEndpoint.objects.given_up().filter(pk=endpoint_id).first()
    if endpoint is None:
        return close_alert_by_key(organisation_id=organisation_id, dedupe_key=key, reason="mended", now=now)
    told = Alert.objects.filter(organisation_id=organisation_id, dedupe_key=key, opened_at__gte=endpoint.disabled_at)
    if told.exists():
        return False
    open_alert(
        organisation_id=organisation_id, kind=Alert.Kind.WEBHOOK_OFF, dedupe_key=key, now=now,
        says=Says("webhook_off", ("as_told",), {"endpoint": str(endpoint), "told": endpoint.disabled_reason}),
        severity=Alert.Severity.WARN,
        data={"endpoint_id": endpoint_id},
    )  # fmt: skip
    return True


def settle_webhook_alerts(*, now: datetime) -> int:
    """What events about webhooks missed."""
    off = dict(WebhookEndpoint.objects.given_up().values_list("pk", "organisation_id"))
    shown = Alert.objects.open().filter(kind=Alert.Kind.WEBHOOK_OFF).values_list("data__endpoint_id", "organisation_id")
    concerned = sorted((off | dict(shown)).items())
    return sum(show_webhook(endpoint_id=pk, organisation_id=fleet_id, now=now) for pk, fleet_id in concerned)
