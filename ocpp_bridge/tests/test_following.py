"""Rule 27: an accepted start that no session follows is told, and a session finds the start that asked for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from billing.events import SessionStarted
from billing.models import ChargingSession
from billing.services import sessions
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from ocpp_bridge import commands, following, tasks
from ocpp_bridge.events import CommandFinished
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect, reaches, until
from ocpp_bridge.tests.test_commands import ask, outcome_of, ready
from stations.models import Charger

A, S = Command.Action, Command.State
BEGAN = {"connectorId": 1, "idTag": "TAG1", "meterStart": 0, "timestamp": "2026-11-21T10:00:00Z"}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    factories.token(organisation, "TAG2")
    return factories.charger(organisation, "BLR-017")


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[CommandFinished]:
    """CommandFinished events as their subscribers get them."""
    heard: list[CommandFinished] = []
    monkeypatch.setitem(events._handlers, CommandFinished, [heard.append])
    return heard


def again(command: Command) -> Command:
    return Command.objects.get(pk=command.pk)


async def accepted_start(connect: Connect, station: Charger, *, protocol: str = "ocpp1.6", **parameters: Any) -> Any:
    socket = await ready(connect, protocol)
    wanted = {"id_token": "TAG1", "evse_number": 1} | parameters
    return socket, await outcome_of(socket, ask(station, A.REMOTE_START, wanted))


async def test_a_start_is_linked_to_the_session_that_follows(
    connect: Connect, station: Charger, finished: list[CommandFinished]
) -> None:
    socket, command = await accepted_start(connect, station)
    assert (command.state, command.session) == (S.ACCEPTED, None)
    assert command.session_due_at - command.answered_at == timedelta(seconds=150)
    await socket.call("StartTransaction", BEGAN)
    await until(lambda: again(command).session_id)
    assert following.sweep(now=timezone.now() + timedelta(hours=1)) == 0
    assert (again(command).state, again(command).session_id) == (S.ACCEPTED, ChargingSession.objects.get().pk)
    await reaches(lambda: [(event.state, event.action) for event in finished], [("accepted", "RemoteStart")])


async def test_a_start_that_nobody_plugged_in_for_became_no_session(
    connect: Connect, station: Charger, finished: list[CommandFinished]
) -> None:
    _, command = await accepted_start(connect, station)
    assert following.sweep(now=timezone.now()) == 0
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=151)):
        assert tasks.sweep_commands() == 1
        assert tasks.sweep_commands() == 0
    assert (again(command).state, again(command).reason) == (S.NO_SESSION, following.REASON)
    await reaches(lambda: [event.state for event in finished], ["accepted", "no_session"])


async def test_a_late_session_makes_it_good(
    connect: Connect, station: Charger, finished: list[CommandFinished]
) -> None:
    socket, command = await accepted_start(connect, station)
    following.sweep(now=timezone.now() + timedelta(seconds=151))
    await socket.call("StartTransaction", BEGAN)
    await until(lambda: again(command).session_id)
    assert (again(command).state, again(command).reason) == (S.ACCEPTED, "The session came late.")
    await reaches(lambda: [event.state for event in finished], ["accepted", "no_session", "accepted"])


@pytest.mark.parametrize("changes", [{"idTag": "TAG2"}, {"connectorId": 2}])
async def test_somebody_elses_session_is_not_the_one(
    connect: Connect, station: Charger, changes: dict[str, Any]
) -> None:
    socket, command = await accepted_start(connect, station)
    await socket.call("StartTransaction", BEGAN | changes)
    await until(ChargingSession.objects.exists)
    assert following.sweep(now=timezone.now() + timedelta(seconds=151)) == 1
    assert again(command).session is None


async def test_in_20x_the_number_of_the_start_decides(connect: Connect, station: Charger) -> None:
    socket, command = await accepted_start(connect, station, protocol="ocpp2.0.1")
    number = command.parameters["remote_start_id"]
    for reference, claimed in (("a", number + 1), ("b", number)):
        event = {
            "eventType": "Started", "timestamp": "2026-11-21T10:00:00Z", "triggerReason": "RemoteStart", "seqNo": 0,
            "transactionInfo": {"transactionId": reference, "remoteStartId": claimed},
            "evse": {"id": 1, "connectorId": 1}, "idToken": {"idToken": "TAG1", "type": "ISO14443"},
        }  # fmt: skip
        await socket.call("TransactionEvent", event)
    await until(lambda: again(command).session_id)
    assert again(command).session is not None
    assert ChargingSession.objects.get(pk=again(command).session_id).transaction_ref == "b"


async def test_a_session_whose_event_was_lost_is_found_by_the_sweep(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(events._handlers, SessionStarted, [])
    socket, command = await accepted_start(connect, station)
    await socket.call("StartTransaction", BEGAN)
    assert following.sweep(now=timezone.now() + timedelta(seconds=151)) == 0
    assert again(command).session_id == ChargingSession.objects.get().pk


async def test_the_charger_may_begin_before_it_answers(connect: Connect, station: Charger) -> None:
    socket = await ready(connect)
    command = ask(station, A.REMOTE_START, {"id_token": "tag1", "evse_number": 1})
    await until(lambda: again(command).state == S.SENT)
    await socket.send([2, "early", "StartTransaction", BEGAN])
    await until(lambda: again(command).session_id)
    await outcome_of(socket, command)
    assert (again(command).state, again(command).session_due_at) == (S.ACCEPTED, None)


def test_one_session_answers_one_start(station: Charger) -> None:
    first, second = (ask(station, A.REMOTE_START, {"id_token": "TAG1"}, key) for key in ("a", "b"))
    now = timezone.now()
    Command.objects.update(state=S.ACCEPTED, sent_at=now, session_due_at=now)
    session = begin(station, now)
    assert again(second).session_id == session
    assert not following.session_started(session_id=session, now=now)
    assert following.sweep(now=now + timedelta(seconds=1)) == 1
    assert again(first).state == S.NO_SESSION
    assert commands.lose(command_id=first.pk, at=now) == S.NO_SESSION


@pytest.mark.parametrize("first_answer", ["Rejected", "Accepted"])
async def test_of_a_start_and_its_repetition_the_repetition_worked(
    connect: Connect, station: Charger, first_answer: str
) -> None:
    socket = await ready(connect)
    wanted = {"id_token": "TAG1", "evse_number": 1}
    socket.replies["RemoteStartTransaction"] = {"status": first_answer}
    first = await outcome_of(socket, ask(station, A.REMOTE_START, wanted, "first"))
    socket.replies["RemoteStartTransaction"] = {"status": "Accepted"}
    socket.asked.clear()
    second = await outcome_of(socket, ask(station, A.REMOTE_START, wanted, "second"))
    await socket.call("StartTransaction", BEGAN)
    await until(lambda: again(second).session_id)
    assert again(first).session_id is None
    following.sweep(now=timezone.now() + timedelta(seconds=151))
    assert again(first).state == (S.REJECTED if first_answer == "Rejected" else S.NO_SESSION)


@pytest.mark.parametrize("state", [S.REJECTED, S.FAILED, S.EXPIRED, S.CANCELLED])
def test_a_start_that_came_to_nothing_explains_no_session(station: Charger, state: str) -> None:
    command = ask(station, A.REMOTE_START, {"id_token": "TAG1"})
    now = timezone.now()
    Command.objects.update(state=state, sent_at=now)
    begin(station, now)
    assert again(command).session_id is None


def test_by_the_token_alone_only_a_session_soon_after_is_explained(station: Charger) -> None:
    """Whoever taps the same card half an hour after a start that came to nothing, came by themselves."""
    command = ask(station, A.REMOTE_START, {"id_token": "TAG1"})
    now = timezone.now()
    Command.objects.update(state=S.NO_SESSION, sent_at=now - timedelta(minutes=30))
    session = begin(station, now)
    assert again(command).session_id is None
    Command.objects.update(sent_at=now - timedelta(minutes=3))
    assert following.session_started(session_id=session, now=now)
    assert (again(command).state, again(command).session_id) == (S.ACCEPTED, session)


def test_a_lost_session_goes_to_the_later_start(station: Charger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(events._handlers, SessionStarted, [])
    now = timezone.now()
    first, second = (ask(station, A.REMOTE_START, {"id_token": "TAG1"}, key) for key in ("a", "b"))
    for command, seconds in ((first, 100), (second, 50)):
        Command.objects.filter(pk=command.pk).update(
            state=S.ACCEPTED, sent_at=now - timedelta(seconds=seconds), session_due_at=now - timedelta(seconds=seconds)
        )
    session = begin(station, now)
    assert following.sweep(now=now) == 1
    assert (again(first).state, again(second).session_id) == (S.NO_SESSION, session)


def begin(station: Charger, now: datetime) -> int:
    began = sessions.start_session(
        charger_id=station.pk, evse_number=1, connector_id=1, id_token="TAG1", started_at=now, received_at=now,
        meter_start_wh=0, start_key="k" * 32, transaction_ref="77", reservation_number=None, remote_start_id=None,
    )  # fmt: skip
    return began.session_id
