"""The door for Beckn callbacks: who is believed, what is refused by which name, and what scanned codes show."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts.models import Organisation, User
from fleetcharge.demo.peers.ubc import BPP, CDS, KEY, SuryaCharge
from stations.cpo.base import CPOError
from stations.cpo.ubc import flow, keys, orders, receiver, signing, wire
from stations.cpo.ubc.models import UBCItem, UBCKey, UBCMessage, UBCNetwork, UBCOrder, UBCRefusal
from stations.models import Connector, NetworkAccess, Source
from stations.tests.factories import make_public_connector
from stations.tests.serving import serve

pytestmark = pytest.mark.django_db
BAP = "fleet.example"


@pytest.fixture
def surya(settings: Any) -> Iterator[SuryaCharge]:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    peer = SuryaCharge()
    with serve(peer) as base:
        peer.base = base
        yield peer


@pytest.fixture
def network(surya: SuryaCharge) -> UBCNetwork:
    source = Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9")
    network = UBCNetwork(
        source=source, subscriber_id=BAP, key_id="k1", gateway_id=CDS, gateway_url=f"{surya.base}/cds",
        registry_url=f"{surya.base}/registry/dedi/lookup/{{subscriber_id}}/subscribers.beckn.one/{{key_id}}",
    )  # fmt: skip
    network.signing_key = signing.new_key_pair()[0]
    network.save()
    return network


@pytest.fixture
def order(network: UBCNetwork) -> UBCOrder:
    connector = make_public_connector(network.source)
    UBCItem.objects.create(
        connector=connector, network=network, item_id="I1", bpp_id=BPP, bpp_uri="https://bpp",
        provider_id="surya-charge", qr="https://surya.example/q/1", seen_at=timezone.now(), offers=[{"beckn:id": "O1"}],
    )  # fmt: skip
    now = timezone.now()
    return orders.open_order(
        connector_id=connector.pk, now=now, expires_at=now + timedelta(hours=1), id_token="T", reservation_key="R"
    )


def body(order: UBCOrder, action: str = "on_select", **context: Any) -> dict[str, Any]:
    message = {"order": {"beckn:orderStatus": "CREATED", "beckn:orderValue": {"currency": "INR", "value": 100.5}}}
    return {
        "context": {
            "action": action, "version": "2.0.0", "domain": "beckn.one:deg:ev-charging", "bap_id": BAP, "bpp_id": BPP,
            "transaction_id": str(order.transaction_id), "message_id": f"m{time.monotonic_ns()}",
            "timestamp": timezone.now().isoformat(), **context,
        },
        "message": message, "error": {},
    }  # fmt: skip


def deliver(
    surya: SuryaCharge, payload: Any, *, path: str = "on_select", header: str | None = None, sender: str = BPP
) -> receiver.Ack:
    raw = payload if isinstance(payload, bytes) else wire.dump(payload)
    return receiver.receive("ubc", path, surya.sign(raw, sender) if header is None else header, raw, timezone.now())


def counted() -> dict[str, int]:
    return dict(UBCRefusal.objects.values_list("code", "count"))


# --- who is believed ------------------------------------------------------------------------------------------------
def test_a_signed_callback_is_kept_word_for_word_and_applied(surya: SuryaCharge, order: UBCOrder) -> None:
    payload = wire.dump(body(order)) + b"\n"
    ack = deliver(surya, payload)
    assert (ack.http, ack.body, ack.order_id) == (200, {"message": {"ack": {"status": "ACK"}}}, order.pk)
    message = UBCMessage.objects.get()
    assert bytes(message.raw) == payload
    assert (message.subscriber_id, message.result) == (BPP, "")
    signing.verify(bytes(message.raw), signing.read(message.authorization), surya.registry[BPP, KEY])  # evidence
    order.refresh_from_db()
    assert (order.state, order.quoted_paise, order.next_action) == ("quoted", 10_050, "init")


def test_one_changed_byte_is_refused_and_changes_nothing(surya: SuryaCharge, order: UBCOrder) -> None:
    raw = wire.dump(body(order))
    header = surya.sign(raw)
    for changed in (raw.replace(b"100.5", b"900.5"), raw + b" "):
        ack = deliver(surya, changed, header=header)
        assert (ack.http, ack.body["error"]["code"]) == (401, "wrong_signature")
        assert "Signature realm" in ack.headers["WWW-Authenticate"]
    assert counted() == {"wrong_signature": 2}
    assert not UBCMessage.objects.exists()
    order.refresh_from_db()
    assert order.state == "selecting"


def test_the_very_same_message_again_is_acknowledged_and_nothing_more(surya: SuryaCharge, order: UBCOrder) -> None:
    raw = wire.dump(body(order))
    assert [deliver(surya, raw).order_id, deliver(surya, raw).order_id] == [order.pk, None]
    assert deliver(surya, raw).http == 200
    assert UBCMessage.objects.count() == 1
    assert counted() == {"repeated": 2}


def test_another_message_under_a_used_id_is_no_replay(surya: SuryaCharge, order: UBCOrder) -> None:
    """The specification's own examples use one message id for several callbacks."""
    first = body(order, message_id="same")
    second = {**first, "message": {"order": {"beckn:orderStatus": "CREATED", "beckn:seller": "cpo2"}}}
    assert [deliver(surya, first).http, deliver(surya, second).http] == [200, 200]
    assert UBCMessage.objects.count() == 2


@pytest.mark.parametrize(
    ("created", "expires", "code"),
    [(-400, -200, "expired"), (200, 400, "not_yet_valid"), (0, 200_000, "lives_too_long")],
)
def test_a_signature_outside_its_time_is_refused(
    surya: SuryaCharge, order: UBCOrder, created: int, expires: int, code: str
) -> None:
    raw, now = wire.dump(body(order)), int(time.time())
    ack = deliver(surya, raw, header=surya.sign(raw, created=now + created, expires=now + expires))
    assert (ack.http, ack.code) == (401, code)
    assert counted() == {code: 1}
    assert surya.lookups == 0  # not even asked for


def test_nobody_signs_for_somebody_else(surya: SuryaCharge, order: UBCOrder) -> None:
    ack = deliver(surya, body(order), sender=CDS)
    assert (ack.http, ack.code) == (400, "not_the_sender")
    ack = deliver(surya, body(order, bpp_id=CDS), sender=CDS)
    assert ack.http == 200  # a true message of a stranger to this order
    assert UBCMessage.objects.get().result == "not_the_seller"
    order.refresh_from_db()
    assert order.state == "selecting"
    assert counted() == {"not_the_sender": 1, "not_the_seller": 1}


# --- keys -----------------------------------------------------------------------------------------------------------
def test_a_key_is_asked_for_once_an_hour(surya: SuryaCharge, order: UBCOrder, network: UBCNetwork) -> None:
    for _ in range(3):
        deliver(surya, body(order))
    assert surya.lookups == 1
    UBCKey.objects.update(fetched_at=timezone.now() - timedelta(minutes=61))
    deliver(surya, body(order))
    assert surya.lookups == 2


def test_a_rotated_key_is_found_and_a_wrong_signature_does_not_hammer_the_registry(
    surya: SuryaCharge, order: UBCOrder
) -> None:
    deliver(surya, body(order))
    UBCKey.objects.update(public_key=signing.new_key_pair()[1], fetched_at=timezone.now() - timedelta(minutes=6))
    assert deliver(surya, body(order)).http == 200
    assert surya.lookups == 2
    raw = wire.dump(body(order))
    for _ in range(5):
        assert deliver(surya, raw + b" ", header=surya.sign(raw)).code == "wrong_signature"
    assert surya.lookups == 2


def test_an_unknown_or_revoked_key_is_refused_and_asked_for_once_a_minute(surya: SuryaCharge, order: UBCOrder) -> None:
    known = surya.registry.pop((BPP, KEY))
    for _ in range(3):
        assert deliver(surya, body(order)).code == "unknown_key"
    assert surya.lookups == 1
    assert counted() == {"unknown_key": 3}
    surya.registry[BPP, KEY] = known


def test_a_registry_that_is_away_does_not_stop_those_we_know(
    surya: SuryaCharge, order: UBCOrder, network: UBCNetwork
) -> None:
    deliver(surya, body(order))
    UBCNetwork.objects.update(registry_url="http://127.0.0.1:9/{subscriber_id}/{key_id}")
    UBCKey.objects.update(fetched_at=timezone.now() - timedelta(hours=2))
    assert deliver(surya, body(order)).http == 200
    UBCKey.objects.update(fetched_at=timezone.now() - timedelta(hours=25))
    assert deliver(surya, body(order)).code == "registry_away"


def test_a_stranger_at_whose_name_the_registry_fails_silences_nobody_else(
    surya: SuryaCharge, network: UBCNetwork
) -> None:
    surya.fails_at = {"evil.example", "evil-key"}
    now = timezone.now()
    for stranger in [("evil.example", KEY), (BPP, "evil-key")] * 2:
        with pytest.raises(signing.BadSignature) as refused:
            keys.public_key(network, *stranger, now=now)
        assert refused.value.code == "registry_away"
    assert surya.lookups == 2  # each of them once
    assert keys.public_key(network, BPP, KEY, now=now) == surya.registry[BPP, KEY]


@pytest.mark.parametrize("broken", [b"", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno"])
def test_a_broken_answer_says_nothing_of_other_keys(surya: SuryaCharge, network: UBCNetwork, broken: bytes) -> None:
    now, usual = timezone.now(), network.registry_url
    with answering(broken) as base:
        network.registry_url = f"{base}/{{subscriber_id}}/{{key_id}}"
        with pytest.raises(signing.BadSignature):
            keys.public_key(network, "evil.example", KEY, now=now)
    network.registry_url = usual
    assert keys.public_key(network, BPP, KEY, now=now) == surya.registry[BPP, KEY]


def refusal(network: UBCNetwork, subscriber_id: str, key_id: str = KEY) -> str:
    with pytest.raises(signing.BadSignature) as refused:
        keys.public_key(network, subscriber_id, key_id, now=timezone.now())
    return str(refused.value)


def test_strangers_at_whose_names_the_registry_hangs_stop_only_strangers(
    surya: SuryaCharge, order: UBCOrder, network: UBCNetwork
) -> None:
    usual = network.registry_url
    network.registry_url = "http://127.0.0.1:9/{subscriber_id}/{key_id}"
    assert "did not answer just now" not in refusal(network, "evil1.example")
    assert "did not answer just now" in refusal(network, "evil1.example")  # of this key alone
    for stranger in ("evil2.example", "evil3.example"):
        assert "too many names" not in refusal(network, stranger)
    assert "too many names" in refusal(network, "evil4.example")
    for number in range(keys.HANGS_AT_MOST):
        assert "too many names" not in refusal(network, CDS, f"evil{number}")
    network.registry_url = usual
    assert "too many names" in refusal(network, "evil5.example")
    assert "too many names" in refusal(network, CDS)  # somebody used up its name, too, and nobody else's
    assert keys.public_key(network, BPP, KEY, now=timezone.now()) == surya.registry[BPP, KEY]
    assert surya.lookups == 1


def test_names_that_are_answered_use_nothing_up(surya: SuryaCharge, network: UBCNetwork) -> None:
    for number in range(3 * keys.HANGS_AT_MOST):
        assert "does not know" in refusal(network, f"nobody{number}.example")
    assert surya.lookups == 3 * keys.HANGS_AT_MOST


def test_a_key_we_hold_waits_for_nobody_and_is_not_silenced_by_names_beside_it(
    surya: SuryaCharge, order: UBCOrder, network: UBCNetwork
) -> None:
    now, usual = timezone.now(), network.registry_url
    key = keys.public_key(network, BPP, KEY, now=now)
    network.registry_url = "http://127.0.0.1:9/{subscriber_id}/{key_id}"
    for number in range(keys.HANGS_AT_MOST + 1):
        refusal(network, BPP, f"evil{number}")
    network.registry_url = usual
    UBCKey.objects.update(public_key="OLD", fetched_at=now - timedelta(hours=2))
    assert keys.public_key(network, BPP, KEY, now=now) == key  # asked for, and had


def test_a_callback_that_comes_while_the_registry_is_asked_comes_again_and_is_no_guess(
    surya: SuryaCharge, network: UBCNetwork
) -> None:
    """Four callbacks at first contact; the registry has not answered any of the first three yet."""
    usual, three = network.registry_url, keys.HANGS_AT_MOST
    payload = {"context": {"action": "on_select"}}
    with holding(three) as (base, asked, go):
        network.registry_url = f"{base}/{{subscriber_id}}/{{key_id}}"
        waiting = [threading.Thread(target=ask_for, args=(network, f"k{number}")) for number in range(three)]
        for thread in waiting:
            thread.start()
        assert asked.wait(60)
        for _ in range(5):  # however often: none of them is counted as one that is asked for
            ack = deliver(surya, payload, sender=CDS)
            assert (ack.http, ack.code, ack.is_guess, ack.wait_seconds) == (503, "registry_busy", False, 2)
        go.set()
        for thread in waiting:
            thread.join(60)
    network.registry_url = usual
    assert deliver(surya, payload, sender=CDS).http == 400  # believed, and read


def ask_for(network: UBCNetwork, key_id: str) -> None:
    with contextlib.suppress(CPOError):
        keys._ask(network, CDS, key_id, is_held=False)


@contextlib.contextmanager
def holding(count: int) -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """A registry that answers none of so many callers (the first event: they are there) before the second event."""
    asked, go = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            lines = [server.accept()[0] for _ in range(count)]
            for line in lines:
                line.recv(65536)
            asked.set()
            go.wait(60)
            for line in lines:
                line.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                line.close()

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked, go
        go.set()
        thread.join(60)


@contextlib.contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """A server that sends these bytes to the first who asks, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            line, _ = server.accept()
            with line:
                line.recv(65536)
                line.sendall(raw)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(60)


RECORD = {"subscriber_id": BPP, "signing_public_key": "KEY", "status": "SUBSCRIBED"}


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ({"data": {"details": RECORD, "state": "live"}}, "KEY"),
        ([{**RECORD, "unique_key_id": "other"}, {**RECORD, "ukId": KEY}], "KEY"),
        ({"subscriberId": BPP, "keyId": KEY, "signingPublicKey": "KEY", "validUntil": "2027-01-01T00:00:00Z"}, "KEY"),
        ({"data": {"details": {**RECORD, "status": "SUSPENDED"}}}, None),
        ({"data": {"details": {"subscriber_id": BPP, "signing_public_key": "KEY"}, "state": "revoked"}}, None),
        ({**RECORD, "subscriber_id": "somebody.else"}, None),
        ([], None),
    ],
)
def test_registries_answer_in_several_forms(answer: Any, key: str | None) -> None:
    record = keys._record(answer, BPP, KEY)
    assert (record["key"] if record else None) == key


# --- what is refused by which name ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "http", "code"),
    [
        ({"action": "on_init"}, 400, "wrong_action"),
        ({"bap_id": "other.example"}, 400, "not_for_us"),
        ({"domain": "beckn.one:retail:books"}, 400, "wrong_domain"),
        ({"timestamp": "2099-01-01T00:00:00Z"}, 400, "from_the_future"),
        ({"timestamp": "soon"}, 400, "bad_context"),
        ({"message_id": ""}, 400, "bad_context"),
        ({"transaction_id": "x" * 65}, 400, "bad_context"),
        ({"transaction_id": "with a\x00zero"}, 400, "bad_context"),
        ({"domain": "beckn.one:deg:*"}, 200, ""),
        ({"timestamp": timezone.now().replace(tzinfo=None).isoformat()}, 200, ""),
        ({"bap_id": BAP.upper()}, 200, ""),
    ],
)
def test_a_wrong_context_has_a_name(
    surya: SuryaCharge, order: UBCOrder, change: dict[str, Any], http: int, code: str
) -> None:
    ack = deliver(surya, body(order, **change))
    assert (ack.http, ack.code) == (http, code)
    assert counted() == ({code: 1} if code else {})


@pytest.mark.parametrize(
    ("payload", "code"), [(b"", "not_json"), (b"<html>", "not_json"), (b"{}", "no_context"), (b"[1]", "no_context")]
)
def test_a_signed_body_that_is_no_message_has_a_name(
    surya: SuryaCharge, order: UBCOrder, payload: bytes, code: str
) -> None:
    assert deliver(surya, payload).code == code


@pytest.mark.parametrize(
    ("message", "result"),
    [
        ({}, "bad_message"),
        ({"order": {"beckn:orderValue": {"value": 1e12}}}, "unusable"),
        ({"order": {"beckn:orderStatus": "CREATED\x00", "beckn:id": "a\x00b"}}, "unusable"),
        ({"order": {"beckn:fulfillment": {"trackingAction": {"target": "x"}}}}, ""),
        ({"order": {"beckn:payment": {"beckn:paymentURL": "javascript:alert(1)"}}}, ""),
    ],
)
def test_what_cannot_be_used_is_kept_named_and_acknowledged(
    surya: SuryaCharge, order: UBCOrder, message: dict[str, Any], result: str
) -> None:
    assert deliver(surya, {**body(order), "message": message}).http == 200
    kept = UBCMessage.objects.get()
    assert (kept.result, kept.applied_at is not None) == (result, True)
    assert counted() == ({result: 1} if result else {})


def test_links_of_a_peer_are_only_web_addresses(surya: SuryaCharge, order: UBCOrder) -> None:
    message = {"order": {
        "beckn:fulfillment": {"trackingAction": {"target": {"url": "javascript:alert(1)"}}},
        "beckn:invoice": {"beckn:invoiceAttributes": {"invoiceUrl": "https://surya.example/i/1"}},
    }}  # fmt: skip
    deliver(surya, {**body(order), "message": message})
    order.refresh_from_db()
    assert (order.tracking_url, order.invoice_url) == ("", "https://surya.example/i/1")


def test_an_order_nobody_knows_is_acknowledged_and_counted(surya: SuryaCharge, order: UBCOrder) -> None:
    assert deliver(surya, body(order, transaction_id="not-a-uuid")).http == 200
    assert deliver(surya, body(order, transaction_id="2b4d69aa-22e4-4c78-9f56-5a7b9e2b2002")).http == 200
    assert counted() == {"unknown_order": 2}


@pytest.mark.parametrize("path", ["select", "on_dance", "", "on_rate"])
def test_we_take_callbacks_only(surya: SuryaCharge, order: UBCOrder, path: str) -> None:
    assert deliver(surya, body(order), path=path).http == 404


def test_a_catalogue_of_a_stranger_is_not_taken(surya: SuryaCharge, network: UBCNetwork) -> None:
    """Only the discovery service, and a BPP for itself."""
    surya.keys["evil.example"] = surya.keys[BPP]
    surya.registry["evil.example", KEY] = surya.registry[BPP, KEY]
    message, _ = surya._discover({"message": {}})
    context = {
        "action": "on_discover", "bap_id": BAP, "transaction_id": "t1", "message_id": "m1",
        "timestamp": timezone.now().isoformat(),
    }  # fmt: skip
    raw = wire.dump({"context": {**context, "bpp_id": "evil.example"}, "message": message})
    assert deliver(surya, raw, path="on_discover", sender="evil.example").is_catalogue
    report = flow.take_message(UBCMessage.objects.get(), timezone.now())
    assert (report.connectors, report.rejected[0]["why"]) == (0, f"evil.example speaks for {BPP}.")
    raw = wire.dump({"context": {**context, "bpp_id": BPP}, "message": message})
    deliver(surya, raw, path="on_discover")
    assert flow.take_message(UBCMessage.objects.get(subscriber_id=BPP), timezone.now()).connectors == 4


def test_a_catalogue_that_names_a_private_address_is_not_called(order: UBCOrder, settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = False
    UBCOrder.objects.update(bpp_uri="http://169.254.169.254/latest")
    assert flow.step(order.pk)
    order.refresh_from_db()
    assert (order.state, order.error_code) == ("rejected", "hostile_url")
    with pytest.raises(CPOError):
        keys.lookup(order.network, "a", "b")


def test_the_database_itself_refuses_a_second_order_for_one_promise(order: UBCOrder) -> None:
    now = timezone.now()
    again = orders.open_order(
        connector_id=order.connector_id, now=now, expires_at=now, id_token="T", reservation_key="R"
    )
    assert again.pk == order.pk
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_indexes WHERE indexname IN ('one_ubc_order_per_promise', 'no_ubc_message_twice')"
        )
        assert cursor.fetchone() == (2,)


# --- over HTTP --------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("one_window")
@pytest.mark.django_db(transaction=True)
def test_the_route_bounds_bodies_and_guesses(settings: Any) -> None:
    from stations.cpo.ubc import webhook

    source = Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9")
    UBCNetwork.objects.create(source=source, subscriber_id=BAP, key_id="k1", registry_url="https://r", gateway_url="")
    with serve(webhook.ubc) as base:
        assert httpx.get(f"{base}/ubc/ubc/on_select").status_code == 405
        assert httpx.post(f"{base}/ubc/nobody/on_select", content=b"{}").status_code == 404
        assert httpx.post(f"{base}/ubc/ubc/on_select", content=b"x" * 600_000).status_code == 413
        answers = [httpx.post(f"{base}/ubc/ubc/on_select", content=b"{}") for _ in range(31)]
    webhook.threads.close()
    assert answers[0].json()["error"]["code"] == "no_signature"
    assert (answers[0].status_code, answers[-1].status_code) == (401, 429)
    assert int(answers[-1].headers["retry-after"]) > 0


# --- the page behind a code -------------------------------------------------------------------------------------------
CODE = "beckn://discover?&message.catalogs.items.provider.id=surya-charge&message.catalogs.items.id=I1&version=1.0"


def test_a_code_shows_its_charger(
    client: Client, order: UBCOrder, dispatcher: User, organisation: Organisation
) -> None:
    client.force_login(dispatcher)
    for code in (CODE, "https://surya.example/q/1"):
        page = client.get("/scan/", {"code": code}).content.decode()
        assert "Marathahalli Hub" in page
        assert "no contract with this network" in page
    NetworkAccess.objects.create(organisation=organisation, source=order.network.source)
    assert "Your fleet may charge here." in client.get("/scan/", {"code": CODE}).content.decode()
    newer = client.get("/scan/", {"code": CODE.replace("1.0", "3.0")}).content.decode()
    assert "newer version" in newer
    assert "Marathahalli Hub" in newer


def test_a_code_of_nobody_and_a_code_that_is_none(client: Client, order: UBCOrder, dispatcher: User) -> None:
    client.force_login(dispatcher)
    assert "Paste what the code" in client.get("/scan/").content.decode()
    assert "do not know this charger" in client.get("/scan/", {"code": CODE.replace("I1", "I2")}).content.decode()
    page = client.get("/scan/", {"code": "javascript:alert('1')<script>"}).content.decode()
    assert "no charger behind this code" in page
    assert "<script>alert" not in page
    assert "alert('1')<" not in page


def test_the_page_needs_a_sign_in_and_shows_strangers_no_private_network(
    client: Client, order: UBCOrder, organisation: Organisation, dispatcher: User, stranger: User
) -> None:
    assert client.get("/scan/", {"code": CODE}).status_code == 302
    Connector.objects.get().evse.location.__class__.objects.update(organisation=organisation)
    client.force_login(stranger)
    assert "Marathahalli" not in client.get("/scan/", {"code": CODE}).content.decode()
    client.force_login(dispatcher)
    assert "Marathahalli" in client.get("/scan/", {"code": CODE}).content.decode()


@pytest.mark.usefixtures("one_window")
def test_the_networks_are_asked_in_the_background(
    client: Client, surya: SuryaCharge, network: UBCNetwork, dispatcher: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr("stations.cpo.ubc.tasks.look_up_code.delay", lambda *args: asked.append(args))
    client.force_login(dispatcher)
    answer = client.post("/scan/", {"code": CODE}, follow=True)
    assert asked == [(network.pk, "I1", "")]
    assert "being asked" in answer.content.decode()
    for _ in range(25):
        client.post("/scan/", {"code": CODE})
    assert len(asked) == 20  # a minute
    assert client.post("/scan/", {"code": "nonsense"}, follow=True).status_code == 200
