"""The running product tells integrators what happens, also what happened while its worker was killed mid-message."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetcharge.webhooks.tests.receiver import Answer, Receiver
from stations.tests.serving import serve
from tests.running import RunningSystem, wait_for

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc")

SEED = """
import json
from billing.services import wallets
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.services import create_api_key
fleet = Organisation.objects.create(name="Namma", slug="namma")
wallets.open_wallet(organisation_id=fleet.pk)
print(json.dumps([fleet.pk, create_api_key(organisation=fleet, name="erp", scopes=list(Scope.values))[1]]))
"""
ALERT = """
from django.utils import timezone
from dispatch import services
services.open_alert(organisation_id={fleet}, kind="money", dedupe_key="{key}", title="{key}", now=timezone.now())
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    app = Receiver()
    with serve(app) as base:
        app.base_url = base
        yield app


@pytest.fixture
def system(tmp_path: Path) -> Iterator[RunningSystem]:
    laboratory = {"FLEETCHARGE_WEBHOOK_ALLOW_PRIVATE_HOSTS": "1", "FLEETCHARGE_WEBHOOK_TIMEOUT_SECONDS": "2"}
    running = RunningSystem(tmp_path, **laboratory)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def titles(receiver: Receiver) -> list[str]:
    return [json.loads(request.body)["data"]["title"] for request in receiver.received]


def test_nothing_is_lost_when_the_worker_dies_mid_message(system: RunningSystem, receiver: Receiver) -> None:
    fleet, key = system.manage(SEED)
    hook: dict[str, Any] = system.api(
        "/api/v1/webhooks/", key, {"url": receiver.url(), "event_types": ["alert.opened"]}
    )
    system.manage(ALERT.format(fleet=fleet, key="first"))
    wait_for("the first message", lambda: titles(receiver) == ["first"], 180)

    never = threading.Event()
    receiver.will_answer(Answer(waits=never))
    system.manage(ALERT.format(fleet=fleet, key="held"))
    wait_for("the message that is not answered", lambda: titles(receiver)[-1] == "held", 180)
    system.kill("worker")
    receiver.will_answer(Answer(204))
    never.set()
    system.manage(ALERT.format(fleet=fleet, key="meanwhile"))

    def all_delivered() -> bool:
        page = system.api(f"/api/v1/webhooks/{hook['id']}/deliveries/", key)["results"]
        return len(page) == 3 and {row["state"] for row in page} == {"delivered"}

    wait_for("everything to be delivered", all_delivered, 300, every=1)
    assert set(titles(receiver)) == {"first", "held", "meanwhile"}
    ids: dict[str, set[str]] = {title: set() for title in titles(receiver)}
    for title, request in zip(titles(receiver), receiver.received, strict=True):
        ids[title].add(request.headers["webhook-id"])
    assert all(len(found) == 1 for found in ids.values())  # what comes twice has one id
