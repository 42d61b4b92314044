"""What really happens in every app reaches the outbox, in the documented shape, for the right fleets, once."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from billing import outbox as billing_outbox
from billing.events import SessionMetered
from billing.models import CDR, ChargingSession
from billing.services import rating, wallets
from billing.tests.factories import NOON, Fleet, make_fleet, make_site, start, stop
from dispatch import services as dispatch
from dispatch.models import Reservation
from dispatch.services import reservations
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish
from fleetcharge.webhooks import catalogue, services
from fleetcharge.webhooks.models import WebhookDelivery, WebhookMessage
from ocpp_bridge import commands
from stations.models import EVSE, Connector, NetworkAccess
from stations.services.own_statuses import report_statuses
from stations.services.statuses import StatusReport, report_from_source

pytestmark = pytest.mark.django_db
DOCS = (Path(__file__).resolve().parents[2] / "docs/webhooks.md").read_text()


@pytest.fixture(autouse=True)
def _laboratory(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True


def listen(organisation: Organisation, *event_types: str) -> None:
    services.create_endpoint(
        organisation=organisation, url="http://127.0.0.1:9/in", event_types=event_types or list(catalogue.CATALOGUE),
        now=timezone.now(),
    )  # fmt: skip


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation)
    listen(organisation)
    return fleet


def told(event_type: str, organisation: Organisation | None = None) -> list[dict[str, Any]]:
    """The data of every message of a type, each checked against the catalogue."""
    rows = WebhookMessage.objects.filter(event_type=event_type).order_by("pk")
    if organisation is not None:
        rows = rows.filter(organisation=organisation)
    for row in rows:
        assert list(row.payload) and row.payload["type"] == event_type
        assert set(row.payload["data"]) == set(catalogue.CATALOGUE[event_type].data)
        assert row.deliveries.count() == 1
    return [row.payload["data"] for row in rows]


def test_a_session_is_told_from_start_to_price(fleet: Fleet) -> None:
    started = start(fleet)
    [begun] = told(catalogue.SESSION_STARTED)
    assert (begun["id"], begun["state"], begun["vehicle"]["registration"]) == (
        started.session_id, "active", fleet.vehicle.registration,
    )  # fmt: skip
    assert (begun["connector"], begun["location"]) == (fleet.connector.public_id, fleet.location.public_id)
    stop(fleet, started.transaction_ref)
    [ended] = told(catalogue.SESSION_ENDED)
    assert (ended["state"], ended["energy_wh"], ended["ended_at"]) == ("ended", 10_000, "2026-11-20T07:00:00Z")
    cdr = CDR.objects.get()
    assert rating.rate_and_capture(cdr_id=cdr.pk, now=NOON + timedelta(hours=1))
    [priced] = told(catalogue.CDR_CREATED)
    cdr.refresh_from_db()
    assert (priced["total_paise"], priced["session"], priced["receivable_paise"]) == (
        cdr.total_paise, started.session_id, 0,
    )  # fmt: skip
    stamp = WebhookMessage.objects.get(event_type=catalogue.SESSION_STARTED).payload["timestamp"]
    assert stamp == "2026-11-20T06:30:00Z"


def test_replayed_messages_of_a_charger_tell_nothing_twice(fleet: Fleet) -> None:
    for _ in range(3):
        started = start(fleet, start_key="the same")
    for _ in range(3):
        stop(fleet, started.transaction_ref)
    assert (len(told(catalogue.SESSION_STARTED)), len(told(catalogue.SESSION_ENDED))) == (1, 1)


def test_running_figures_are_told_once_a_minute(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_763_712_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    session_id = start(fleet).session_id
    ChargingSession.objects.filter(pk=session_id).update(energy_wh=500, metered_at=NOON + timedelta(minutes=1))
    event = SessionMetered(((session_id, fleet.connector.pk, 500, 20_000, 40.0),))
    for seconds in (0, 15, 29):
        now[0] += seconds
        publish(event)
    assert [row["energy_wh"] for row in told(catalogue.SESSION_UPDATED)] == [500]
    now[0] += 60
    publish(event)
    billing_outbox._pace._said.clear()  # as another process would: the unique key has the last word
    publish(event)
    assert len(told(catalogue.SESSION_UPDATED)) == 2


def test_a_low_wallet_is_told_once_until_it_was_above_again(fleet: Fleet, organisation: Organisation) -> None:
    wallet = fleet.wallet
    assert wallet is not None

    def limit(paise: int) -> None:
        wallets.change_terms(
            organisation_id=organisation.pk, credit_limit_paise=0, low_threshold_paise=paise, state="active",
            actor=None, reason="test",
        )  # fmt: skip

    limit(2_000_00)
    limit(2_500_00)  # still low
    [low] = told(catalogue.WALLET_LOW)
    assert (low["available_paise"], low["low_threshold_paise"], low["currency"]) == (1_000_00, 2_000_00, "INR")
    limit(500_00)
    limit(3_000_00)
    assert len(told(catalogue.WALLET_LOW)) == 2


def test_a_status_is_told_at_each_change(fleet: Fleet) -> None:
    for minute, status in enumerate(("available", "charging", "charging", "faulted")):
        at = NOON + timedelta(minutes=minute)
        report_statuses([StatusReport(fleet.charger.pk, None, 1, status, status, at, at)])
    changes = told(catalogue.CONNECTOR_STATUS_CHANGED)
    assert [(row["old"], row["new"]) for row in changes] == [
        ("unknown", "available"), ("available", "charging"), ("charging", "faulted"),
    ]  # fmt: skip
    assert changes[0]["charger"] == fleet.charger.ocpp_identity


def test_a_status_at_the_same_second_is_another_change(fleet: Fleet) -> None:
    for status in ("available", "faulted", "available"):
        report_statuses([StatusReport(fleet.charger.pk, None, 1, status, status, NOON, NOON)])
    assert [row["new"] for row in told(catalogue.CONNECTOR_STATUS_CHANGED)] == ["available", "faulted", "available"]


def test_a_public_network_is_told_to_the_fleets_that_may_charge_there(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    for fleet in (organisation, other_organisation):
        listen(fleet, catalogue.CONNECTOR_STATUS_CHANGED)
    source, location = make_site(None, kind="ocpi-2.2.1")
    NetworkAccess.objects.create(source=source, organisation=other_organisation)
    evse = EVSE.objects.create(location=location)
    Connector.objects.create(evse=evse, plug="ccs2")
    report_from_source(evse_id=evse.pk, raw_status="AVAILABLE", status="available", at=NOON, received_at=NOON)
    assert told(catalogue.CONNECTOR_STATUS_CHANGED, organisation) == []
    [change] = told(catalogue.CONNECTOR_STATUS_CHANGED, other_organisation)
    assert (change["new"], change["charger"]) == ("available", None)


def test_the_plugs_of_a_fleet_are_nobody_elses_business(fleet: Fleet, other_organisation: Organisation) -> None:
    listen(other_organisation)
    at = NOON
    report_statuses([StatusReport(fleet.charger.pk, None, 1, "available", "available", at, at)])
    start(fleet)
    assert not WebhookMessage.objects.filter(organisation=other_organisation).exists()


def test_an_alert_is_told_when_it_opens_and_when_it_closes(fleet: Fleet, organisation: Organisation) -> None:
    def alert(title: str) -> Any:
        return dispatch.open_alert(
            organisation_id=organisation.pk, kind="charger_silent", dedupe_key="charger:1", title=title, now=NOON,
            location_id=fleet.location.pk,
        )  # fmt: skip

    alert("Silent")
    alert("Still silent")  # brings it up to date: nothing new
    [opened] = told(catalogue.ALERT_OPENED)
    assert (opened["title"], opened["location"], opened["closed_at"]) == ("Silent", fleet.location.public_id, None)
    dispatch.close_alert_by_key(organisation_id=organisation.pk, dedupe_key="charger:1", reason="came back", now=NOON)
    [closed] = told(catalogue.ALERT_CLOSED)
    assert (closed["id"], closed["close_reason"]) == (opened["id"], "came back")
    alert("Silent again")
    assert len(told(catalogue.ALERT_OPENED)) == 2


def test_a_reservation_is_told_at_each_step(fleet: Fleet, organisation: Organisation) -> None:
    row = Reservation.objects.create(
        organisation=organisation, vehicle=fleet.vehicle, connector=fleet.connector, id_token=fleet.token.uid,
        expires_at=NOON + timedelta(minutes=30),
    )  # fmt: skip
    for state, reason in (("confirmed", ""), ("cancelled", "driver changed plans")):
        reservations._settle(row, state, reason, NOON)
    reservations._settle(row, "cancelled", "said again", NOON)
    steps = told(catalogue.RESERVATION_CHANGED)
    assert [(step["state"], step["reason"]) for step in steps] == [
        ("confirmed", ""), ("cancelled", "driver changed plans"),
    ]  # fmt: skip
    assert steps[0]["connector"] == fleet.connector.public_id


def test_a_command_is_told_with_each_of_its_outcomes(fleet: Fleet) -> None:
    command = commands.enqueue(
        charger_id=fleet.charger.pk,
        action="Reset",
        parameters={"kind": "soft"},
        idempotency_key="erp-17",
        actor="key erp",
        now=NOON,
    )
    assert commands.finish(command_id=command.pk, state="accepted", reason="", response={}, at=NOON)
    assert not commands.finish(command_id=command.pk, state="rejected", reason="", response={}, at=NOON)
    [outcome] = told(catalogue.COMMAND_FINISHED)
    assert (outcome["id"], outcome["state"], outcome["idempotency_key"]) == (str(command.pk), "accepted", "erp-17")
    command.refresh_from_db()
    command.state, command.reason = "no_session", "No session began in time."
    commands.tell(command, NOON + timedelta(minutes=3))
    assert [row["state"] for row in told(catalogue.COMMAND_FINISHED)] == ["accepted", "no_session"]


def test_nothing_is_kept_while_nobody_listens(organisation: Organisation) -> None:
    fleet = make_fleet(organisation)
    stop(fleet, start(fleet).transaction_ref)
    assert not WebhookMessage.objects.exists()
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize("name", catalogue.CATALOGUE)
def test_every_event_and_each_of_its_fields_is_documented(name: str) -> None:
    kind = catalogue.CATALOGUE[name]
    section: Callable[[str], str] = lambda title: re.split(r"\n##+ ", DOCS.split(f"### `{title}`\n", 1)[1])[0]  # noqa: E731
    text = section(name)
    assert kind.when in text
    assert f"`{kind.scope}`" in text
    if same := re.search(r"Fields as in `([\w.]+)`", text):
        assert catalogue.CATALOGUE[same[1]].data == kind.data
        text = section(same[1])
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(kind.data)
