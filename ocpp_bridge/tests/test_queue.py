"""The durable queue: what may be sent when, what waits, what is said again, what a dead connection leaves behind."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import commands, courier, nodes
from ocpp_bridge.hub import hub
from ocpp_bridge.models import Command, Node
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect, reaches, until
from ocpp_bridge.tests.test_commands import RESERVE, ask, outcome_of, outcomes, ready
from stations.events import ReservationAnswered
from stations.models import Charger, Connector
from stations.services import presence

__all__ = ["outcomes"]  # a fixture

A, S = Command.Action, Command.State
BOOT = {"chargePointVendor": "Acme", "chargePointModel": "X"}
HEARTBEAT = {"message": "Heartbeat"}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017")


def states() -> dict[str, str]:
    return dict(Command.objects.values_list("idempotency_key", "state"))


async def everything_asked(socket: Socket, count: int) -> list[str]:
    while len(socket.asked) < count:
        await socket.receive()
    return [action for action, _ in socket.asked]


async def test_rule_15_nothing_is_said_before_the_boot_is_answered(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "BOOT_GRACE_SECONDS", 3600)
    ask(station, A.TRIGGER_MESSAGE, HEARTBEAT, "waiting")
    socket = await connect("BLR-017")
    consumer = await until(lambda: hub.find(station.pk))
    await hub._poll_commands()
    assert (courier.is_ready(consumer), states()) == (False, {"waiting": S.QUEUED})
    assert (await socket.call("BootNotification", BOOT))["status"] == "Accepted"
    assert socket.asked == []
    assert await everything_asked(socket, 1) == ["TriggerMessage"]
    await until(lambda: states() == {"waiting": S.ACCEPTED})


async def test_rule_17_a_reconnect_without_boot_is_served_after_a_moment(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "BOOT_GRACE_SECONDS", 0.0)
    ask(station, A.TRIGGER_MESSAGE, HEARTBEAT)
    socket = await connect("BLR-017")
    assert await everything_asked(socket, 1) == ["TriggerMessage"]


async def test_rule_15_a_pending_charger_is_configured_but_not_started(connect: Connect, station: Charger) -> None:
    Charger.objects.update(registration="Pending")
    ask(station, A.REMOTE_START, {"id_token": "TAG1"}, "start")
    ask(station, A.TRIGGER_MESSAGE, HEARTBEAT, "heartbeat")
    ask(station, A.GET_CONFIGURATION, {}, "configuration")
    ask(station, A.TRIGGER_MESSAGE, {"message": "BootNotification"}, "boot")
    socket = await connect("BLR-017")
    socket.replies["GetConfiguration"] = {"configurationKey": []}
    assert (await socket.call("BootNotification", BOOT))["status"] == "Pending"
    assert await everything_asked(socket, 2) == ["GetConfiguration", "TriggerMessage"]
    await until(lambda: S.SENT not in states().values())
    assert states() == {
        "start": S.QUEUED, "heartbeat": S.QUEUED, "configuration": S.ACCEPTED, "boot": S.ACCEPTED,
    }  # fmt: skip
    Charger.objects.update(registration="Accepted")
    assert (await socket.call("BootNotification", BOOT))["status"] == "Accepted"
    assert (await everything_asked(socket, 4))[2:] == ["RemoteStartTransaction", "TriggerMessage"]


async def test_rule_15_a_rejected_charger_is_told_nothing(connect: Connect, station: Charger) -> None:
    Charger.objects.update(registration="Rejected")
    ask(station, A.GET_CONFIGURATION, {}, "configuration")
    socket = await connect("BLR-017")
    assert (await socket.call("BootNotification", BOOT))["status"] == "Rejected"
    await hub._poll_commands()
    assert (socket.asked, states()) == ([], {"configuration": S.QUEUED})


async def test_what_expired_while_the_charger_was_away_is_not_sent(
    connect: Connect, station: Charger, outcomes: list[ReservationAnswered]
) -> None:
    past = timezone.now() - timedelta(seconds=1)
    ask(station, A.RESERVE_NOW, RESERVE, "late", deadline_at=past, reservation_key="r-1")
    ask(station, A.TRIGGER_MESSAGE, HEARTBEAT, "fresh")
    socket = await ready(connect)
    assert await everything_asked(socket, 1) == ["TriggerMessage"]
    await until(lambda: states() == {"late": S.EXPIRED, "fresh": S.ACCEPTED})
    await reaches(lambda: [(outcome.reservation_key, outcome.state) for outcome in outcomes], [("r-1", "timed_out")])


async def test_a_connection_that_breaks_before_the_answer(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be said twice goes out again on the next socket; a start does not."""
    socket = await ready(connect)
    ask(station, A.GET_LOCAL_LIST_VERSION, {}, "list")
    await until(lambda: states() == {"list": S.SENT})
    await socket.socket.close()
    await until(lambda: states() == {"list": S.QUEUED})
    socket = await ready(connect)
    socket.replies["GetLocalListVersion"] = {"listVersion": 1}
    await everything_asked(socket, 1)
    await until(lambda: states() == {"list": S.ACCEPTED})
    assert Command.objects.get().attempts == 2
    ask(station, A.REMOTE_START, {"id_token": "TAG1"}, "start")
    await until(lambda: states()["start"] == S.SENT)
    await socket.socket.close()
    await until(lambda: states()["start"] == S.TIMED_OUT)
    assert Command.objects.get(idempotency_key="start").reason == commands.MAY_HAVE_BEEN_DONE


def test_nothing_is_said_more_than_three_times(station: Charger) -> None:
    command = ask(station, A.GET_LOCAL_LIST_VERSION, {})
    for attempt in (1, 2, 3):
        claimed = claim(station)
        assert claimed is not None
        assert claimed.attempts == attempt
        expected = S.QUEUED if attempt < 3 else S.TIMED_OUT
        assert commands.lose(command_id=command.pk, at=timezone.now()) == expected
    assert claim(station) is None


@pytest.mark.parametrize("action", [A.UPDATE_FIRMWARE, A.SIGNED_UPDATE_FIRMWARE])
def test_an_update_that_may_have_begun_is_not_begun_again(station: Charger, action: str) -> None:
    wanted = {"location": "https://fw.example/a.bin", "retrieve_at": "2026-11-21T10:00:00Z"}
    command = ask(station, action, wanted | {"signing_certificate": "x", "signature": "y"})
    assert claim(station) is not None
    assert commands.lose(command_id=command.pk, at=timezone.now()) == S.TIMED_OUT


def claim(station: Charger, protocol: str = "ocpp1.6", node: str = "here", epoch: int = 1) -> Command | None:
    """As the process does that the charger's newest socket is at."""
    Charger.objects.filter(pk=station.pk).update(node=node, connection_epoch=epoch)
    return claim_as(station, protocol, node, epoch)


def claim_as(station: Charger, protocol: str, node: str, epoch: int) -> Command | None:
    return commands.claim_next(
        charger_id=station.pk, node=node, epoch=epoch, protocol=protocol, registration="Accepted", now=timezone.now()
    )


@pytest.mark.parametrize(("node", "epoch"), [("here", 1), ("there", 2), ("there", 1)])
def test_a_socket_that_was_replaced_claims_nothing(station: Charger, node: str, epoch: int) -> None:
    Charger.objects.filter(pk=station.pk).update(node="here", connection_epoch=2)
    ask(station, A.TRIGGER_MESSAGE, HEARTBEAT)
    assert claim_as(station, "ocpp1.6", node, epoch) is None
    assert states() == {"k1": S.QUEUED}
    assert claim_as(station, "ocpp1.6", "here", 2) is not None


async def test_a_claim_whose_commit_nobody_heard_of_is_not_followed_by_another(
    connect: Connect, station: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection died after the commit: a second try would send the second command and forget the first."""
    claim_next, cuts = commands.claim_next, [True]

    def cut_off(**wanted: Any) -> Command | None:
        claimed = claim_next(**wanted)
        if claimed is not None and cuts:
            cuts.pop()
            raise OperationalError("server closed the connection unexpectedly")
        return claimed

    monkeypatch.setattr(commands, "claim_next", cut_off)
    socket = await ready(connect)
    consumer = hub.find(station.pk)
    assert consumer is not None
    for key in ("first", "second"):
        ask(station, A.GET_LOCAL_LIST_VERSION, {}, key)
    await until(lambda: not cuts and not consumer.has_courier)
    first = Command.objects.get(idempotency_key="first")
    assert first.state == S.SENT
    commands.lose(command_id=first.pk, at=timezone.now())
    await everything_asked(socket, 2)
    await until(lambda: states() == {"first": S.ACCEPTED, "second": S.ACCEPTED})


def test_a_charger_that_came_back_with_another_version_gets_that_versions_words(station: Charger) -> None:
    ask(station, A.GET_BASE_REPORT, {}, "report")
    start = ask(station, A.REMOTE_START, {"id_token": "TAG1"}, "start")
    claimed = claim(station, "ocpp1.6")
    assert claimed is not None
    assert (claimed.pk, claimed.wire_action, claimed.request) == (start.pk, "RemoteStartTransaction", {"idTag": "TAG1"})
    report = Command.objects.get(idempotency_key="report")
    assert (report.state, report.reason) == (S.FAILED, "not_supported by OCPP 1.6")


def test_only_the_owner_of_the_socket_looks_for_work(station: Charger, organisation: Organisation) -> None:
    elsewhere, offline = (factories.charger(organisation, name) for name in ("BLR-018", "BLR-019"))
    Charger.objects.filter(pk=station.pk).update(node="here", is_online=True)
    Charger.objects.filter(pk=elsewhere.pk).update(node="there", is_online=True)
    for number, charger in enumerate((station, station, elsewhere, offline)):
        ask(charger, A.TRIGGER_MESSAGE, HEARTBEAT, str(number))
    assert commands.chargers_with_work(node="here") == [station.pk]


async def test_a_slow_answer_is_waited_for_longer_where_that_is_normal(
    connect: Connect, station: Charger, settings: Any
) -> None:
    settings.OCPP_CALL_TIMEOUT_SECONDS = 7
    assert commands.answer_seconds(A.RESET) == 7
    assert commands.answer_seconds(A.UNLOCK_CONNECTOR) == 14
    claimed = [ask(station, action, parameters, action) for action, parameters in (
        (A.RESET, {"kind": "soft"}), (A.UNLOCK_CONNECTOR, {"evse_number": 1}),
    )]  # fmt: skip
    rows = [row for row in (claim(station), claim(station)) if row]
    assert len(claimed) == len(rows) == 2
    waits = [row.answer_due_at - row.sent_at for row in rows if row.answer_due_at and row.sent_at]
    assert waits == [timedelta(seconds=22), timedelta(seconds=29)]


async def test_a_cancellation_the_charger_does_not_know_is_not_called_cancelled(
    connect: Connect, station: Charger, outcomes: list[ReservationAnswered]
) -> None:
    socket = await ready(connect)
    socket.replies["CancelReservation"] = {"status": "Rejected"}
    command = ask(station, A.CANCEL_RESERVATION, {"reservation_number": 77}, reservation_key="r-1")
    assert (await outcome_of(socket, command)).state == S.REJECTED
    await reaches(
        lambda: [(outcome.state, outcome.reason) for outcome in outcomes], [("failed", "unknown to the charger")]
    )


def test_a_taken_back_reservation_is_told(station: Charger, outcomes: list[ReservationAnswered]) -> None:
    command = ask(station, A.RESERVE_NOW, RESERVE, reservation_key="r-1")
    assert commands.cancel(command_id=command.pk, reason="no need", at=timezone.now())
    assert not commands.cancel(command_id=command.pk, reason="no need", at=timezone.now())
    assert [(outcome.state, outcome.reason) for outcome in outcomes] == [("cancelled", "no need")]


def test_a_command_without_what_it_needs_is_not_queued(station: Charger) -> None:
    with pytest.raises(commands.BadParameters, match="needs kind"):
        ask(station, A.RESET, {})
    assert not Command.objects.exists()


def test_a_node_is_buried_once_and_its_chargers_are_offline(station: Charger, organisation: Organisation) -> None:
    now = timezone.now()
    alive = factories.charger(organisation, "BLR-018")
    for charger, node in ((station, "dead"), (alive, "alive")):
        assert nodes.refresh(node=node, sockets=1, is_draining=False)
        assert not nodes.refresh(node=node, sockets=1, is_draining=False)
        Charger.objects.filter(pk=charger.pk).update(node=node, is_online=True)
    assert nodes.bury_the_lost(now=now) == 0
    assert nodes.has_others(node="alive")
    Node.objects.filter(name="dead").update(seen_at=now - nodes.LEASE - timedelta(seconds=5))
    assert not nodes.has_others(node="alive")
    assert [nodes.bury_the_lost(now=now), nodes.bury_the_lost(now=now)] == [1, 0]
    station.refresh_from_db()
    assert (station.is_online, station.node, station.disconnected_at) == (False, "", now)
    assert Charger.objects.get(pk=alive.pk).is_online
    assert list(Node.objects.values_list("name", flat=True)) == ["alive"]


def test_finished_commands_are_forgotten_after_a_while(station: Charger, settings: Any) -> None:
    settings.OCPP_COMMAND_DAYS = 30
    for key in ("old", "old but open", "young"):
        ask(station, A.TRIGGER_MESSAGE, HEARTBEAT, key)
    Command.objects.exclude(idempotency_key="old but open").update(state=S.ACCEPTED)
    Command.objects.exclude(idempotency_key="young").update(created_at=timezone.now() - timedelta(days=31))
    assert commands.forget_old(now=timezone.now()) == 1
    assert set(states()) == {"old but open", "young"}


def test_one_command_per_key_however_many_ask_at_once(station: Charger) -> None:
    def one(_: int) -> str:
        try:
            return str(ask(station, A.REMOTE_START, {"id_token": "TAG1"}, "same").pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(one, range(24)))) == 1
    assert Command.objects.count() == 1


def test_sockets_that_ended_unnoticed_are_offline_at_the_next_report(
    station: Charger, organisation: Organisation
) -> None:
    now = timezone.now()
    held, fresh, elsewhere = (factories.charger(organisation, name) for name in ("HELD", "FRESH", "ELSEWHERE"))
    Charger.objects.update(node="here", is_online=True, connected_at=now - timedelta(minutes=5))
    Charger.objects.filter(pk=fresh.pk).update(connected_at=now)
    Charger.objects.filter(pk=elsewhere.pk).update(node="there")
    assert presence.node_holds(node="here", charger_ids=[held.pk], at=now) == 1
    online = set(Charger.objects.online().values_list("ocpp_identity", flat=True))
    assert online == {"HELD", "FRESH", "ELSEWHERE"}


def test_presence_writes_rows_only_now_and_then(station: Charger, django_assert_num_queries: Any) -> None:
    now = timezone.now()
    Charger.objects.update(is_online=True, connection_epoch=3, last_seen_at=now)
    Connector.objects.update(status_at=now, heard_at=now)

    def report(after: timedelta, epoch: int = 3) -> tuple[timedelta, timedelta]:
        with django_assert_num_queries(2):
            presence.chargers_present(sockets={station.pk: epoch}, node="here", at=now + after)
        seen = Charger.objects.get(pk=station.pk).last_seen_at
        heard = Connector.objects.filter(evse__charger=station).values_list("heard_at", flat=True).first()
        assert seen and heard
        return seen - now, heard - now

    nothing, minute, later = timedelta(0), timedelta(minutes=1), timedelta(minutes=6)
    assert report(timedelta(seconds=30)) == (nothing, nothing)
    assert report(minute) == (minute, nothing)
    assert report(later, epoch=2)[0] == minute
    assert report(later) == (later, later)


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_parameters_that_no_database_keeps_are_refused(station: Charger, value: object) -> None:
    with pytest.raises(commands.BadParameters):
        ask(station, A.DATA_TRANSFER, {"vendor_id": "x", "data": value})
    assert not Command.objects.exists()


async def test_an_answer_with_unstorable_characters_is_kept_without_them(connect: Connect, station: Charger) -> None:
    socket = await ready(connect)
    socket.replies["DataTransfer"] = {"status": "Rejected\u0000", "da\u0000ta": "a\u0000b"}
    command = await outcome_of(socket, ask(station, A.DATA_TRANSFER, {"vendor_id": "x", "data": "q\u0000"}))
    assert (command.state, command.reason) == (S.REJECTED, "Rejected")
    assert (command.response, command.request) == (
        {"status": "Rejected", "data": "ab"},
        {"vendorId": "x", "data": "q"},
    )
