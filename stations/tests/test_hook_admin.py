"""A vendor is set up on the desk: secrets shown once, a payload tried without a trace, dead letters replayed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.demo.peers import vendor
from stations.cpo.webhooks import codes, counting, letters, presets, styles
from stations.cpo.webhooks.models import DeadLetter, WebhookCount, WebhookFeed, WebhookPush
from stations.models import Connector, Location, Source, StatusChange
from stations.tests.hooks import SECRET, before, make_kaveri, make_plug

pytestmark = pytest.mark.django_db
FORM = {
    "style": "mapping", "mapping": json.dumps(vendor.MAPPING), "algorithm": "hmac-sha256",
    "signed": "{timestamp}.{body}",
    "signature_header": "X-Kaveri-Signature", "timestamp_header": "", "id_header": "", "window_seconds": "300",
    "allowed_addresses": "", "vendor_secret": "", "poll": "{}", "poll_mapping": "{}", "vendor_key": "",
}  # fmt: skip


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root@house.example", "correct horse"))
    return client


def event(plug: str, state: str, ago: float = 5) -> dict[str, Any]:
    return {"kind": "plug.state", "station": "S", "plug": plug, "state": state, "since": before(ago).isoformat()}


def test_a_feed_gets_a_secret_that_is_shown_once_and_encrypted(desk: Client) -> None:
    source = Source.objects.create(slug="kaveri", name="Kaveri", kind="webhook")
    saved = desk.post("/admin/stations/webhookfeed/add/", {**FORM, "source": source.pk}, follow=True)
    feed = WebhookFeed.objects.get()
    assert len(feed.secret) >= 32
    assert feed.secret in saved.content.decode()
    assert feed.secret not in feed.secret_encrypted
    page = desk.get(f"/admin/stations/webhookfeed/{feed.pk}/change/").content.decode()
    assert "/hooks/kaveri" in page
    assert feed.secret not in page
    for address in ("try", "new-secret", "replay"):
        assert desk.get(f"/admin/stations/webhookfeed/{feed.pk}/{address}/").status_code == 200


def test_a_secret_of_the_vendor_is_taken_and_never_enters_the_audit(desk: Client) -> None:
    source = Source.objects.create(slug="kaveri", name="Kaveri", kind="rest-poll")
    given = {**FORM, "source": source.pk, "vendor_secret": "the vendor's own secret", "vendor_key": "our-key-there"}
    desk.post("/admin/stations/webhookfeed/add/", given)
    feed = WebhookFeed.objects.get()
    assert (feed.secrets, feed.poll_key) == (["the vendor's own secret"], "our-key-there")
    desk.post(f"/admin/stations/webhookfeed/{feed.pk}/change/", {**given, "vendor_secret": "the next one"})
    feed.refresh_from_db()
    assert feed.secrets == ["the next one", "the vendor's own secret"]
    told = json.dumps(list(AuditEntry.objects.values("action", "before", "after", "reason")))
    assert "secret" in told
    for hidden in ("the vendor's own", "the next one", "our-key-there", feed.secret_encrypted):
        assert hidden not in told


def test_secrets_change_over_with_two_believed_between(desk: Client) -> None:
    feed = make_kaveri()
    asked = desk.post(f"/admin/stations/webhookfeed/{feed.pk}/new-secret/", {"reason": "yearly"}, follow=True)
    feed.refresh_from_db()
    assert feed.secrets[1] == SECRET
    assert feed.secrets[0] in asked.content.decode()
    desk.post(f"/admin/stations/webhookfeed/{feed.pk}/drop-old-secret/", {"reason": "changed over"})
    feed.refresh_from_db()
    assert (len(feed.secrets), SECRET in feed.secrets) == (1, False)
    assert list(AuditEntry.objects.order_by("pk").values_list("action", "reason")) == [
        ("new_secret", "yearly"), ("drop_old_secret", "changed over"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("mapping", '{"evse": "a", "status": "b", "colour": "c"}', "colour is nothing a mapping knows"),
        ("poll", '{"url": "ftp://x"}', "address of the first page"),
        ("signed", "{timestamp}", "proves nothing about it"),
        ("allowed_addresses", "somewhere", "does not appear to be"),
        ("window_seconds", "0", "greater than or equal to 1"),
        ("algorithm", "ed25519", "32 bytes"),
    ],
)
def test_a_feed_that_cannot_work_is_not_saved(desk: Client, field: str, value: str, problem: str) -> None:
    source = Source.objects.create(slug="kaveri", name="Kaveri", kind="webhook")
    page = desk.post("/admin/stations/webhookfeed/add/", {**FORM, "source": source.pk, field: value})
    assert problem in page.content.decode()
    assert not WebhookFeed.objects.exists()


def test_only_a_network_of_such_a_kind_gets_a_feed(desk: Client) -> None:
    source = Source.objects.create(slug="voltgrid", name="VoltGrid", kind="ocpi-2.2.1")
    page = desk.post("/admin/stations/webhookfeed/add/", {**FORM, "source": source.pk}).content.decode()
    assert "Choose a network of a kind" in page


def test_an_empty_mapping_becomes_what_is_usual_for_the_style(desk: Client) -> None:
    source = Source.objects.create(slug="monta", name="Monta", kind="webhook")
    desk.post("/admin/stations/webhookfeed/add/", {**FORM, "source": source.pk, "style": "monta", "mapping": "{}"})
    assert WebhookFeed.objects.get().mapping == presets.MONTA


# --- trying -------------------------------------------------------------------------------------------------------
def tables() -> tuple[int, ...]:
    models = (WebhookPush, DeadLetter, WebhookCount, StatusChange, Location, Connector)
    return tuple(model.objects.count() for model in models)


def test_a_payload_is_tried_by_the_real_road_and_leaves_no_trace(desk: Client) -> None:
    feed = make_kaveri()
    plug = make_plug(feed, "K-1", site="S")
    before_it = tables()
    payload = json.dumps({"sent": 1, "events": [event("K-1", "in use"), event("K-9", "free"), event("K-1", "blau")]})
    page = desk.post(f"/admin/stations/webhookfeed/{feed.pk}/try/", {"payload": payload}).content.decode()
    assert "applied · EVSE S*K-1: in use, Charging" in page
    assert "Unknown → Unknown" in page  # the last of the two words is one that nobody knows
    assert "we hold no EVSE of this id · EVSE S*K-9" in page
    assert "applied; its status is a word we do not know · EVSE S*K-1: blau" in page
    assert "unknown_" not in page
    plug.refresh_from_db()
    assert (plug.status, plug.status_at, tables()) == ("unknown", None, before_it)


def test_another_mapping_is_tried_and_then_kept(desk: Client) -> None:
    feed = make_kaveri()
    make_plug(feed, "K-1")
    wish = {"payload": '{"list": [{"id": "K-1", "st": "occupied"}]}'}
    mapping = {"entries": "$.list", "evse": "id", "status": "st"}
    address = f"/admin/stations/webhookfeed/{feed.pk}/try/"
    assert "no entries where the mapping says" in desk.post(address, wish).content.decode()
    page = desk.post(address, {**wish, "mapping": json.dumps(mapping)}).content.decode()
    assert "Unknown → Occupied" in page
    feed.refresh_from_db()
    assert feed.mapping == vendor.MAPPING
    desk.post(address, {**wish, "mapping": json.dumps(mapping), "keep": "on"})
    feed.refresh_from_db()
    assert feed.mapping == mapping
    assert AuditEntry.objects.get().action == "mapping"


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"payload": "<html>"}, "the body is not JSON"),
        ({"payload": "[]", "mapping": '{"evse": 7}'}, "evse is a path"),
        ({"payload": "[]", "mapping": "{"}, "valid JSON"),
        ({"payload": ""}, "required"),
        ({"payload": '{"events": []}'}, "No entries"),
    ],
)
def test_a_payload_or_mapping_that_cannot_be_read_says_why(desk: Client, wish: dict[str, str], told: str) -> None:
    feed = make_kaveri()
    assert told in desk.post(f"/admin/stations/webhookfeed/{feed.pk}/try/", wish).content.decode()


def test_a_polled_page_is_tried_with_its_sites(desk: Client) -> None:
    feed = make_kaveri("https://kaveri.example")
    kaveri = vendor.KaveriCharge(vendor.stations(2))
    page = json.dumps({"stations": [kaveri._site(site) for site in kaveri.stations]})
    told = desk.post(f"/admin/stations/webhookfeed/{feed.pk}/try/", {"payload": page, "is_page": "on"})
    assert "applied · Kaveri BTM" in told.content.decode()
    assert not Location.objects.exists()


# --- dead letters and whose they are --------------------------------------------------------------------------------
def letter(feed: WebhookFeed, plug: str) -> DeadLetter:
    raw = json.dumps({"events": [event(plug, "in use")]}).encode()
    now = timezone.now()
    push = WebhookPush.objects.create(
        feed=feed, dedupe_key=plug, method="POST", raw=raw, received_at=now, applied_at=now
    )
    return DeadLetter.objects.create(feed=feed, push=push, index=0, code="unknown_evse", subject=f"S*{plug}")


def test_dead_letters_are_replayed_from_the_list_and_from_the_feed(desk: Client) -> None:
    feed = make_kaveri()
    first, second = letter(feed, "K-1"), letter(feed, "K-2")
    plugs = [make_plug(feed, name, site="S") for name in ("K-1", "K-2")]
    chosen = {"action": "replay", "_selected_action": [first.pk]}
    told = desk.post("/admin/stations/deadletter/", chosen, follow=True).content.decode()
    assert "Replayed: applied: 1." in told
    assert [Connector.objects.get(pk=plug.pk).status for plug in plugs] == ["charging", "unknown"]
    desk.post(f"/admin/stations/webhookfeed/{feed.pk}/replay/", {"reason": "the site has come"})
    assert [Connector.objects.get(pk=plug.pk).status for plug in plugs] == ["charging", "charging"]
    assert list(DeadLetter.objects.waiting()) == []
    assert letters.replay([second.pk], now=timezone.now()) == {}
    assert "K-1" in desk.get(f"/admin/stations/webhookpush/{first.push_id}/change/").content.decode()


def test_dead_letters_are_told_in_words(desk: Client) -> None:
    feed = make_kaveri()
    waiting = letter(feed, "K-1")
    tally = counting.Tally()
    for code in ("unknown_evse", "polled_bad_time", counting.lag_code(70)):
        tally.add(feed.pk, code)
    tally.write(timezone.now())
    page = desk.get("/admin/stations/deadletter/").content.decode()
    assert "we hold no EVSE of this id" in page
    assert ">unknown_evse<" not in page
    chosen = desk.get("/admin/stations/deadletter/?code=unknown_evse").content.decode()
    assert "S*K-1" in chosen
    assert "S*K-1" not in desk.get("/admin/stations/deadletter/?code=no_evse").content.decode()
    asked = desk.get(f"/admin/stations/webhookfeed/{feed.pk}/replay/").content.decode()
    assert "S*K-1 · we hold no EVSE of this id" in asked
    its_page = desk.get(f"/admin/stations/deadletter/{waiting.pk}/change/").content.decode()
    assert "we hold no EVSE of this id" in its_page and "unknown_evse" in its_page
    counted = desk.get("/admin/stations/webhookcount/").content.decode()
    assert "polled: its time cannot be read" in counted and "kept within 100 ms" in counted
    assert (
        "we hold no EVSE of this id: 1" in desk.get(f"/admin/stations/webhookfeed/{feed.pk}/change/").content.decode()
    )


def test_every_code_has_its_words() -> None:
    """Each is a text of its own in the modules that read pushes."""
    folder = Path(codes.__file__).parent
    named = re.compile(
        r"""(?:BadEntry|BadSignature)\(\s*"([a-z_]+)"|code="([a-z_]+)"|"""
        r"""Outcome\(\w+, "([a-z_]+)"|tally\.add\([^,]+, "([a-z_]+)"|_refuse\(job, \d+, "([a-z_]+)\""""
    )
    found = {
        name for path in folder.glob("*.py") for groups in named.findall(path.read_text()) for name in groups if name
    }
    assert {"unknown_evse", "no_evse", "not_json", "pushes", "throttled", "bad_site"} <= found
    assert sorted((found | styles.APPLIED) - codes.WORDS.keys()) == []


def test_feeds_are_for_those_whose_network_it_is(client: Client, owner: User, organisation: Organisation) -> None:
    feed = make_kaveri()
    waiting = letter(feed, "K-SECRET")
    client.force_login(owner)
    for page in ("deadletter", "webhookpush", "webhookfeed", "webhookcount"):
        answer = client.get(f"/admin/stations/{page}/")
        assert answer.status_code == 200
        assert "K-SECRET" not in answer.content.decode()
    for address in ("change", "try", "replay", "new-secret", "drop-old-secret"):
        asked = client.post(f"/admin/stations/webhookfeed/{feed.pk}/{address}/", {"reason": "x", "payload": "[]"})
        assert asked.status_code in {302, 404}
    client.post("/admin/stations/deadletter/", {"action": "replay", "_selected_action": [waiting.pk]})
    feed.refresh_from_db()
    assert feed.secrets == [SECRET]
    assert DeadLetter.objects.get().replay_code == ""
    Source.objects.update(organisation=organisation)
    assert "K-SECRET" in client.get("/admin/stations/deadletter/").content.decode()
    assert client.get(f"/admin/stations/webhookfeed/{feed.pk}/try/").status_code == 200
