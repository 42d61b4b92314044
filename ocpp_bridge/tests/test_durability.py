"""What was acknowledged is in the database, whatever happened to the connection in between."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections

from billing.models import ChargingSession, MeterValue
from billing.services import meters
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.db import conninfo
from ocpp_bridge import writers
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger

NOW = datetime.now(UTC).replace(microsecond=0)
START = {"connectorId": 1, "idTag": "TAG1", "meterStart": 0, "timestamp": NOW.isoformat()}


@pytest.fixture(autouse=True)
async def no_dead_connection_is_left() -> AsyncIterator[None]:
    """The thread of asynchronous queries outlives the test, and so would the connection that was killed under it."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
def stations(transactional_db: None, organisation: Organisation) -> list[Charger]:
    factories.token(organisation, "TAG1")
    return [factories.charger(organisation, f"BLR-{number}", plugs=1) for number in range(8)]


def values(number: int, transaction: int) -> dict[str, Any]:
    at = (NOW + timedelta(seconds=number)).isoformat()
    moment = {"timestamp": at, "sampledValue": [{"value": str(number * 10)}]}
    return {"connectorId": 1, "transactionId": transaction, "meterValue": [moment]}


@pytest.fixture
def runner_pid(transactional_db: None) -> int:
    """The connection with which the test runner empties the tables; the test's own coroutine has another one."""
    connection.ensure_connection()
    return int(connection.connection.info.backend_pid)


async def kill_connections(runner_pid: int) -> None:
    """Terminate every connection of the server, as a failing database would; the test keeps its own two."""
    query = """SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> ALL(%s)"""
    connection.ensure_connection()
    spared = [runner_pid, connection.connection.info.backend_pid]
    async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as killer:
        cursor = await killer.execute(query, [[*spared, killer.info.backend_pid]])
        assert await cursor.fetchall()


async def send_values(
    socket: Socket, transaction: int, acknowledged: set[tuple[int, int]], enough: asyncio.Event
) -> None:
    number = 0
    while not enough.is_set():
        number += 1
        answer = await socket.call("MeterValues", values(number, transaction))
        while answer != {}:  # InternalError: a charger sends it again
            answer = await socket.call("MeterValues", values(number, transaction))
        acknowledged.add((transaction, number * 10))


async def test_no_acknowledged_reading_is_lost_when_the_database_drops_us(
    connect: Connect, stations: list[Charger], runner_pid: int
) -> None:
    sockets = [await connect(station.ocpp_identity) for station in stations]
    transactions = [(await socket.call("StartTransaction", START))["transactionId"] for socket in sockets]
    acknowledged: set[tuple[int, int]] = set()
    enough = asyncio.Event()
    pairs = zip(sockets, transactions, strict=True)
    senders = [asyncio.create_task(send_values(*pair, acknowledged, enough)) for pair in pairs]
    for wanted in (50, 150, 250):
        while len(acknowledged) < wanted:
            await asyncio.sleep(0.005)
        await kill_connections(runner_pid)
    while len(acknowledged) < 350:
        await asyncio.sleep(0.005)
    enough.set()
    await asyncio.gather(*senders)
    stored = list(MeterValue.objects.values_list("transaction_ref", "energy_wh"))
    assert {(int(reference), energy) for reference, energy in stored} == acknowledged
    assert len(stored) == len(acknowledged)
    newest = {transaction: max(wh for ref, wh in acknowledged if ref == transaction) for transaction in transactions}
    figures = dict(ChargingSession.objects.values_list("transaction_ref", "energy_wh"))
    assert {int(reference): energy for reference, energy in figures.items()} == newest


async def test_a_start_survives_the_loss_of_every_connection(
    connect: Connect, stations: list[Charger], runner_pid: int
) -> None:
    socket = await connect("BLR-0")
    await socket.call("Heartbeat", {})
    await kill_connections(runner_pid)
    assert (await socket.call("StartTransaction", START))["transactionId"] > 0
    assert ChargingSession.objects.count() == 1


async def test_an_unavailable_database_is_an_internal_error_and_nothing_is_acknowledged(
    connect: Connect, stations: list[Charger], monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await connect("BLR-0")
    number = (await socket.call("StartTransaction", START))["transactionId"]
    await meters.database.close()
    with monkeypatch.context() as away:
        away.setattr("fleetcharge.lib.db.conninfo", lambda: "host=127.0.0.1 port=1 dbname=nowhere")
        answer = await socket.call("MeterValues", values(1, number))
        assert answer[2] == "InternalError"
    assert not MeterValue.objects.exists()
    assert await socket.call("MeterValues", values(1, number)) == {}
    assert MeterValue.objects.count() == 1


async def test_one_bad_reading_does_not_take_its_batch_with_it(connect: Connect, stations: list[Charger]) -> None:
    """A value the database refuses fails alone; its neighbours in the same commit are stored."""
    received_at = datetime.now(UTC)
    place = {"charger_id": stations[0].pk, "evse_number": 1, "transaction_ref": "1", "received_at": received_at}
    good = writers.readings_of(values(1, 1)["meterValue"], **place)
    bad = writers.readings_of(values(2, 1)["meterValue"], **place)
    bad[0].power_w = 2**40
    results = await asyncio.gather(*map(writers.store_readings, (good, bad)), return_exceptions=True)
    assert results[0] is None
    assert isinstance(results[1], psycopg.DataError)
    assert list(MeterValue.objects.values_list("energy_wh", flat=True)) == [10]
