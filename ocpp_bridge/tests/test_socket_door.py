"""Who gets a socket, who gets which refusal, and that the newest socket is the charger."""

from typing import Any

import psycopg
import pytest
import websockets

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.addresses import address_of_scope, is_proxy
from fleetcharge.lib.db import conninfo
from ocpp_bridge import consumers
from ocpp_bridge import hub as hub_module
from ocpp_bridge.hub import hub
from ocpp_bridge.models import Notice
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.throttle import Throttle
from stations.models import Charger


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-017")


async def status_of(attempt: Any) -> int:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await attempt
    return refused.value.response.status_code


async def test_a_wrong_key_is_401_and_changes_nothing(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-017", key="wrong")) == 401
    station.refresh_from_db()
    assert (station.connection_epoch, station.is_online) == (0, False)


async def test_another_user_name_is_401(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-017", user="BLR-018")) == 401


async def test_an_unknown_identity_is_404(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-404")) == 404


async def test_a_refusal_is_a_whole_answer(
    connect: Connect, station: Charger, caplog: pytest.LogCaptureFixture
) -> None:
    """The server finds nothing to complain of."""
    for _ in range(3):
        assert await status_of(connect("BLR-017", key="wrong")) == 401
    assert await status_of(connect("BLR-404")) == 404
    await until(lambda: sum(record.name == "ocpp_bridge.consumers" for record in caplog.records) == 4)
    assert "currentTime" in await (await connect("BLR-017")).call("Heartbeat", {})
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_no_common_protocol_is_400(connect: Connect, station: Charger) -> None:
    assert await status_of(connect("BLR-017", subprotocols=["ocpp1.5"])) == 400


async def test_guessing_is_throttled_and_the_address_keeps_its_other_chargers(
    connect: Connect, station: Charger, organisation: Organisation
) -> None:
    factories.charger(organisation, "BLR-018")
    statuses = [await status_of(connect("BLR-017", key=f"guess-{number}")) for number in range(11)]
    assert statuses == [401] * 10 + [429]
    assert await status_of(connect("BLR-017")) == 429
    assert "currentTime" in await (await connect("BLR-018")).call("Heartbeat", {})


ELSEWHERE = {"X-Forwarded-For": "198.51.100.9"}


async def test_a_blocked_address_learns_nothing_and_keeps_its_chargers(
    connect: Connect,
    station: Charger,
    organisation: Organisation,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A site's chargers share an address; a few of them with wrong keys must not keep the others out."""
    monkeypatch.setattr(consumers, "address_throttle", Throttle(5, 60))
    factories.charger(organisation, "BLR-018")
    factories.charger(organisation, "OPEN-1", key="")
    inside = await connect("BLR-018", headers=ELSEWHERE)
    statuses = [await status_of(connect(f"NOBODY-{number}", headers=ELSEWHERE)) for number in range(7)]
    assert statuses == [404] * 5 + [429] * 2
    assert await status_of(connect("BLR-017", key="wrong", headers=ELSEWHERE)) == 429
    assert await status_of(connect("OPEN-1", key="", headers=ELSEWHERE)) == 429  # it would prove nothing
    assert "currentTime" in await (await connect("BLR-017", headers=ELSEWHERE)).call("Heartbeat", {})
    assert "currentTime" in await inside.call("Heartbeat", {})
    assert await status_of(connect("NOBODY-1")) == 404  # from anywhere else
    warned = [record.getMessage() for record in caplog.records if "is blocked for its failures" in record.getMessage()]
    assert len(warned) == 1
    assert warned[0].startswith("198.51.100.9 is blocked for its failures, and holds 1 sockets of ours")


async def test_from_a_blocked_address_ten_wrong_keys_still_lock_their_identity(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "address_throttle", Throttle(1, 60))
    for number in range(10):
        await status_of(connect("BLR-017", key=f"guess-{number}"))
    assert await status_of(connect("BLR-017")) == 429


async def test_a_blocked_address_onboards_nobody(
    connect: Connect, station: Charger, organisation: Organisation, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(consumers, "address_throttle", Throttle(1, 60))
    settings.OCPP_UNKNOWN_CHARGERS, settings.OCPP_ONBOARD_ORGANISATION = "onboard", organisation.slug
    assert await status_of(connect("BLR-017", key="wrong")) == 401
    assert await status_of(connect("NEW-1")) == 429
    assert not await Charger.objects.filter(ocpp_identity="NEW-1").aexists()


@pytest.mark.parametrize(
    ("address", "networks", "is_ours"),
    [
        ("10.1.2.3", ["10.1.0.0/16"], True),
        ("10.2.2.3", ["10.1.0.0/16"], False),
        ("::ffff:10.1.2.3", ["10.1.2.3/32"], True),
        ("fd00::7", ["127.0.0.1", "fd00::/8"], True),
        ("127.0.0.1", ["fd00::/8"], False),
        ("", ["0.0.0.0/0"], False),
        ("not an address", ["0.0.0.0/0"], False),
    ],
)
def test_proxies_are_trusted_by_address_or_network(
    settings: Any, address: str, networks: list[str], is_ours: bool
) -> None:
    settings.TRUSTED_PROXIES = networks
    assert is_proxy(address) is is_ours
    scope = {"client": (address, 1), "headers": [(b"x-forwarded-for", b"192.0.2.1, 198.51.100.9")]}
    assert (address_of_scope(scope) == "198.51.100.9") is (is_ours or not address)


async def test_the_raw_bytes_of_a_hexadecimal_key_open_the_door(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", key=bytes.fromhex(factories.KEY))
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_a_charger_without_a_stored_key_needs_none(connect: Connect, organisation: Organisation) -> None:
    factories.charger(organisation, "OPEN-1", key="")
    assert "currentTime" in await (await connect("OPEN-1", key="")).call("Heartbeat", {})


async def test_the_clients_first_supported_protocol_is_chosen(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.2", "ocpp2.1", "ocpp1.6"])
    assert socket.socket.subprotocol == "ocpp2.1"


async def test_the_newest_socket_wins_and_the_old_one_is_told(connect: Connect, station: Charger) -> None:
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    new = await connect("BLR-017")
    assert await old.closed() == 4000
    assert "currentTime" in await new.call("Heartbeat", {})
    station.refresh_from_db()
    assert (station.is_online, station.connection_epoch) == (True, 2)


@pytest.mark.parametrize("way", ["a new socket here", "told by another node", "found by the poll"])
async def test_what_waits_on_the_old_socket_is_dropped_unanswered(connect: Connect, station: Charger, way: str) -> None:
    """OCPP 1.6: one call is being stored when the newer socket comes, five wait behind it; those never count."""
    old = await connect("BLR-017")
    consumer = await until(lambda: hub.find(station.pk))
    async with await psycopg.AsyncConnection.connect(conninfo()) as other:
        await other.execute("LOCK TABLE ocpp_bridge_notice IN SHARE MODE")
        for number in range(6):
            await old.send([2, f"old-{number}", *unplugged(number)])
        await until(lambda: len(consumer.calls._waiting) == 5)
        if way == "a new socket here":
            new = await connect("BLR-017")
        elif way == "told by another node":
            await hub._hear(f"taken some-other-node {station.pk}:2")
        else:
            await Charger.objects.filter(pk=station.pk).aupdate(connection_epoch=2)
            await hub._check_epochs()
        await until(lambda: consumer.is_closed)
        await other.rollback()
    await until(lambda: Notice.objects.count() == 1)  # its storing had begun, and the charger may say it again
    await until(lambda: consumer.calls.is_idle)
    assert await old.closed() == 4000
    if way == "a new socket here":
        assert await new.call(*unplugged(5), "new-5") == {"status": "Accepted"}
    numbers = [notice.transaction_ref async for notice in Notice.objects.order_by("pk")]
    assert numbers == (["0", "5"] if way == "a new socket here" else ["0"])


async def test_the_old_socket_is_deaf_before_the_new_one_is_accepted(connect: Connect, station: Charger) -> None:
    """Between the new epoch in the database and the first word on the new socket."""
    old = await connect("BLR-017")
    consumer = await until(lambda: hub.find(station.pk))
    hub.taken_over(station.pk, consumer.epoch)
    assert "currentTime" in await old.call("Heartbeat", {})
    hub.taken_over(station.pk, consumer.epoch + 1)
    assert consumer.is_closed
    assert await old.closed() == 4000


def unplugged(number: int) -> tuple[str, dict[str, Any]]:
    data = f'{{"transactionId": "{number}"}}'
    vendor = "org.openchargealliance.costmsg"
    return "DataTransfer", {"vendorId": vendor, "messageId": "ConnectorUnplugged", "data": data}


async def test_a_socket_that_another_node_took_over_is_closed_by_message(connect: Connect, station: Charger) -> None:
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    await hub._hear(f"taken some-other-node {station.pk}:2")
    assert await old.closed() == 4000


async def test_a_lost_takeover_message_is_made_up_by_the_poll(connect: Connect, station: Charger) -> None:
    old = await connect("BLR-017")
    await old.call("Heartbeat", {})
    Charger.objects.filter(pk=station.pk).update(connection_epoch=7)
    await hub._check_epochs()
    assert await old.closed() == 4000


async def test_the_poll_comes_in_time_however_many_chargers_are_asked_for_their_status(
    connect: Connect, organisation: Organisation, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage it is all of them, one after the other; here the first one takes an hour."""
    monkeypatch.setattr(hub_module, "EPOCH_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "ASK_EVERY_SECONDS", 3600.0)
    old = await connect("BLR-017")
    boot = {"chargePointVendor": "Acme", "chargePointModel": "One"}
    assert (await old.call("BootNotification", boot))["status"] == "Accepted"
    consumer = hub.find(station.pk)
    assert consumer is not None
    consumer.connected_at -= 60
    await old.receive()  # it has been asked, and the walk stands still
    Charger.objects.filter(pk=station.pk).update(connection_epoch=7)
    assert await old.closed() == 4000


def test_a_round_that_took_long_makes_the_next_one_no_later() -> None:
    assert [hub_module._rest(5.0, took) for took in (0.0, 1.5, 4.9, 60.0)] == [5.0, 3.5, 0.5, 0.5]


async def test_an_older_takeover_message_closes_nobody(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    await hub._hear(f"taken some-other-node {station.pk}:1")
    assert "currentTime" in await socket.call("Heartbeat", {})


async def test_a_closed_socket_puts_the_charger_offline(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    await socket.call("Heartbeat", {})
    await socket.socket.close()
    await until(lambda: not Charger.objects.get(pk=station.pk).is_online)
    assert len(hub) == 0
