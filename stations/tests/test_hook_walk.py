"""The way docs/networks.md describes, walked with Kaveri Charge as a program of its own; and news in any order."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from fleetcharge.demo.peers import vendor
from stations.cpo.webhooks import route, taking
from stations.cpo.webhooks.mapping import Entry, Reading, StatusWord
from stations.models import Connector, Source
from stations.news import announcer
from stations.tasks import poll_source
from stations.tests.hooks import SECRET, Hooks, before, codes, entry, make_feed, make_kaveri, make_plug
from stations.tests.serving import serve
from tests.running import port_of_our_own

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with serve(route.hooks) as base:
        yield Hooks(base)
    route.threads.close()
    announcer.close()


@pytest.mark.django_db(transaction=True)
def test_the_program_of_the_page_is_polled_and_pushes(hooks: Hooks, settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    port = port_of_our_own()
    command = [sys.executable, "-u", "-m", "fleetcharge.demo.peers.vendor", "--port", str(port), "--secret", SECRET]
    kaveri = subprocess.Popen([*command, "--hook", f"{hooks.base}/hooks/kaveri"], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert kaveri.stdout
        told = dict(kaveri.stdout.readline().decode().split(":", 1) for _ in range(3))
        feed = make_kaveri(f"http://127.0.0.1:{port}")
        assert orjson.loads(told["poll plan"]) == feed.poll
        assert orjson.loads(told["poll mapping"]) == feed.poll_mapping
        assert orjson.loads(told["mapping"]) == feed.mapping
        deadline = time.monotonic() + 120
        while poll_source(feed.source_id) == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        while Source.objects.get().last_push_at is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert Source.objects.get().state == "connected"
        assert Source.objects.get().last_push_at is not None
        assert set(Connector.objects.values_list("raw_status", flat=True)) <= set(vendor.STATES)
        assert Connector.objects.count() == 12
    finally:
        kaveri.terminate()
        kaveri.wait(60)


@pytest.mark.django_db(transaction=True)
def test_an_ed25519_key_of_the_vendor_is_believed_over_http(hooks: Hooks) -> None:
    seed = Ed25519PrivateKey.generate()
    public = seed.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    feed = make_feed(algorithm="ed25519", signed="{method}{path}{timestamp}{body}", secret=public.hex())
    make_plug(feed, "E1")
    raw, stamp = orjson.dumps({"entries": [entry("E1", "free")]}), str(int(time.time()))
    signature = seed.sign(b"POST/hooks/kaveri/a%20b?x=1" + stamp.encode() + raw).hex()
    headers = {"X-Timestamp": stamp, "X-Signature": signature}
    assert hooks.push(raw, path="/a%20b?x=1", headers=headers).status_code == 200
    assert hooks.push(raw, path="/a%20b?x=2", headers=headers).json()["code"] == "wrong_signature"


@pytest.mark.django_db(transaction=True)
def test_standard_webhooks_are_believed_over_http(hooks: Hooks) -> None:
    from fleetcharge.webhooks import signing

    key = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
    feed = make_feed(
        signed="{id}.{timestamp}.{body}", signature_header="webhook-signature", timestamp_header="webhook-timestamp",
        id_header="webhook-id", secret=key,
    )  # fmt: skip
    make_plug(feed, "E1")
    raw = orjson.dumps({"entries": [entry("E1", "free")]})
    ours = signing.headers([key], "msg_1", int(time.time()), raw)
    assert codes(hooks.push(raw, headers=ours)) == ["applied"]
    assert hooks.push(raw, headers=ours | {"webhook-id": "msg_2"}).status_code == 401
    assert hooks.push(raw, headers=ours).json()["duplicate"]


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(8))
def test_any_order_and_any_split_into_pushes_end_alike(seed: int) -> None:
    feed = make_feed()
    names = [f"E{number}" for number in range(4)]
    plugs = {name: make_plug(feed, name) for name in names}
    words = ("available", "charging", "faulted", "reserved", "occupied")
    chance = random.Random(seed)
    news = [
        StatusWord(name, "", word, word, before(1000 - 10 * step - number))
        for number, name in enumerate(names)
        for step, word in enumerate(chance.choices(words, k=6))
    ]
    wanted = {
        name: max((word for word in news if word.evse == name), key=lambda word: word.at or before(9e6))
        for name in names
    }
    told = [*news, *chance.sample(news, 10)]
    chance.shuffle(told)
    while told:
        size = chance.randint(1, 7)
        part, told = told[:size], told[size:]
        reading = Reading([Entry(index, status=word) for index, word in enumerate(part)])
        taking.take([taking.Work(feed.source, reading, timezone.now())])
    for name, plug in plugs.items():
        plug.refresh_from_db()
        assert (plug.reported_status, plug.status_at) == (wanted[name].status, wanted[name].at)
