"""A message exists exactly when its change does, once, and costs nothing when nobody listens."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.events import CDRCaptured
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish
from fleetcharge.webhooks import catalogue, deliveries, listeners, services, tasks
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookMessage
from fleetcharge.webhooks.outbox import Fact, tell
from stations.events import ConnectorStatusChanged
from stations.outbox import tell_of_statuses

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def listening(organisation: Organisation, settings: Any) -> WebhookEndpoint:
    endpoint, _ = services.create_endpoint(
        organisation=organisation, url="http://127.0.0.1:9/in", event_types=["wallet.low", "cdr.created"],
        now=timezone.now(),
    )  # fmt: skip
    return endpoint


def test_a_change_that_is_undone_was_never_told(listening: WebhookEndpoint, say: Any) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        assert say("undone") == 1
        raise RuntimeError
    assert WebhookMessage.objects.count() == 0
    with transaction.atomic():
        say("kept")
    assert WebhookMessage.objects.count() == WebhookDelivery.objects.count() == 1


def test_a_fact_that_is_said_again_is_told_once(listening: WebhookEndpoint, say: Any) -> None:
    assert (say("same"), say("same"), say("other")) == (1, 0, 1)
    assert WebhookMessage.objects.count() == WebhookDelivery.objects.count() == 2
    assert say("same", event_type=catalogue.CDR_CREATED) == 1  # another type has keys of its own


def test_a_fact_that_is_said_by_many_at_once_is_told_once(listening: WebhookEndpoint, say: Any) -> None:
    def tell_and_close() -> None:
        say("same")
        connection.close()

    threads = [threading.Thread(target=tell_and_close) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert WebhookMessage.objects.count() == WebhookDelivery.objects.count() == 1


def test_only_endpoints_that_asked_get_it_and_no_other_fleet(
    listening: WebhookEndpoint, say: Any, other_organisation: Organisation
) -> None:
    for organisation, types in ((listening.organisation, ["alert.opened"]), (other_organisation, ["wallet.low"])):
        services.create_endpoint(
            organisation=organisation, url="http://127.0.0.1:9/x", event_types=types, now=timezone.now()
        )
    assert say("low") == 1
    assert [row.endpoint_id for row in WebhookDelivery.objects.all()] == [listening.pk]
    assert say("never", event_type=catalogue.SESSION_ENDED) == 0
    assert not WebhookMessage.objects.exclude(organisation=listening.organisation).exists()


def test_what_nobody_listens_to_costs_no_query(listening: WebhookEndpoint) -> None:
    event = ConnectorStatusChanged(1, 1, "available", "charging", "", timezone.now(), 7)
    assert listeners.listeners.of(catalogue.CONNECTOR_STATUS_CHANGED) == frozenset()
    with CaptureQueriesContext(connection) as queries:
        for _ in range(100):
            tell_of_statuses((event,))
    assert len(queries) == 0


def test_what_goes_wrong_while_telling_does_not_undo_the_change(
    listening: WebhookEndpoint, organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic():
        Organisation.objects.filter(pk=organisation.pk).update(name="Renamed")
        publish(CDRCaptured(999_999, 1, organisation.pk, 1, 0))  # there is no such CDR: nothing can be said of it
    organisation.refresh_from_db()
    assert organisation.name == "Renamed"
    assert "tell_of_prices failed" in caplog.text


def test_a_remembered_listener_that_is_gone_leaves_no_row(listening: WebhookEndpoint, say: Any) -> None:
    say("before")
    WebhookEndpoint.objects.update(is_active=False)  # in another process: ours still remembers
    assert say("after") == 0
    assert WebhookMessage.objects.count() == 1


def test_a_new_endpoint_is_heard_of_at_once_here_and_soon_elsewhere(organisation: Organisation, say: Any) -> None:
    assert say("too early") == 0
    services.create_endpoint(
        organisation=organisation, url="http://127.0.0.1:9/in", event_types=["wallet.low"], now=timezone.now()
    )
    assert say("heard") == 1
    assert listeners.REMEMBERED_SECONDS <= 5


def test_old_messages_are_forgotten_with_their_deliveries(listening: WebhookEndpoint, say: Any, settings: Any) -> None:
    settings.WEBHOOK_RETENTION_DAYS = 30
    say("old")
    say("young")
    old = WebhookMessage.objects.filter(dedupe_key="old")
    old.update(created_at=timezone.now() - timedelta(days=30, seconds=1))
    assert tasks.forget_old() == 1
    assert list(WebhookMessage.objects.values_list("dedupe_key", flat=True)) == ["young"]
    assert WebhookDelivery.objects.get().message.dedupe_key == "young"
    assert deliveries.forget_old(now=timezone.now()) == 0


def test_many_facts_wake_one_round(listening: WebhookEndpoint, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(tasks.hints, "start", lambda task: asked.append(task.name.rsplit(".")[-1]))
    monkeypatch.setattr(tasks, "WOKEN", f"test-{uuid.uuid4().hex}")
    with transaction.atomic():
        for key in range(20):
            say(key)
        assert asked == []
    assert asked == ["send_due"]
    tasks.send_due()  # it looks, and whoever commits from now on asks again
    say("later")
    assert asked == ["send_due", "send_due"]


def test_a_value_that_json_does_not_know_is_refused(listening: WebhookEndpoint, organisation: Organisation) -> None:
    fact = Fact(organisation.pk, "nan", timezone.now(), {"soc_percent": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        tell(catalogue.WALLET_LOW, organisation_id=organisation.pk, fact=lambda: fact)
    assert WebhookMessage.objects.count() == 0


def test_telling_takes_one_statement_beside_its_savepoint(listening: WebhookEndpoint, say: Any) -> None:
    say("warm")
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        say("low")
    assert [row["sql"].split(None, 1)[0] for row in queries] == ["SAVEPOINT", "WITH", "RELEASE"]
