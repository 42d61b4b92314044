"""The live status stream: both kinds of client, resuming without a gap or a repeat, and nothing of a stranger's."""

import asyncio
import threading
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import websockets
from django.db import connection, transaction
from django.utils import timezone

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import APIKey, Organisation, Scope
from stations.models import Connector, StatusChange
from stations.services import report_from_source
from stations.stream import hub as hubs
from stations.stream import routes
from stations.stream.hub import hub
from stations.tests.factories import make_charger, make_public_connector, make_source
from stations.tests.streaming import in_thread, over_sse, over_websocket, served

pytestmark = pytest.mark.django_db(transaction=True)
BOTH = pytest.mark.parametrize("opened", [over_sse, over_websocket])


def key_of(organisation: Organisation, scopes: tuple[str, ...] = (Scope.STATIONS_READ,)) -> str:
    return accounts.create_api_key(organisation=organisation, name="stream", scopes=list(scopes))[1]


@pytest.fixture
def key(organisation: Organisation) -> str:
    return key_of(organisation)


@pytest.fixture
def plug(db: None) -> Connector:
    return make_public_connector(make_source(slug="voltgrid", kind="ocpi-2.2.1"), name="Ring Road")


def say(connector: Connector, status: str, at: datetime | None = None) -> None:
    """A CPO reports this EVSE."""
    at = at or timezone.now()
    report_from_source(
        evse_id=connector.evse_id, raw_status=status.upper(), status=status, at=at, received_at=at
    )  # fmt: skip


@BOTH
async def test_a_change_is_heard_with_everything_a_client_needs(opened: Any, key: str, plug: Connector) -> None:
    async with served() as address, opened(address, key) as client:
        await client.until(lambda: client.messages)
        assert client.messages[0]["type"] == "ready"
        await in_thread(say)(plug, "available")
        await client.until(lambda: client.changes)
    [change] = client.changes
    stored = await in_thread(StatusChange.objects.get)()
    assert {name: change[name] for name in ("change", "connector", "old", "status", "coarse_status", "raw_status")} == {
        "change": stored.pk, "connector": plug.public_id, "old": "unknown", "status": "available",
        "coarse_status": "available", "raw_status": "AVAILABLE",
    }  # fmt: skip
    assert change["network"] == "voltgrid"
    assert datetime.fromisoformat(change["status_since"]) == stored.at


@BOTH
async def test_a_stranger_never_hears_of_a_private_depot(
    opened: Any, key: str, plug: Connector, organisation: Organisation, other_organisation: Organisation
) -> None:
    def mine() -> Connector:
        return Connector.objects.get(evse__charger=make_charger(organisation, name="Secret Depot"))

    depot, other_key = await in_thread(mine)(), await in_thread(key_of)(other_organisation)
    async with served() as address, opened(address, key) as owner, opened(address, other_key) as stranger:
        await stranger.until(lambda: stranger.messages)
        before = stranger.cursor
        await in_thread(say)(depot, "charging")
        await in_thread(say)(plug, "available")
        await owner.until(lambda: len(owner.changes) == 2)
        await stranger.until(lambda: stranger.changes)
        async with opened(address, other_key, cursor=before) as again:  # nor by what it missed
            await again.until(lambda: again.changes)
    assert [change["connector"] for change in owner.changes] == [depot.public_id, plug.public_id]
    assert [change["connector"] for change in stranger.changes] == [plug.public_id]
    assert [change["connector"] for change in again.changes] == [plug.public_id]


@BOTH
async def test_a_client_that_comes_back_hears_what_it_missed_once(opened: Any, key: str, plug: Connector) -> None:
    async with served() as address:
        async with opened(address, key) as client:
            await client.until(lambda: client.messages)
            await in_thread(say)(plug, "available")
            await client.until(lambda: client.changes)
        for status in ("charging", "available", "faulted"):
            await in_thread(say)(plug, status)
        async with opened(address, key, cursor=client.cursor) as again:
            await again.until(lambda: len(again.changes) == 3)
            await in_thread(say)(plug, "unavailable")
            await again.until(lambda: len(again.changes) == 4)
        async with opened(address, key, query=f"cursor={again.cursor}") as third:
            await in_thread(say)(plug, "available")
            await third.until(lambda: third.changes)
    shown = [change["status"] for change in (*client.changes, *again.changes, *third.changes)]
    stored = await in_thread(lambda: list(StatusChange.objects.order_by("pk").values_list("new", flat=True)))()
    assert shown == stored


async def test_a_change_that_commits_after_a_later_one_is_not_lost(key: str, plug: Connector) -> None:
    """Ids are given out before the commit; who remembers the greatest id it saw misses the one below."""
    other = await in_thread(make_public_connector)(plug.evse.location.source, name="Late")
    has_id, may_commit = threading.Event(), threading.Event()

    def slowly() -> None:
        with transaction.atomic():
            say(other, "available")
            has_id.set()
            assert may_commit.wait(60)

    async with served() as address, over_sse(address, key) as client:
        await client.until(lambda: client.messages)
        late = in_thread(slowly)()
        task = asyncio.ensure_future(late)
        await asyncio.to_thread(has_id.wait, 60)
        await in_thread(say)(plug, "available")
        await client.until(lambda: len(client.changes) == 1)
        middle = client.cursor
        may_commit.set()
        await task
        await client.until(lambda: len(client.changes) == 2)
        async with over_sse(address, key, cursor=middle) as again:
            await again.until(lambda: again.changes)
    assert [change["connector"] for change in client.changes] == [plug.public_id, other.public_id]
    assert client.changes[0]["change"] > client.changes[1]["change"]
    assert [change["connector"] for change in again.changes] == [other.public_id]


async def test_the_table_of_statuses_begins_where_the_stream_goes_on(key: str, plug: Connector, client: Any) -> None:
    def table() -> Any:
        return client.get("/api/v1/connectors/status/", headers={"X-API-Key": key}).json()

    await in_thread(say)(plug, "available")
    before = await in_thread(table)()
    await in_thread(say)(plug, "charging")
    async with served() as address, over_sse(address, key, query=f"cursor={before['cursor']}") as stream:
        await stream.until(lambda: stream.changes)
    assert [row[1] for row in before["rows"]] == ["available"]
    assert [(change["old"], change["status"]) for change in stream.changes] == [("available", "charging")]


@pytest.mark.parametrize(
    ("query", "heard"),
    [("", {"Ring Road", "Airport"}), ("plug=ccs2", {"Ring Road"}), ("min_kw=100", {"Airport"}),
     ("bbox=77.6,12.9,77.8,13.0", {"Ring Road"}), ("network=voltgrid", {"Ring Road"}),
     ("station={station}", {"Airport"}), ("network=voltgrid&min_kw=100", set())],
)  # fmt: skip
async def test_filters_mean_what_they_mean_in_the_lists(key: str, plug: Connector, query: str, heard: set[str]) -> None:
    other = await in_thread(make_public_connector)(
        await in_thread(make_source)(slug="surya", kind="ubc-0.9"), name="Airport", plug="chademo",
        max_power_w=120_000, latitude=13.2, longitude=77.7,
    )  # fmt: skip
    names = {plug.evse.location.public_id: "Ring Road", other.evse.location.public_id: "Airport"}
    query = query.format(station=other.evse.location.public_id)
    async with served() as address, over_sse(address, key) as all_of_it, over_sse(address, key, query) as client:
        await client.until(lambda: client.messages)
        await in_thread(say)(plug, "available")
        await in_thread(say)(other, "available")
        await all_of_it.until(lambda: len(all_of_it.changes) == 2)
        await client.until(lambda: len(client.changes) == len(heard))
        assert {names[station] for station, _ in client.heard} == heard


async def test_what_is_too_much_to_repeat_is_said_so(
    key: str, plug: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "MAX_REPLAY", 2)
    async with served() as address:
        async with over_sse(address, key) as client:
            await client.until(lambda: client.messages)
        for status in ("available", "charging", "available"):
            await in_thread(say)(plug, status)
        async with over_sse(address, key, cursor=client.cursor) as again:
            await again.until(lambda: again.messages)
            assert (again.messages[0]["type"], again.messages[0]["why"]) == ("reset", "too_old")
            await in_thread(say)(plug, "faulted")
            await again.until(lambda: again.changes)
        async with over_sse(address, key, cursor="1:4611686018427387904:") as strange:
            await strange.until(lambda: strange.messages)
            assert (strange.messages[0]["type"], strange.messages[0]["why"]) == ("reset", "unknown_cursor")
    assert [change["status"] for change in again.changes] == ["faulted"]


async def test_a_quiet_client_is_told_where_to_go_on(
    key: str, plug: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "HEARTBEAT_SECONDS", 0.05)
    async with served() as address, over_sse(address, key, query="network=nobody") as client:
        await in_thread(say)(plug, "available")
        await client.until(lambda: client.messages and client.messages[-1]["type"] == "heartbeat")
        quiet = client.cursor
        await client.until(lambda: client.cursor != quiet or len(client.messages) > 20)
        assert client.changes == []


async def test_a_client_that_does_not_keep_up_is_let_go_and_loses_nothing(
    key: str, plug: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = hubs.Listener(lambda change: True, 1, 1)
    change = hubs.Change(None, "S", "n", "ccs2", 1, 0.0, 0.0, b"{}")
    for number in range(hubs.MAX_WAITING):
        assert listener.tell(hubs.Batch(f"{number}", (change,)))
    assert not listener.tell(hubs.Batch("too many", (change,)))
    assert await listener.waiting.get() is None  # what it had not taken yet it asks for again


async def test_a_key_that_is_taken_back_hears_nothing_more(
    key: str, plug: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "RECHECK_SECONDS", 0.0)
    monkeypatch.setattr(routes, "HEARTBEAT_SECONDS", 0.05)
    async with served() as address, over_websocket(address, key) as client:
        await client.until(lambda: client.messages)
        await in_thread(APIKey.objects.update)(revoked_at=timezone.now())
        await client.until(lambda: client.is_over)


async def test_who_may_not_listen_is_told_why(organisation: Organisation, plug: Connector, key: str) -> None:
    blind = await in_thread(key_of)(organisation, (Scope.VEHICLES_READ,))
    expired = await in_thread(key_of)(organisation)
    await in_thread(APIKey.objects.filter(prefix=expired[:11]).update)(expires_at=timezone.now() - timedelta(days=1))
    async with served() as address, httpx.AsyncClient() as http:
        for secret, status, code in (
            ("", 401, "not_authenticated"), ("fck_nobody", 401, "invalid_key"), (expired, 401, "invalid_key"),
            (blind, 403, "missing_scope"),
        ):  # fmt: skip
            answer = await http.get(address, headers={"X-API-Key": secret})
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            async with websockets.connect(
                address.replace("http", "ws", 1), additional_headers={"X-API-Key": secret}, open_timeout=60
            ) as socket:
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
            assert socket.close_code == 4000 + status
        for query in ("cursor=yesterday", "cursor=9:1:", "bbox=1", "plug=tesla", "cursor=1:99999999999999999999:"):
            answer = await http.get(f"{address}?{query}", headers={"X-API-Key": key})
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), query
            assert query.split("=")[0] in answer.json()["fields"]
        assert (await http.post(address, headers={"X-API-Key": key})).status_code == 405
        assert not hub().listeners


async def test_a_browser_offers_its_key_as_a_subprotocol(key: str, plug: Connector) -> None:
    async with served() as address:
        uri = address.replace("http", "ws", 1)
        async with websockets.connect(
            uri,
            subprotocols=[routes.PROTOCOL, key],
            open_timeout=60,  # type: ignore[list-item]
        ) as socket:
            assert socket.subprotocol == routes.PROTOCOL
            assert '"ready"' in str(await socket.recv())


async def test_too_many_streams_of_one_fleet_are_refused(
    key: str, plug: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_STREAMS", 1)
    async with served() as address, over_sse(address, key) as client, httpx.AsyncClient() as http:
        await client.until(lambda: client.messages)
        answer = await http.get(address, headers={"X-API-Key": key})
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
        assert int(answer.headers["retry-after"]) > 0


def test_the_transaction_of_every_change_is_kept(plug: Connector) -> None:
    with transaction.atomic():
        say(plug, "available")
        with connection.cursor() as cursor:
            cursor.execute("SELECT xact::text = pg_current_xact_id()::text FROM stations_statuschange")
            assert cursor.fetchall() == [(True,)]
