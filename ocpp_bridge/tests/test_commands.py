"""A command from the click to the charger's answer: one row, one outcome, whatever happens in between."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from ocpp_bridge import bell, commands, tasks
from ocpp_bridge.adapter import OwnChargersAdapter
from ocpp_bridge.hub import hub
from ocpp_bridge.models import AnsweredCall, Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect, reaches, until
from stations.cpo.base import ReserveRequest
from stations.events import ReservationAnswered
from stations.models import Charger, Connector

A, S = Command.Action, Command.State
RESERVE = {"evse_number": 1, "id_token": "TAG1", "reservation_number": 77, "expires_at": "2030-01-01T00:00:00.000Z"}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017")


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[ReservationAnswered]:
    """ReservationAnswered events as their subscribers get them."""
    heard: list[ReservationAnswered] = []
    monkeypatch.setitem(events._handlers, ReservationAnswered, [heard.append])
    return heard


def ask(station: Charger, action: str, parameters: dict[str, Any], key: str = "k1", **more: Any) -> Command:
    return commands.enqueue(
        charger_id=station.pk,
        action=action,
        parameters=parameters,
        idempotency_key=key,
        deadline_at=more.pop("deadline_at", timezone.now() + timedelta(seconds=60)),
        actor="test",
        **more,
    )


async def outcome_of(socket: Socket, command: Command) -> Command:
    """Let the charger answer, then wait for the row."""
    while not socket.asked:
        await socket.receive()
    await until(lambda: Command.objects.get(pk=command.pk).state not in Command.OPEN_STATES)
    return Command.objects.get(pk=command.pk)


async def ready(connect: Connect, *protocols: str) -> Socket:
    socket: Socket = await connect("BLR-017", subprotocols=list(protocols) or ["ocpp1.6"])
    await socket.call("Heartbeat", {})
    return socket


@pytest.mark.parametrize(
    ("action", "parameters", "in_16", "in_201"),
    [
        (
            A.REMOTE_START,
            {"id_token": "TAG1", "evse_number": 2, "remote_start_id": 9},
            ("RemoteStartTransaction", {"idTag": "TAG1", "connectorId": 2}),
            ("RequestStartTransaction",
             {"remoteStartId": 9, "idToken": {"idToken": "TAG1", "type": "ISO14443"}, "evseId": 2}),
        ),
        (
            A.REMOTE_STOP,
            {"transaction_ref": "12"},
            ("RemoteStopTransaction", {"transactionId": 12}),
            ("RequestStopTransaction", {"transactionId": "12"}),
        ),
        (
            A.RESERVE_NOW,
            RESERVE,
            ("ReserveNow",
             {"connectorId": 1, "expiryDate": "2030-01-01T00:00:00.000Z", "idTag": "TAG1", "reservationId": 77}),
            ("ReserveNow",
             {"id": 77, "expiryDateTime": "2030-01-01T00:00:00.000Z", "evseId": 1,
              "idToken": {"idToken": "TAG1", "type": "ISO14443"}}),
        ),
        (
            A.CANCEL_RESERVATION,
            {"reservation_number": 77},
            ("CancelReservation", {"reservationId": 77}),
            ("CancelReservation", {"reservationId": 77}),
        ),
        (
            A.TRIGGER_MESSAGE,
            {"message": "StatusNotification", "evse_number": 1},
            ("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1}),
            ("TriggerMessage", {"requestedMessage": "StatusNotification", "evse": {"id": 1, "connectorId": 1}}),
        ),
    ],
)  # fmt: skip
async def test_each_command_in_the_words_of_each_version(
    connect: Connect, station: Charger, action: str, parameters: dict[str, Any], in_16: Any, in_201: Any
) -> None:
    for protocol, words in (("ocpp1.6", in_16), ("ocpp2.0.1", in_201)):
        socket = await ready(connect, protocol)
        command = await outcome_of(socket, ask(station, action, parameters, protocol))
        assert socket.asked == [words]
        assert (command.state, command.request, command.response) == (S.ACCEPTED, words[1], {"status": "Accepted"})
        assert command.sent_at and command.answered_at


async def test_an_accepted_reservation_is_told(
    connect: Connect, station: Charger, outcomes: list[ReservationAnswered]
) -> None:
    socket = await ready(connect)
    await outcome_of(socket, ask(station, A.RESERVE_NOW, RESERVE, reservation_key="r-1"))
    await reaches(lambda: [(o.reservation_key, o.state, o.reason) for o in outcomes], [("r-1", "accepted", "")])


async def test_a_refused_reservation_is_told_in_the_chargers_word(
    connect: Connect, station: Charger, outcomes: list[ReservationAnswered]
) -> None:
    socket = await ready(connect)
    socket.replies["ReserveNow"] = {"status": "Occupied"}
    command = await outcome_of(socket, ask(station, A.RESERVE_NOW, RESERVE, reservation_key="r-1"))
    assert (command.state, command.reason) == (S.REJECTED, "Occupied")
    await reaches(lambda: [(o.state, o.reason) for o in outcomes], [("rejected", "Occupied")])


async def test_a_cancellation_is_told(connect: Connect, station: Charger, outcomes: list[ReservationAnswered]) -> None:
    socket = await ready(connect)
    cancel = ask(station, A.CANCEL_RESERVATION, {"reservation_number": 77}, reservation_key="r-1")
    await outcome_of(socket, cancel)
    await reaches(lambda: [o.state for o in outcomes], ["cancelled"])


async def test_a_command_for_an_absent_charger_waits_for_it(connect: Connect, station: Charger) -> None:
    command = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"})
    assert command.state == S.QUEUED
    socket = await ready(connect)
    assert (await outcome_of(socket, command)).state == S.ACCEPTED


async def test_without_valkey_the_poll_finds_the_command(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await ready(connect)
    monkeypatch.setattr(bell, "ring", lambda charger_id, node: None)
    assert (await outcome_of(socket, ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"}))).state == S.ACCEPTED


async def test_commands_go_one_at_a_time_in_order(connect: Connect, station: Charger) -> None:
    socket = await ready(connect)
    asked = [ask(station, A.TRIGGER_MESSAGE, {"message": name}, name) for name in ("Heartbeat", "BootNotification")]
    await socket.receive()
    assert len(socket.asked) == 1
    await socket.receive()
    assert [payload["requestedMessage"] for _, payload in socket.asked] == ["Heartbeat", "BootNotification"]
    await until(lambda: Command.objects.filter(state=S.ACCEPTED).count() == len(asked))


async def test_our_pending_call_holds_up_no_call_of_the_charger(connect: Connect, station: Charger) -> None:
    """The deadlock every Python OCPP server meets: both directions must flow while one waits."""
    socket = await ready(connect)
    command = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"})
    await until(lambda: Command.objects.get(pk=command.pk).state == S.SENT)
    await socket.send([2, "crossing", "Heartbeat", {}])
    seen = [await socket.receive(), await socket.receive()]
    assert {frame[0] for frame in seen} == {2, 3}
    assert (await outcome_of(socket, command)).state == S.ACCEPTED


async def test_silence_frees_the_lane(
    connect: Connect, station: Charger, settings: Any, outcomes: list[ReservationAnswered]
) -> None:
    settings.OCPP_CALL_TIMEOUT_SECONDS = 0.2
    await ready(connect)
    first = ask(station, A.RESERVE_NOW, RESERVE, "a", reservation_key="r-1")
    second = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"}, "b")
    for command in (first, second):  # nobody reads the socket on the other side
        await until(lambda pk=command.pk: Command.objects.get(pk=pk).state == S.TIMED_OUT)
    await reaches(lambda: [o.state for o in outcomes], ["timed_out"])


async def test_a_callerror_fails_the_command(connect: Connect, station: Charger) -> None:
    socket = await ready(connect)
    command = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"})
    frame = orjson_list(await socket.socket.recv())
    await socket.send([4, frame[1], "NotSupported", "no", {}])
    await until(lambda: Command.objects.get(pk=command.pk).state == S.FAILED)
    assert Command.objects.get(pk=command.pk).response == {"error": "NotSupported", "description": "no"}


async def test_a_command_that_cannot_be_said_fails_at_once(connect: Connect, station: Charger) -> None:
    await ready(connect)
    command = ask(station, A.REMOTE_STOP, {"transaction_ref": "not-a-number"})
    assert (command.state, command.protocol) == (S.FAILED, "ocpp1.6")


def orjson_list(raw: str | bytes) -> list[Any]:
    import orjson

    return list(orjson.loads(raw))


def test_the_same_key_is_the_same_command(station: Charger) -> None:
    first = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"}, "same")
    again = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"}, "same")
    assert first.pk == again.pk
    assert Command.objects.count() == 1
    with pytest.raises(commands.KeyReused):
        ask(station, A.REMOTE_STOP, {"transaction_ref": "1"}, "same")


def test_the_sweep_closes_what_nobody_will_answer(station: Charger, outcomes: list[ReservationAnswered]) -> None:
    now = datetime.now(UTC)
    late = ask(station, A.RESERVE_NOW, RESERVE, "late", deadline_at=now - timedelta(seconds=1), reservation_key="r-1")
    lost = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"}, "lost")
    open_still = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"}, "open")
    gone = {"state": S.SENT, "sent_at": now - timedelta(minutes=2), "answer_due_at": now, "attempts": 3}
    Command.objects.filter(pk=lost.pk).update(**gone)
    AnsweredCall.objects.create(
        charger=station, message_id="1", payload_hash=b"x" * 16, action="StartTransaction", answer={},
        received_at=now - timedelta(hours=25),
    )  # fmt: skip
    assert tasks.sweep_commands() == 2
    states = {command.pk: command.state for command in Command.objects.all()}
    assert states == {late.pk: S.EXPIRED, lost.pk: S.TIMED_OUT, open_still.pk: S.QUEUED}
    assert [(o.reservation_key, o.state) for o in outcomes] == [("r-1", "timed_out")]
    assert not AnsweredCall.objects.exists()


def test_the_first_outcome_stands(station: Charger) -> None:
    command = ask(station, A.TRIGGER_MESSAGE, {"message": "Heartbeat"})
    now = datetime.now(UTC)
    assert commands.finish(command_id=command.pk, state=S.EXPIRED, reason="late", response=None, at=now)
    assert not commands.finish(command_id=command.pk, state=S.ACCEPTED, reason="", response=None, at=now)
    command.refresh_from_db()
    assert command.state == S.EXPIRED


# --- the adapter dispatch uses ------------------------------------------------------------------------------------


def request_for(station: Charger) -> ReserveRequest:
    connector = Connector.objects.get(evse__charger=station, connector_id=2)
    return ReserveRequest(connector, "r-1", 77, "TAG1", timezone.now() + timedelta(minutes=30))


def test_an_offline_charger_rejects_at_once(station: Charger) -> None:
    receipt = OwnChargersAdapter().reserve(request_for(station))
    assert (receipt.state, receipt.reason) == ("rejected", "The charger is offline.")
    assert not Command.objects.exists()


async def test_a_reservation_through_the_adapter_reaches_the_charger(connect: Connect, station: Charger) -> None:
    socket = await ready(connect)
    request = request_for(station)
    receipt = OwnChargersAdapter().reserve(request)
    assert receipt.state == "pending"
    command = await outcome_of(socket, Command.objects.get(pk=receipt.reference))
    assert (command.state, socket.asked[0][1]["connectorId"]) == (S.ACCEPTED, 2)
    assert OwnChargersAdapter().reserve(request).reference == receipt.reference
    assert OwnChargersAdapter().cancel(request.connector, "r-1", 77).state == "pending"
    assert Command.objects.count() == 2


async def test_a_reconnect_without_status_is_asked_for_it(connect: Connect, station: Charger) -> None:
    socket = await ready(connect)
    consumer = hub.find(station.pk)
    assert consumer is not None
    consumer.connected_at -= 60
    await hub._look_for_silence()
    await socket.receive()
    assert socket.asked == [("TriggerMessage", {"requestedMessage": "StatusNotification"})]
    assert ChargingSession.objects.count() == 0


@pytest.mark.django_db
def test_a_cancellation_that_was_answered_can_be_said_again(organisation: Organisation) -> None:
    charger = factories.charger(organisation, "BLR-018")
    connector, key = Connector.objects.filter(evse__charger=charger)[0], "4b1d6f4e-0000-4000-8000-000000000001"
    adapter = OwnChargersAdapter()
    first = adapter.cancel(connector, key, 77).reference
    assert adapter.cancel(connector, key, 77).reference == first
    commands.finish(command_id=first, state=S.ACCEPTED, reason="", response=None, at=timezone.now())
    assert adapter.cancel(connector, key, 77).reference != first
