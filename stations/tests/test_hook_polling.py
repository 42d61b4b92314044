"""A vendor is polled over real HTTP by its mapping, and pushes meanwhile: Kaveri Charge, whole."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from fleetcharge.demo.peers.vendor import KaveriCharge, stations
from stations.cpo import registry
from stations.cpo.base import Capability, CPOError
from stations.cpo.webhooks import route
from stations.cpo.webhooks.models import DeadLetter, WebhookFeed, WebhookPush
from stations.models import Connector, ExternalRef, Location, Source, Tariff
from stations.news import announcer
from stations.tasks import poll_source
from stations.tests.hooks import SECRET, make_kaveri
from stations.tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def kaveri(settings: Any) -> Iterator[KaveriCharge]:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    peer = KaveriCharge(stations(7), secret=SECRET)
    peer.page_size = 3
    with serve(peer) as base, serve(route.hooks) as ours:
        peer.hook_url = f"{ours}/hooks/kaveri"
        peer.base = base  # type: ignore[attr-defined]
        yield peer
    route.threads.close()
    announcer.close()


@pytest.fixture
def feed(kaveri: KaveriCharge) -> WebhookFeed:
    return make_kaveri(kaveri.base)  # type: ignore[attr-defined]


def push(kaveri: KaveriCharge) -> bool:
    async def go() -> bool:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            return await kaveri.push_changes(http)

    return asyncio.run(go())


def shown(code: str) -> str:
    return Connector.objects.get(evse__uid=code).status


def test_a_list_is_walked_to_its_end_and_every_price_and_plug_is_there(kaveri: KaveriCharge, feed: WebhookFeed) -> None:
    assert poll_source(feed.source_id) == 7
    assert [path.split("?")[1] for path in kaveri.asked] == [
        "limit=50", "limit=50&after=Mw%3D%3D", "limit=50&after=Ng%3D%3D",
    ]  # fmt: skip
    assert (Location.objects.count(), Connector.objects.count()) == (7, 21)
    plug = Connector.objects.get(evse__uid="KVR-003-1")
    assert (plug.plug, plug.max_power_w, plug.status) == ("ccs2", 60_000, "available")
    assert plug.tariff is not None
    assert plug.tariff.elements == [{"price_components": [{"type": "ENERGY", "price": "19.50", "step_size": 1}]}]
    assert Tariff.objects.count() == 2
    feed.source.refresh_from_db()
    assert (feed.source.state, feed.source.last_error) == ("connected", "")
    assert poll_source(feed.source_id) == 0  # the same again writes nothing


def test_it_pushes_what_changes_and_polls_what_it_did_not_say(kaveri: KaveriCharge, feed: WebhookFeed) -> None:
    poll_source(feed.source_id)
    now = datetime.now(UTC)
    kaveri.change("KVR-001-1", "in use", now)
    kaveri.change("KVR-002-2", "down", now)
    assert push(kaveri)
    assert kaveri.answers[-1][1]["taken"] == 2
    assert (shown("KVR-001-1"), shown("KVR-002-2"), shown("KVR-002-1")) == ("charging", "faulted", "available")
    kaveri.change("KVR-001-1", "free", now + timedelta(milliseconds=5))
    kaveri.changed.clear()  # the push is lost
    poll_source(feed.source_id)
    assert shown("KVR-001-1") == "available"


def test_what_it_pushed_before_it_was_polled_waits_for_its_sites(kaveri: KaveriCharge, feed: WebhookFeed) -> None:
    for state in ("in use", "booked"):
        kaveri.change("KVR-005-1", state, datetime.now(UTC) + timedelta(seconds=state == "booked"))
        assert push(kaveri)
    assert kaveri.answers[-1][1]["results"][0]["code"] == "unknown_evse"
    assert DeadLetter.objects.get().times == 2
    poll_source(feed.source_id)
    assert shown("KVR-005-1") == "reserved"
    assert not DeadLetter.objects.waiting().exists()


def test_one_bad_site_stops_no_page_and_is_named(kaveri: KaveriCharge, feed: WebhookFeed) -> None:
    def spoil(page: list[Any]) -> list[Any]:
        for site in page:
            if site["code"] == "KVR-002":
                site["where"]["lat"] = "somewhere"
            if site["code"] == "KVR-006":
                site["plugs"][0]["kw"] = "lots"
        return [None, "text", *page]

    kaveri.on_page = spoil
    reports = list(registry.adapter_for(feed.source).poll(feed.source))
    assert len(reports) == 3
    assert sum(report.locations for report in reports) == 5
    whys = [refusal["why"] for report in reports for refusal in report.rejected]
    assert sum(why.startswith("no_position") for why in whys) == 1
    assert sum(why.startswith("bad_power") for why in whys) == 1
    assert len(whys) == 8  # two of rubbish on each page besides
    assert "KVR-002" not in set(Location.objects.values_list("name", flat=True))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda peer: setattr(peer, "answers_html", True), "does not answer in JSON"),
        (lambda peer: setattr(peer, "key", "another"), "HTTP 401"),
        (lambda peer: setattr(peer, "on_page", lambda page: {"not": "a list"}), ""),
    ],
)
def test_a_vendor_that_answers_rubbish_is_shown_with_its_reason(
    kaveri: KaveriCharge, feed: WebhookFeed, spoil: Any, error: str
) -> None:
    poll_source(feed.source_id)
    spoil(kaveri)
    poll_source(feed.source_id)
    feed.source.refresh_from_db()
    assert error in feed.source.last_error
    assert bool(feed.source.failures_in_row) == bool(error)
    assert Location.objects.filter(is_removed=False).count() == 7


def test_a_vendor_that_is_away_backs_off_and_heals(kaveri: KaveriCharge, feed: WebhookFeed) -> None:
    plan = dict(feed.poll)
    WebhookFeed.objects.update(poll={**plan, "url": "http://127.0.0.1:9/nobody"})
    for _ in range(3):
        poll_source(feed.source_id)
    feed.source.refresh_from_db()
    assert (feed.source.state, feed.source.failures_in_row) == ("failing", 3)
    assert feed.source.next_poll_at is not None
    assert feed.source.next_poll_at > timezone.now() + timedelta(seconds=50)
    WebhookFeed.objects.update(poll=plan)
    poll_source(feed.source_id)
    feed.source.refresh_from_db()
    assert (feed.source.state, feed.source.last_error) == ("connected", "")


def test_a_list_that_loops_or_leads_away_is_left(kaveri: KaveriCharge, feed: WebhookFeed) -> None:
    kaveri.loops = True
    poll_source(feed.source_id)
    assert len(kaveri.asked) == 2  # the page it names again has been seen
    WebhookFeed.objects.update(poll={**feed.poll, "next": "=https://elsewhere.example/list", "cursor": ""})
    poll_source(feed.source_id)
    feed.source.refresh_from_db()
    assert "another host" in feed.source.last_error


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "https://127.0.0.1/x", "https://[::1]/", "http://a.b/"]
)
def test_an_address_inside_our_network_is_never_called(url: str, settings: Any) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = False
    feed = make_kaveri("https://kaveri.example")
    WebhookFeed.objects.update(poll={"url": url})
    with pytest.raises(CPOError) as refused:
        list(registry.adapter_for(feed.source).poll(feed.source))
    assert refused.value.code == "hostile_url"


def test_what_each_kind_can_do(kaveri: KaveriCharge) -> None:
    assert registry.can(Source(kind="webhook"), Capability.PUSH)
    assert not registry.can(Source(kind="webhook"), Capability.PULL)
    assert registry.can(Source(kind="rest-poll"), Capability.PULL)
    assert not registry.can(Source(kind="rest-poll"), Capability.RESERVE)
    source = Source.objects.create(slug="bare", name="Bare", kind="rest-poll")
    with pytest.raises(CPOError, match="no address to poll"):
        list(registry.adapter_for(source).poll(source))


def test_an_evse_id_that_two_sites_use_needs_its_site(kaveri: KaveriCharge, feed: WebhookFeed) -> None:
    """Without its site it stays the first one's; with it, each is known."""
    for site in kaveri.stations[:2]:
        site.plugs = site.plugs[:1]
        site.plugs[0].code = "A"
    poll_source(feed.source_id)
    refs = dict(ExternalRef.objects.filter(kind="evse", source=feed.source).values_list("external_key", "object_id"))
    assert refs["A"] == refs["KVR-001*A"]
    assert refs["KVR-001*A"] != refs["KVR-002*A"]
    assert refs["KVR-003-1"] == refs["KVR-003*KVR-003-1"]


def test_a_site_that_three_lists_leave_out_is_hidden(kaveri: KaveriCharge, feed: WebhookFeed) -> None:
    poll_source(feed.source_id)
    kaveri.stations = kaveri.stations[:-1]
    for _ in range(3):
        assert Location.objects.filter(is_removed=False).count() == 7
        poll_source(feed.source_id)
    assert Location.objects.filter(is_removed=False).count() == 6


def test_many_sites_in_one_push_are_kept_at_once_and_written_by_a_task(kaveri: KaveriCharge) -> None:
    """A vendor that pushes its whole list is answered 202; the copy of it is the same push."""
    from fleetcharge.demo.peers import vendor
    from stations.cpo.webhooks.tasks import sweep_feeds

    feed = make_kaveri()
    feed.mapping = {**vendor.POLL_MAPPING, "event_id": "$.id"}
    feed.save()
    big = KaveriCharge(stations(60), secret=SECRET)
    import orjson

    raw = orjson.dumps({"id": "list-1", "stations": [big._site(site) for site in big.stations]})
    answers = [httpx.post(kaveri.hook_url, content=raw, headers=big.headers(raw), timeout=60) for _ in range(2)]
    assert [answer.status_code for answer in answers] in ([202, 202], [202, 200])
    assert answers[0].json() == {"received": 60, "code": "queued"}
    WebhookPush.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    sweep_feeds()
    push_row = WebhookPush.objects.get()
    assert push_row.outcomes == {"applied": 60}
    assert Location.objects.count() == 60
