"""Statuses that networks push by the batch: all that follows from one follows from each, told once for the batch."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from dispatch import live, services
from dispatch.models import Alert, Reservation
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation
from fleetcharge.celery import app as celery
from fleetcharge.lib import events
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks import services as webhook_services
from fleetcharge.webhooks.models import WebhookMessage
from stations import changes, webhooks
from stations.cpo.ocpi import registration
from stations.cpo.webhooks import route
from stations.cpo.webhooks.judging import Push
from stations.events import ConnectorStatusChanged
from stations.models import Connector, ExternalRef, NetworkAccess, Source, StatusChange
from stations.news import announcer
from stations.tests.hooks import Hooks, entry, make_feed
from tests.running import wait_for
from vehicles.models import IdToken, Vehicle

pytestmark = pytest.mark.django_db(transaction=True)
OCPI_WORDS = {"faulted": "OUTOFORDER", "charging": "CHARGING", "available": "AVAILABLE"}
Tell = Callable[[dict[str, str]], list[int]]
"""Pushes of one batch, a status for each EVSE; their HTTP statuses."""


@pytest.fixture(autouse=True)
def _work_at_once() -> Iterator[None]:
    """Tasks run where they are started; what was announced is told before the tables are emptied."""
    celery.conf.task_always_eager = True
    yield
    announcer.close()
    celery.conf.task_always_eager = False


@pytest.fixture
def van(organisation: Organisation) -> Vehicle:
    van = factories.vehicle(organisation, at=timezone.now(), soc_percent=60)
    IdToken.objects.update(uid="CARD1")
    return van


def _over_ocpi() -> tuple[Source, Tell]:
    source = factories.source(kind="ocpi-2.2.1", endpoints={"locations": "https://cpo.invalid/locations"})
    source.parties.create(country_code="IN", party_id="VLT", name="VoltGrid")
    token = registration.new_token_for(source)

    def push(uid: str, word: str) -> webhooks.Push:
        path = f"/ocpi/2.2.1/emsp/locations/IN/VLT/L1/{uid}"
        scope = {
            "method": "PATCH", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"authorization", f"Token {token}".encode())], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        said = {"status": OCPI_WORDS[word], "last_updated": timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        return scope, orjson.dumps(said)

    return source, lambda said: [answer.http for answer in webhooks._committed([push(*each) for each in said.items()])]


def _over_a_webhook() -> tuple[Source, Tell]:
    def push(uid: str, word: str) -> Push:
        raw = orjson.dumps({"entries": [entry(f"IN*VLT*L1*{uid}", word)]})
        headers = {name.lower(): value for name, value in Hooks("").signed(raw).items()}
        return Push("kaveri", (), "POST", "/hooks/kaveri", headers, raw, "127.0.0.1", timezone.now())

    source = make_feed().source
    return source, lambda said: [answer.http for answer in route._received([push(*each) for each in said.items()])]


@pytest.fixture(params=[_over_ocpi, _over_a_webhook])
def tell(request: Any, organisation: Organisation) -> Tell:
    """A public network of either kind with free plugs E1, E2, E3 at sites of their own, and its batches of pushes."""
    source, tell = request.param()
    for number in (1, 2, 3):
        plug = factories.connector(factories.location(source, latitude=factories.HERE[0] + number / 111.2))
        plug.evse.uid, plug.evse.capabilities = f"E{number}", []  # not RESERVABLE: the promise is ours alone
        plug.evse.save()
        key = f"IN*VLT*L1*E{number}"
        ExternalRef.objects.create(source=source, kind="evse", external_key=key, object_id=plug.evse_id)
    NetworkAccess.objects.create(source=source, organisation=organisation)
    assert tell(dict.fromkeys(("E1", "E2", "E3"), "available")) == [200] * 3
    announcer.close()
    return tell  # type: ignore[no-any-return]


def plug(uid: str) -> Connector:
    return Connector.objects.select_related("evse__location").get(evse__uid=uid)


def reserved(van: Vehicle, connector: Connector) -> Reservation:
    """Promised to the van, and held by us for want of a network that reserves."""
    now = timezone.now()
    made = services.create_reservation(
        vehicle_id=van.pk, connector_id=connector.pk, starts_at=now, expires_at=now + timedelta(minutes=30), actor=None,
        now=now,
    )  # fmt: skip
    assert made is not None
    made.refresh_from_db()
    assert made.state == "confirmed"
    return made


# --- what follows from a status -------------------------------------------------------------------------------------
def test_a_promise_of_a_plug_that_faults_moves_to_another(tell: Tell, van: Vehicle) -> None:
    lost = reserved(van, plug("E1"))
    assert tell({"E2": "charging", "E1": "faulted"}) == [200, 200]
    wait_for("another place", Reservation.objects.filter(replaces=lost).exists)
    lost.refresh_from_db()
    assert lost.state == "cancelled"
    assert Reservation.objects.get(replaces=lost).connector == plug("E3")


def test_a_person_hears_of_it_where_there_is_no_other(tell: Tell, van: Vehicle) -> None:
    lost = reserved(van, plug("E2"))
    assert tell(dict.fromkeys(("E1", "E2", "E3"), "faulted")) == [200] * 3
    wait_for("the alert", Alert.objects.open().filter(severity="bad").exists)
    lost.refresh_from_db()
    assert lost.state == "cancelled"


def test_the_map_hears_of_all_sites_in_one_message(tell: Tell) -> None:
    with Redis.from_url(django_settings.REDIS_URL) as valkey, valkey.pubsub(ignore_subscribe_messages=True) as bus:
        bus.subscribe(live.CHANNEL)
        wait_for("the subscription", lambda: valkey.pubsub_numsub(live.CHANNEL)[0][1])
        tell({"E1": "charging", "E2": "charging", "E3": "faulted"})
        announcer.close()
        mine = {plug(f"E{number}").evse.location_id for number in (1, 2, 3)}

        def heard() -> list[int]:
            message = orjson.loads((bus.get_message(timeout=1) or {"data": b"{}"})["data"])
            return message["ids"] if mine & set(message.get("ids", [])) else []

        assert set(wait_for("the message", heard)) == mine


def test_the_stream_and_the_history_have_every_change(tell: Tell) -> None:
    with connection.cursor() as cursor:
        cursor.execute(changes.NOW)
        since = cursor.fetchone()[0]
    tell({"E1": "charging", "E2": "available", "E3": "faulted"})
    with connection.cursor() as cursor:
        cursor.execute(changes.FOLLOW, {"since": since})
        heard = [(row[4], row[7], row[8]) for row in cursor.fetchall()]
    expected = [(plug("E1").evse.public_id, "charging"), (plug("E3").evse.public_id, "faulted")]
    assert [(evse, new) for evse, _, new in heard] == expected
    kept = StatusChange.objects.filter(new__in=["charging", "faulted"]).order_by("pk")
    assert [(row.connector_id, row.old) for row in kept] == [(plug(uid).pk, "available") for uid in ("E1", "E3")]


# --- outgoing webhooks ----------------------------------------------------------------------------------------------
@pytest.fixture
def listening(organisation: Organisation, other_organisation: Organisation, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True
    for fleet in (organisation, other_organisation):
        webhook_services.create_endpoint(
            organisation=fleet, url="http://127.0.0.1:9/in", event_types=[catalogue.CONNECTOR_STATUS_CHANGED],
            now=timezone.now(),
        )  # fmt: skip


@pytest.mark.usefixtures("listening")
def test_integrators_of_fleets_with_access_are_told_of_each_plug(tell: Tell, organisation: Organisation) -> None:
    WebhookMessage.objects.all().delete()
    tell({"E1": "charging", "E2": "available", "E3": "faulted"})
    told = WebhookMessage.objects.filter(event_type=catalogue.CONNECTOR_STATUS_CHANGED).order_by("pk")
    assert {message.organisation_id for message in told} == {organisation.pk}
    said = [(message.payload["data"]["connector"], message.payload["data"]["new"]) for message in told]
    assert said == [(plug("E1").public_id, "charging"), (plug("E3").public_id, "faulted")]
    changes_told = [str(pk) for pk in StatusChange.objects.order_by("pk").values_list("pk", flat=True)][-2:]
    assert [message.dedupe_key for message in told] == changes_told


@pytest.mark.usefixtures("listening")
def test_a_batch_costs_the_statements_of_one_push(tell: Tell) -> None:
    def statements(word: str, *uids: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert tell(dict.fromkeys(uids, word)) == [200] * len(uids)
        return len(captured)

    statements("charging", "E1", "E2", "E3")
    one = statements("available", "E1")
    assert statements("faulted", "E1", "E2", "E3") == one > 5


# --- when it is told ------------------------------------------------------------------------------------------------
def test_a_network_has_its_answer_before_anybody_is_told(tell: Tell) -> None:
    may_go_on, told = threading.Event(), list[int]()

    def slow(batch: tuple[ConnectorStatusChanged, ...]) -> None:
        may_go_on.wait(60)
        told.append(len(batch))

    events.subscribe_many(ConnectorStatusChanged)(slow)
    try:
        assert tell({"E1": "charging"}) == [200]
        assert (plug("E1").status, told) == ("charging", [])
        assert tell({"E2": "charging", "E3": "charging"}) == [200, 200]
        assert tell({"E1": "faulted"}) == [200]
        may_go_on.set()
        announcer.close()
        assert told == [1, 3]
    finally:
        may_go_on.set()
        events._gatherers[ConnectorStatusChanged].remove(slow)
