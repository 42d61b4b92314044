"""Stations whose clock stands still, or is not there: every session is its own, a repeat is a repeat, and it shows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.models import CDR, BillingException, ChargingSession
from billing.tests.factories import fund, make_tariff
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger, Connector

DEAD = "1970-01-01T00:00:00Z"
TOKEN = {"idToken": "TAG1", "type": "ISO14443"}
Kind = BillingException.Kind


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    fund(organisation, 10_000_00)
    made = factories.charger(organisation, "OLD-1")
    Connector.objects.filter(evse__charger=made).update(tariff=make_tariff(made.location.source))
    return made


@pytest.fixture
async def old(connect: Connect, station: Charger) -> Socket:
    opened: Socket = await connect("OLD-1", subprotocols=["ocpp1.6"])
    return opened


def started(**fields: Any) -> dict[str, Any]:
    return {"connectorId": 1, "idTag": "TAG1", "meterStart": 0, "timestamp": DEAD, **fields}


def stopped(number: int, **fields: Any) -> dict[str, Any]:
    return {"transactionId": number, "meterStop": 900, "timestamp": DEAD, **fields}


@pytest.mark.parametrize("timestamp", [DEAD, None, "yesterday"])
async def test_the_same_start_after_its_session_is_another_session(old: Socket, timestamp: str | None) -> None:
    start = started()
    if timestamp is None:
        del start["timestamp"]
    else:
        start["timestamp"] = timestamp
    numbers = []
    for day in range(3):
        answer = await old.call("StartTransaction", start, f"start-{day}")
        repeated = await old.call("StartTransaction", start, f"again-{day}")  # while it runs: a retry
        assert repeated["transactionId"] == answer["transactionId"]
        numbers.append(answer["transactionId"])
        await old.call("StopTransaction", stopped(numbers[-1]), f"stop-{day}")
    assert len(set(numbers)) == 3
    sessions = ChargingSession.objects.filter(transaction_ref__in=numbers, state="ended")
    assert [session.energy_wh for session in sessions] == [900, 900, 900]
    assert CDR.objects.count() == 3


@pytest.mark.parametrize("timestamp", [DEAD, None, "yesterday", "2099-01-01T00:00:00Z"])
async def test_numbers_that_begin_anew_are_not_mistaken_for_a_repeat(
    connect: Connect, station: Charger, timestamp: str | None
) -> None:
    """Word for word the same messages under the same ids: three boots, three sessions, each of them said twice."""
    time = {} if timestamp is None else {"timestamp": timestamp}
    start, stop = ({**made, **time} for made in (started(), stopped(-1, idTag="TAG1")))
    if timestamp is None:
        del start["timestamp"], stop["timestamp"]
    numbers = []
    for _boot in range(3):
        socket: Socket = await connect("OLD-1", subprotocols=["ocpp1.6"])
        first, again = [(await socket.call("StartTransaction", start, "1"))["transactionId"] for _ in range(2)]
        assert first == again
        numbers.append(first)
        for _ in range(2):
            assert await socket.call("StopTransaction", stop, "2") == {"idTagInfo": {"status": "Accepted"}}
    assert len(set(numbers)) == 3
    sessions = ChargingSession.objects.filter(transaction_ref__in=numbers, state="ended")
    assert [session.energy_wh for session in sessions] == [900, 900, 900]
    assert not BillingException.objects.filter(kind__in=[Kind.CONFLICTING_STOP, Kind.ORPHAN_STOP]).exists()


async def test_a_start_with_a_time_is_the_same_also_when_its_session_is_over(old: Socket) -> None:
    start = started(timestamp=datetime.now(UTC).isoformat())
    first = await old.call("StartTransaction", start, "one")
    await old.call("StopTransaction", stopped(first["transactionId"]), "stop")
    assert await old.call("StartTransaction", start, "two") == first


async def test_a_start_at_a_register_that_has_moved_on_is_told_again(old: Socket) -> None:
    """Its session has ended meanwhile; the next one begins where the register stands now."""
    first = await old.call("StartTransaction", started(meterStart=5_000))
    await old.call("StopTransaction", stopped(first["transactionId"], meterStop=5_900))
    assert await old.call("StartTransaction", started(meterStart=5_000)) == first
    assert ChargingSession.objects.get().energy_wh == 900
    assert await old.call("StartTransaction", started(meterStart=5_900)) != first
    assert ChargingSession.objects.count() == 2


async def test_a_stop_that_is_said_again_without_a_clock_is_no_conflict(old: Socket) -> None:
    number = (await old.call("StartTransaction", started()))["transactionId"]
    for attempt in range(3):
        await old.call("StopTransaction", stopped(number), f"stop-{attempt}")
    session = ChargingSession.objects.get()
    assert not BillingException.objects.filter(kind=Kind.CONFLICTING_STOP).exists()
    assert (session.energy_wh, session.quality) == (900, "estimated")
    assert session.quality_reasons == ["clock_not_believed"]
    assert session.ended_at is not None
    assert abs((datetime.now(UTC) - session.ended_at).total_seconds()) < 60
    await old.call("StopTransaction", stopped(number, meterStop=5_000), "another")
    assert BillingException.objects.filter(kind=Kind.CONFLICTING_STOP).count() == 1


@pytest.mark.parametrize("fields", [{"idTag": "TAG1"}, {}, {"idTag": "NOBODY"}])
async def test_an_orphan_without_a_clock_is_kept_once(old: Socket, fields: dict[str, Any]) -> None:
    for attempt in range(3):
        await old.call("StopTransaction", stopped(-1, **fields), f"stop-{attempt}")
    assert BillingException.objects.filter(kind=Kind.ORPHAN_STOP).count() == 1
    await old.call("StopTransaction", stopped(-1, **fields, meterStop=1_000), "another")
    assert BillingException.objects.filter(kind=Kind.ORPHAN_STOP).count() == 2


@pytest.mark.parametrize("fields", [{"idTag": "TAG1"}, {}])
async def test_a_stop_without_id_and_clock_ends_its_session_once(old: Socket, fields: dict[str, Any]) -> None:
    await old.call("StartTransaction", started())
    for attempt in range(3):
        await old.call("StopTransaction", stopped(-1, **fields), f"stop-{attempt}")
    assert (ChargingSession.objects.get().state, ChargingSession.objects.get().energy_wh) == ("ended", 900)
    assert not BillingException.objects.exists()


async def test_an_end_of_2x_that_is_said_again_without_a_clock_is_no_conflict(
    connect: Connect, station: Charger
) -> None:
    socket: Socket = await connect("OLD-1", subprotocols=["ocpp2.0.1"])

    def event(kind: str, sequence: int, wh: int, **fields: Any) -> dict[str, Any]:
        values = [{"timestamp": DEAD, "sampledValue": [{"value": wh}]}]
        return {
            "eventType": kind, "timestamp": DEAD, "triggerReason": "Trigger", "seqNo": sequence,
            "transactionInfo": {"transactionId": "tx-1"}, "meterValue": values, **fields,
        }  # fmt: skip

    await socket.call("TransactionEvent", event("Started", 0, 100, evse={"id": 1}, idToken=TOKEN))
    for attempt in range(3):
        await socket.call("TransactionEvent", event("Ended", 1, 600), f"end-{attempt}")
    session = ChargingSession.objects.get()
    assert (session.state, session.energy_wh, session.quality_reasons) == ("ended", 500, ["clock_not_believed"])
    assert not BillingException.objects.exists()


@pytest.mark.parametrize("number", [None, "abc", 2**63, -(2**40), 1.5, {}, True])
async def test_a_stop_whose_id_is_senseless_is_confirmed(old: Socket, number: object) -> None:
    """Rule 24: a station that is refused only says it again."""
    await old.call("StartTransaction", started(timestamp=datetime.now(UTC).isoformat()))
    stop = stopped(0, idTag="TAG1", timestamp=datetime.now(UTC).isoformat())
    stop["transactionId"] = number
    if number is None:
        del stop["transactionId"]
    assert await old.call("StopTransaction", stop) == {"idTagInfo": {"status": "Accepted"}}
    assert (ChargingSession.objects.get().state, ChargingSession.objects.get().energy_wh) == ("ended", 900)
