"""Smart charging over real sockets: a site that allows less than its chargers could draw."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import websockets
from django.utils import timezone

from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from ocpp_bridge import tasks
from ocpp_bridge.charging import planning
from ocpp_bridge.models import ChargingGoal, ChargingPlan, ChargingSite, Command, HeldProfile
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import PATIENCE_SECONDS, Connect
from ocpp_bridge.tests.conftest import Charger as Socket
from stations.models import EVSE, Charger, Connector, Location

LIMIT_W = 30_000
BOOT_16 = {"chargePointVendor": "ABB", "chargePointModel": "Terra"}
BOOT_2 = {"chargingStation": {"vendorName": "ABB", "model": "Terra"}, "reason": "PowerUp"}
MAX_W = 22_000
VOLTS_PHASES = 230 * 3


class Site:
    """The bookkeeper beside the chargers: what each would let its vehicle draw by the profiles it has accepted."""

    def __init__(self) -> None:
        self.allowed: dict[str, list[tuple[str, int]]] = {}
        self.highest = 0

    def free(self, identity: str) -> None:
        self.allowed.setdefault(identity, [("none", MAX_W)])

    def accepted(self, identity: str, purpose: str, watts: int) -> None:
        rows = [row for row in self.allowed[identity] if row[0] not in (purpose, "none")]
        self.allowed[identity] = [*rows, (purpose, watts)]

    def session_ended(self, identity: str) -> None:
        self.allowed[identity] = [row for row in self.allowed[identity] if row[0] != "TxProfile"]

    def limit_of(self, identity: str) -> int:
        """The session's own profile wins; else the default; else whatever it can."""
        rows = dict(self.allowed[identity])
        return rows.get("TxProfile", rows.get("TxDefaultProfile", rows.get("none", MAX_W)))

    def total(self) -> int:
        return sum(self.limit_of(identity) for identity in self.allowed)


class Depot(Socket):
    """A charger with a vehicle: takes profiles as its version says them, and answers what it will do."""

    def __init__(self, socket: Any, identity: str, site: Site, *, refuses: bool = False) -> None:
        super().__init__(socket)
        self.identity, self.site, self.refuses = identity, site, refuses
        self.totals: list[int] = []
        self.answers: dict[str, asyncio.Future[Any]] = {}
        self.composites: list[dict[str, Any]] = []

    async def live(self) -> None:
        """Answer calls until the socket is closed."""
        try:
            async for text in self.socket:
                frame = orjson.loads(text)
                if frame[0] == 2:
                    self.asked.append((frame[2], frame[3]))
                    await self.send([3, frame[1], self._answer(frame[2], frame[3])])
                elif waiting := self.answers.pop(frame[1], None):
                    waiting.set_result(frame)
        except websockets.ConnectionClosed:
            return

    async def call(self, action: str, payload: dict[str, Any], message_id: str | None = None) -> Any:
        message_id = f"m{next(self._ids)}"
        waiting = self.answers[message_id] = asyncio.get_running_loop().create_future()
        await self.send([2, message_id, action, payload])
        async with asyncio.timeout(PATIENCE_SECONDS):
            frame = await waiting
        assert frame[0] == 3, frame
        return frame[2]

    def _answer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        if action == "SetChargingProfile":
            return self._set(payload)
        if action == "GetCompositeSchedule":
            return self._composite(payload)
        return {"status": "Accepted"}

    def _set(self, payload: dict[str, Any]) -> dict[str, Any]:
        if self.refuses:
            return {"status": "Rejected"}
        profile = payload.get("csChargingProfiles") or payload["chargingProfile"]
        schedule = profile["chargingSchedule"]
        schedule = schedule[0] if isinstance(schedule, list) else schedule
        assert schedule["chargingRateUnit"] == "A"
        watts = max(round(period["limit"] * VOLTS_PHASES) for period in schedule["chargingSchedulePeriod"])
        self.site.accepted(self.identity, profile["chargingProfilePurpose"], watts)
        self.totals.append(self.site.total())
        return {"status": "Accepted"}

    def _composite(self, payload: dict[str, Any]) -> dict[str, Any]:
        schedule = {
            "chargingRateUnit": "A", "duration": payload["duration"],
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": self.site.limit_of(self.identity) / VOLTS_PHASES}],
        }  # fmt: skip
        start = datetime.now(UTC).isoformat()
        if "connectorId" in payload:
            return {"status": "Accepted", "connectorId": 1, "scheduleStart": start, "chargingSchedule": schedule}
        return {"status": "Accepted", "schedule": {**schedule, "evseId": 1, "scheduleStart": start}}


@pytest.fixture
def place(transactional_db: None, organisation: Organisation) -> Location:
    """Three chargers of 22 kW behind a connection of 30 kW; the middle one speaks 2.0.1."""
    place = Location.objects.create(
        source=factories.own_source(organisation), organisation=organisation, name="Depot", latitude=12.97,
        longitude=77.59,
    )  # fmt: skip
    for number, protocol in ((1, "ocpp1.6"), (2, "ocpp2.0.1"), (3, "ocpp1.6")):
        made = factories.charger(organisation, f"BLR-{number}", plugs=1, subprotocols=[protocol])
        Charger.objects.filter(pk=made.pk).update(location=place)
        EVSE.objects.filter(charger=made).update(location=place)
        factories.token(organisation, f"TAG{number}")
    Connector.objects.update(max_power_w=MAX_W, power_type=Connector.PowerType.AC_3_PHASE)
    ChargingSite.objects.create(location=place, organisation=organisation, limit_w=LIMIT_W, safe_percent=0)
    return place


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """The Celery worker: plans when a task is queued, until nothing is left to do."""
    queue: list[tuple[int, str]] = []
    monkeypatch.setattr(tasks.plan_charging, "apply_async", lambda arguments, **how: queue.append(arguments))

    async def work(done: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not done() or queue or Command.objects.filter(state__in=Command.OPEN_STATES).exists():
                if queue:
                    tasks.plan_charging(*queue.pop(0))
                await asyncio.sleep(0.005)

    yield work


async def open_charger(connect: Connect, site: Site, number: int, *, refuses: bool = False) -> tuple[Depot, Any]:
    protocol = "ocpp2.0.1" if number == 2 else "ocpp1.6"
    socket = await connect(f"BLR-{number}", subprotocols=[protocol])
    depot = Depot(socket.socket, f"BLR-{number}", site, refuses=refuses)
    site.free(depot.identity)
    life = asyncio.create_task(depot.live())
    await depot.call("BootNotification", BOOT_2 if number == 2 else BOOT_16)
    return depot, life


async def start(depot: Depot, number: int) -> None:
    now = timezone.now().isoformat()
    if number != 2:
        await depot.call(
            "StartTransaction", {"connectorId": 1, "idTag": f"TAG{number}", "meterStart": 0, "timestamp": now}
        )
        return
    event = {
        "eventType": "Started", "timestamp": now, "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-2"}, "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": f"TAG{number}", "type": "ISO14443"},
    }  # fmt: skip
    await depot.call("TransactionEvent", event)


def held(number: int, purpose: str = "tx") -> list[list[Any]] | None:
    row = HeldProfile.objects.filter(charger__ocpp_identity=f"BLR-{number}", purpose=purpose).first()
    return row.accepted if row else None


def watts(number: int) -> int | None:
    rows = held(number)
    return rows[0][2] if rows else None


def running(count: int) -> Callable[[], bool]:
    return lambda: HeldProfile.objects.filter(purpose="tx").exclude(accepted=None).count() == count


async def test_sessions_start_one_by_one_and_the_limit_always_holds(
    connect: Connect, place: Location, worker: Callable[..., Any]
) -> None:
    site = Site()
    depots = [await open_charger(connect, site, number) for number in (1, 2, 3)]
    defaults = HeldProfile.objects.filter(purpose="tx_default").exclude(accepted=None)
    planning.plan(location_id=place.pk, reason="start", now=timezone.now())
    await worker(lambda: defaults.count() == 3)
    assert site.total() == 0
    for (depot, _), number in zip(depots, (1, 2, 3), strict=True):
        del depot.totals[:]
        await start(depot, number)
        await worker(running(number))
    assert [watts(number) for number in (1, 2, 3)] == pytest.approx([10_000, 10_000, 10_000], abs=70)
    totals = [total for depot, _ in depots for total in depot.totals]
    assert max(totals) <= LIMIT_W and site.total() > LIMIT_W - 3 * 70
    checked = HeldProfile.objects.filter(purpose="tx", verdict=HeldProfile.Verdict.MATCHES)
    await worker(lambda: checked.count() == 3)


async def test_profiles_arrive_in_the_words_of_each_version(
    connect: Connect, place: Location, worker: Callable[..., Any]
) -> None:
    site = Site()
    (one, _), (two, _) = [await open_charger(connect, site, number) for number in (1, 2)]
    Charger.objects.filter(ocpp_identity="BLR-3").update(last_seen_at=None)
    for depot, number in ((one, 1), (two, 2)):
        await start(depot, number)
    await worker(running(2))
    last = [payload for action, payload in one.asked if action == "SetChargingProfile"][-1]
    profile = last["csChargingProfiles"]
    assert (last["connectorId"], profile["chargingProfilePurpose"]) == (1, "TxProfile")
    session = ChargingSession.objects.get(charger__ocpp_identity="BLR-1")
    assert profile["transactionId"] == int(session.transaction_ref)
    assert profile["chargingSchedule"]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": 21.7, "numberPhases": 3}
    ]
    last = [payload for action, payload in two.asked if action == "SetChargingProfile"][-1]
    profile = last["chargingProfile"]
    assert (last["evseId"], profile["chargingProfilePurpose"], profile["transactionId"]) == (1, "TxProfile", "tx-2")
    assert profile["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"] == 21.7


async def test_who_leaves_soon_is_served_first(connect: Connect, place: Location, worker: Callable[..., Any]) -> None:
    site = Site()
    depots = [await open_charger(connect, site, number) for number in (1, 2, 3)]
    for (depot, _), number in zip(depots, (1, 2, 3), strict=True):
        await start(depot, number)
    await worker(running(3))
    session = ChargingSession.objects.get(charger__ocpp_identity="BLR-2")
    ChargingGoal.objects.create(
        session=session, energy_wh=20_000, departure_at=timezone.now() + timedelta(hours=1), actor="test"
    )
    for depot, _ in depots:
        del depot.totals[:]
    planning.plan(location_id=place.pk, reason="goal", now=timezone.now())
    await worker(lambda: (watts(2) or 0) > 19_000)
    assert max(total for depot, _ in depots for total in depot.totals) <= LIMIT_W
    assert (watts(2) or 0) >= 20_000 - 70
    assert (watts(1) or 0) + (watts(2) or 0) + (watts(3) or 0) <= LIMIT_W
    assert ChargingPlan.objects.latest("at").missing == 0


async def test_a_charger_that_refuses_is_counted_at_its_full_power(
    connect: Connect, place: Location, worker: Callable[..., Any]
) -> None:
    site = Site()
    depots = [await open_charger(connect, site, number, refuses=number == 3) for number in (1, 2, 3)]
    for (depot, _), number in zip(depots, (1, 2, 3), strict=True):
        await start(depot, number)
    await worker(lambda: HeldProfile.objects.filter(charger__ocpp_identity="BLR-3", refusals__gt=0).count() == 2)
    await worker(lambda: (watts(1) or 0) + (watts(2) or 0) > 0)
    assert site.limit_of("BLR-3") == MAX_W
    assert site.total() <= LIMIT_W
    assert sorted([watts(1), watts(2)]) == [0, pytest.approx(8_000, abs=70)]


async def test_an_end_gives_its_power_to_the_others(
    connect: Connect, place: Location, worker: Callable[..., Any]
) -> None:
    site = Site()
    (one, _), (two, _) = [await open_charger(connect, site, number) for number in (1, 2)]
    Charger.objects.filter(ocpp_identity="BLR-3").update(last_seen_at=None)
    for depot, number in ((one, 1), (two, 2)):
        await start(depot, number)
    await worker(running(2))
    session = ChargingSession.objects.get(charger__ocpp_identity="BLR-1")
    stop = {"transactionId": int(session.transaction_ref), "meterStop": 900, "timestamp": timezone.now().isoformat()}
    await one.call("StopTransaction", stop)
    site.session_ended("BLR-1")
    await worker(lambda: (watts(2) or 0) > 20_000)
    assert watts(2) == pytest.approx(MAX_W, abs=70)
    assert not HeldProfile.objects.filter(charger__ocpp_identity="BLR-1", purpose="tx").exists()


def test_every_handler_is_there() -> None:
    """The events that change a plan have their subscriber (a lost one would only be found by the sweep)."""
    registered = [*events._handlers.values(), *events._gatherers.values()]
    names = {handler.__name__ for handlers in registered for handler in handlers}
    assert {
        "share_the_power_anew", "go_on_with_the_profiles", "say_the_profiles_again", "count_with_silent_chargers"
    } <= names  # fmt: skip
