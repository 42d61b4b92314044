"""The simulated networks as programs, started and connected as docs/networks.md says, step by step on the desk."""

import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from fleetcharge.accounts.models import User
from fleetcharge.celery import app as celery
from fleetcharge.lib.asgi import Receive, Scope, Send
from stations import tasks, webhooks
from stations.cpo.ocpi.selftest import Probe
from stations.cpo.ubc import signing, webhook
from stations.cpo.ubc.models import UBCNetwork
from stations.cpo.webhooks import route
from stations.cpo.webhooks.models import WebhookFeed
from stations.models import Connector, Location, PollRun, Source
from stations.news import announcer
from stations.tests.serving import serve
from tests.running import port_of_our_own, wait_for

DOCS = (Path(__file__).resolve().parents[3] / "docs/networks.md").read_text()
WHY = {"reason": "contract signed"}
Start = Callable[..., list[str]]


async def front(scope: Scope, receive: Receive, send: Send) -> None:
    """Our side as asgi.py puts it together, as far as networks call it."""
    routes = {"/ocpi/": webhooks.ocpi, "/hooks/": route.hooks, "/ubc/": webhook.ubc}
    await next(app for prefix, app in routes.items() if scope["path"].startswith(prefix))(scope, receive, send)


@pytest.fixture
def ours(settings: Any, transactional_db: None) -> Iterator[str]:
    celery.conf.task_always_eager = True
    with serve(front) as base:
        settings.PUBLIC_BASE_URL, settings.OCPI_ALLOW_PRIVATE_HOSTS = base, True
        yield base
    for each in (webhooks, route, webhook):
        each.threads.close()
    announcer.close()
    celery.conf.task_always_eager = False


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program as the documentation spells it; what it says first comes back, without the given lines."""
    running = contextlib.ExitStack()

    def go(command: str, *more: str, lines: int, port: int) -> list[str]:
        assert f"`python -m {command}" in DOCS
        module, *given = command.split()
        words = [sys.executable, "-m", module, *given, "--port", str(port), *more]
        program = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        running.callback(program.wait)
        running.callback(program.terminate)
        assert program.stdout is not None
        said = [program.stdout.readline().strip() for _ in range(lines)]
        wait_for("the program", lambda: socket.create_connection(("127.0.0.1", port), 5).close() is None)
        return said

    with running:
        yield go


@pytest.fixture
def desk(ours: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The operator; tasks run at once, there is no worker here."""
    for task in (tasks.register_source, tasks.check_source, tasks.poll_source):
        monkeypatch.setattr(task, "delay", task)
    client = Client()
    client.force_login(User.objects.create_superuser(email="root@fleet.example", password="root-root-root"))
    return client


def make_source(desk: Client, slug: str, kind: str, base_url: str = "") -> Source:
    form = {
        "name": slug.title(), "slug": slug, "kind": kind, "organisation": "", "base_url": base_url,
        "poll_interval_seconds": "3600", "full_sync_seconds": "86400", "trust": "50", "licence": "CC BY 4.0",
        "attribution": f"© {slug}", "access-TOTAL_FORMS": "0", "access-INITIAL_FORMS": "0",
    }  # fmt: skip
    desk.post("/admin/stations/source/add/", form)
    return Source.objects.get(slug=slug)


def act(desk: Client, action: str, source: Source) -> Source:
    answer = desk.post("/admin/stations/source/", {"action": action, "_selected_action": [source.pk]}, follow=True)
    assert answer.status_code == 200
    source.refresh_from_db()
    return source


@pytest.mark.parametrize("version", ["2.2.1", "2.3.0"])
def test_who_asks_it_for_a_handshake_finds_every_rule_kept(start: Start, settings: Any, version: str) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    said = start("fleetcharge.demo.peers.ocpi --version 2.2.1", "--version", version, lines=2, port=port_of_our_own())
    findings = list(Probe(said[0].split()[1], said[1].split()[1], tries_writes=True).run())
    assert [finding.rule for finding in findings if finding.is_good is False] == []
    assert sum(bool(finding.is_good) for finding in findings) > 30


@pytest.mark.django_db(transaction=True)
def test_a_cpo_is_connected_by_its_address_and_token(desk: Client, start: Start) -> None:
    """docs/networks.md, "A CPO over OCPI", steps 1 to 3."""
    address, token = (
        line.split()[1]
        for line in start("fleetcharge.demo.peers.ocpi --version 2.2.1", lines=2, port=port_of_our_own())
    )
    source = make_source(desk, "volt", "ocpi", address)
    desk.post(f"/admin/stations/source/{source.pk}/connect/", {"token": token, **WHY})
    source = act(desk, "try_connection", source)
    assert (source.state, source.kind, source.last_error) == ("connected", "ocpi-2.2.1", "")
    act(desk, "poll_now", source)
    assert (Location.objects.count(), Connector.objects.filter(status="available").count()) == (3, 3)
    run = PollRun.objects.get(source=source)
    assert (run.last_result, run.last_was_full, run.last_read) == ("done", True, 4)
    page = desk.get(f"/admin/stations/source/{source.pk}/change/").content.decode()
    assert "4 objects, 3 sites written, 0 refused, the whole list" in page


@pytest.mark.django_db(transaction=True)
def test_a_cpo_that_was_invited_starts_the_handshake_itself(desk: Client, start: Start, ours: str) -> None:
    """ "Invite", and the program takes our address and the token."""
    source = make_source(desk, "volt", "ocpi")
    page = desk.post(f"/admin/stations/source/{source.pk}/invite/", WHY, follow=True).content.decode()
    token = re.search(r"Token for Volt: (\S+) - give it to the CPO with our address (\S+);", page)
    assert token is not None
    assert token[2] == f"{ours}/ocpi/versions"
    said = start(
        "fleetcharge.demo.peers.ocpi --version 2.2.1", "--register-at", token[2], "--invitation", token[1], lines=3,
        port=port_of_our_own(),
    )  # fmt: skip
    assert said[2].startswith("registered: HTTP 200")
    assert act(desk, "poll_now", source).state == "connected"
    assert Location.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_vendor_is_polled_and_pushes(desk: Client, start: Start, ours: str) -> None:
    """ "A vendor that pushes JSON" and "A vendor that is polled", with what the program says one writes there."""
    secret, port = "kaveri-secret-of-32-characters!!", port_of_our_own()
    source = make_source(desk, "kaveri", "rest-poll")
    form = {
        "source": source.pk, "style": "mapping", "mapping": "{}", "algorithm": "hmac-sha256",
        "signed": "{timestamp}.{body}", "signature_header": "X-Kaveri-Signature", "timestamp_header": "",
        "id_header": "", "window_seconds": "300", "allowed_addresses": "", "vendor_secret": secret, "poll": "{}",
        "poll_mapping": "{}", "vendor_key": "kaveri-key",
    }  # fmt: skip
    said = start(
        "fleetcharge.demo.peers.vendor", "--hook", f"{ours}/hooks/kaveri", "--secret", secret, lines=4, port=port
    )
    told = dict(re.split(r":\s+", line, maxsplit=1) for line in said)
    form |= {"poll": told["poll plan"], "poll_mapping": told["poll mapping"], "mapping": told["mapping"]}
    assert told["signature"] == "X-Kaveri-Signature over {timestamp}.{body}"
    assert desk.post("/admin/stations/webhookfeed/add/", form).status_code == 302
    assert json.loads(told["poll plan"]) == WebhookFeed.objects.get().poll
    source = act(desk, "poll_now", source)
    assert (source.last_error, Location.objects.count(), Connector.objects.count()) == ("", 4, 12)
    wait_for("a push", lambda: Source.objects.get(slug="kaveri").last_push_at)


@pytest.mark.django_db(transaction=True)
def test_a_network_on_ubc_is_discovered(desk: Client, start: Start) -> None:
    """ "A network on UBC", steps 1 and 2: the key is made by saving, and shown to the program."""
    port = port_of_our_own()
    source = make_source(desk, "surya", "ubc-0.9")
    base = f"http://127.0.0.1:{port}"
    form = {
        "source": source.pk, "profile": "ubc-0.9", "subscriber_id": "fleet.example", "key_id": "k1",
        "registry_url": f"{base}/registry/dedi/lookup/{{subscriber_id}}/subscribers.beckn.one/{{key_id}}",
        "gateway_id": "cds.example", "gateway_url": f"{base}/cds", "buyer": "{}", "settlement_account": "{}",
        "areas": json.dumps([{"latitude": 12.97, "longitude": 77.59, "radius_m": 25_000}]),
        "finder_fee_percent": "2.5", "order_kwh": "20",
    }  # fmt: skip
    assert desk.post("/admin/stations/ubcnetwork/add/", form).status_code == 302
    network = UBCNetwork.objects.get()
    public = signing.public_of(network.signing_key)
    assert public in desk.get(f"/admin/stations/ubcnetwork/{network.pk}/change/").content.decode()
    said = start(
        "fleetcharge.demo.peers.ubc --bap fleet.example --key-id k1", "--public-key", public, lines=2, port=port
    )
    assert said[0] == f"registry {network.registry_url}"
    gateway = re.fullmatch(r"discovery service (\S+) at (\S+)", said[1])
    assert gateway is not None
    UBCNetwork.objects.update(gateway_id=gateway[1], gateway_url=gateway[2])
    source = act(desk, "poll_now", source)
    assert (source.state, source.last_error) == ("connected", "")
    assert Location.objects.filter(source=source).count() == 5
