"""The live channel as Server-Sent Events: what a socket tells, to whom it tells it, and how it ends."""

from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from dispatch import live_events, services
from dispatch.hub import hub
from dispatch.tests import factories
from dispatch.tests.browser import opened, served, sign_in, told
from dispatch.tests.test_live_socket import EVERYTHING, city, in_thread, move  # noqa: F401 (city is a fixture)
from dispatch.wording import Says
from fleetcharge.lib.events import publish
from vehicles.events import VehiclesMoved

pytestmark = pytest.mark.django_db(transaction=True)
HELLO = {"type": "hello", "v": 1, "last_alert": 0, "language": "en"}
VIEW = {"type": "view", **EVERYTHING}


def codes(page):
    return [message["code"] for message in page.of_type("bye")]


async def test_events_tell_what_a_socket_tells_and_to_nobody_else(city, dispatcher, stranger):  # noqa: F811
    mine, theirs = await in_thread(sign_in)(dispatcher), await in_thread(sign_in)(stranger)
    async with (
        served() as address,
        opened(address, mine) as socket,
        told(address, mine, HELLO, VIEW) as page,
        told(address, theirs, HELLO, VIEW) as other,
    ):
        await socket.say("hello", v=1, last_alert=0)
        await socket.say("view", **EVERYTHING)
        for watcher in (socket, page, other):
            await watcher.until(lambda watcher=watcher: watcher.vehicles and watcher.stations)
        before = page.vehicles[city.mine.pk]
        await in_thread(publish)(VehiclesMoved((move(city.mine), move(city.theirs))))
        for watcher, van in ((socket, city.mine), (page, city.mine), (other, city.theirs)):
            await watcher.until(lambda watcher=watcher, van=van: watcher.vehicles[van.pk][1] == 12_980_000)
        assert page.vehicles[city.mine.pk] != before
        assert (page.vehicles, page.stations) == (socket.vehicles, socket.stations)
        assert set(other.vehicles) == {city.theirs.pk} and city.my_depot.pk not in other.stations
        assert page.seqs == list(range(1, len(page.seqs) + 1))


@pytest.mark.parametrize("is_once", [False, True], ids=["events", "polls"])
async def test_who_watches_what_is_another_fleets_is_told_nothing_of_it(city, stranger, organisation, is_once):  # noqa: F811
    await in_thread(services.open_alert)(
        organisation_id=organisation.pk, kind="money", dedupe_key="a", says=Says("session_held"), now=timezone.now()
    )
    watched = {"veh": [city.mine.pk, city.theirs.pk], "stn": [city.my_depot.pk, city.their_depot.pk]}
    said = [HELLO, {"type": "focus", **watched}, {**VIEW, "bbox": [10.0, 10.0, 11.0, 11.0], "pad": 0}]
    session = await in_thread(sign_in)(stranger)
    async with served() as address, told(address, session, *said, once=is_once) as page:
        await page.until(lambda: page.vehicles and page.stations and page.of_type("kpi"))
        if is_once:
            await page.until(lambda: codes(page))
        assert (set(page.vehicles), set(page.stations)) == ({city.theirs.pk}, {city.their_depot.pk})
        assert page.of_type("alert") == []


async def test_alerts_that_were_missed_and_new_ones_are_told(city, dispatcher, organisation):  # noqa: F811
    @in_thread
    def alert(key):
        return services.open_alert(
            organisation_id=organisation.pk, kind="money", dedupe_key=key, says=Says("session_held"),
            now=timezone.now(),
        )  # fmt: skip

    first = await alert("one")
    session = await in_thread(sign_in)(dispatcher)
    async with served() as address, told(address, session, HELLO) as page:
        await page.until(lambda: page.of_type("alert"))
        second = await alert("two")
        await page.until(lambda: len(page.of_type("alert")) == 2)
        assert [message["id"] for message in page.of_type("alert")] == [first.pk, second.pk]
        assert page.of_type("alert")[0]["title"] == "A session waits for finance"


async def test_who_asks_once_gets_a_whole_picture_and_an_end(city, dispatcher, organisation):  # noqa: F811
    await in_thread(services.open_alert)(
        organisation_id=organisation.pk, kind="money", dedupe_key="a", says=Says("session_held"), now=timezone.now()
    )
    session = await in_thread(sign_in)(dispatcher)
    async with served() as address, told(address, session, HELLO, VIEW, once=True) as page:
        await page.until(lambda: codes(page))
        assert codes(page) == [1000]
        assert set(page.vehicles) == {city.mine.pk} and city.public.pk in page.stations
        assert page.of_type("kpi") and page.of_type("alert") and page.of_type("welcome")
        await page._reader  # the answer has come to its end
        assert not hub().listeners


async def test_who_asks_once_before_it_looks_anywhere_gets_an_end_too(city, dispatcher):  # noqa: F811
    session = await in_thread(sign_in)(dispatcher)
    async with served() as address, told(address, session, HELLO, once=True) as page:
        await page.until(lambda: codes(page))
        assert (codes(page), page.vehicles, len(page.of_type("kpi"))) == ([1000], {}, 1)


async def test_frames_that_nobody_acknowledges_do_not_slow_the_stream(city, dispatcher):  # noqa: F811
    session = await in_thread(sign_in)(dispatcher)
    async with served() as address, told(address, session, HELLO, VIEW) as page:
        await page.until(lambda: page.seqs)
        (listener,) = hub().listeners
        assert not listener._unacked


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"Origin": "https://elsewhere.example"}, 4403), ({"Sec-Fetch-Site": "cross-site"}, 4403), ({}, 4401)],
)
async def test_strangers_are_told_to_go(headers, code, city):  # noqa: F811
    async with served() as address, told(address, "nobody", HELLO, VIEW, **headers) as page:
        await page.until(lambda: codes(page))
        assert (codes(page), page.vehicles) == ([code], {})
        assert "access-control-allow-origin" not in page.socket.answer.headers


async def test_the_page_may_come_from_another_port_of_this_host(city, dispatcher):  # noqa: F811
    session = await in_thread(sign_in)(dispatcher)
    origin = "http://127.0.0.1:8000"
    async with served() as address, told(address, session, HELLO, VIEW, Origin=origin) as page:
        await page.until(lambda: page.vehicles)
        headers = page.socket.answer.headers
        assert (headers["access-control-allow-origin"], headers["access-control-allow-credentials"]) == (origin, "true")


async def test_a_person_has_as_many_streams_as_sockets(city, dispatcher, monkeypatch):  # noqa: F811
    monkeypatch.setattr("dispatch.consumers.MAX_SOCKETS_PER_USER", 1)
    session = await in_thread(sign_in)(dispatcher)
    async with served() as address, told(address, session, HELLO, VIEW) as page:
        await page.until(lambda: page.vehicles)
        async with told(address, session, HELLO, VIEW) as second:
            await second.until(lambda: codes(second))
            assert codes(second) == [4429]


async def test_what_cannot_be_read_ends_the_stream(city, dispatcher):  # noqa: F811
    session = await in_thread(sign_in)(dispatcher)
    bad = [{"type": "view", "bbox": [2, 1]}, {"type": "nonsense"}, {"no": "type"}]
    async with served() as address, told(address, session, HELLO, *bad) as page:
        await page.until(lambda: codes(page))
        assert codes(page) == [4400]


async def test_a_process_that_ends_lets_its_streams_go(city, dispatcher):  # noqa: F811
    session = await in_thread(sign_in)(dispatcher)
    async with served() as address, told(address, session, HELLO, VIEW) as page:
        await page.until(lambda: page.vehicles)
        await live_events.close()
        await page.until(lambda: codes(page))
        assert codes(page) == [1012]


async def test_only_get_and_only_there():
    async with served() as address, httpx.AsyncClient(trust_env=False) as client:
        url = address.replace("ws:", "http:")
        assert (await client.post(url)).status_code == 405
        assert (await client.get(f"{url}more/")).status_code == 404


async def test_a_vehicle_of_a_fleet_in_another_place_is_not_in_view(city, dispatcher, organisation):  # noqa: F811
    far = await in_thread(factories.vehicle)(
        organisation, latitude=28.6, longitude=77.2, at=timezone.now() - timedelta(seconds=1)
    )
    session = await in_thread(sign_in)(dispatcher)
    view = {**VIEW, "bbox": [77.0, 12.5, 78.0, 13.5], "pad": 0}
    async with served() as address, told(address, session, HELLO, view) as page:
        await page.until(lambda: page.vehicles)
        assert set(page.vehicles) == {city.mine.pk} and far.pk not in page.vehicles
