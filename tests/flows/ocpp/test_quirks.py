"""Every odd habit of the simulator against the running system: the sessions come out right, or are questioned."""

from datetime import timedelta

import websockets

from billing.models import ChargingSession
from fleetcharge.demo.connection import ChargerConnection
from fleetcharge.demo.quirks import Quirk
from tests.flows.ocpp.station import ALL_VERSIONS, now
from tests.flows.ocpp.world import KEY, World
from tests.flows.ocpp.yard import DIALECTS, Place, Yard, reach
from tests.running import RealtimeNode

ONLY_16 = {
    Quirk.TRANSACTION_ID_ZERO, Quirk.TRANSACTION_ID_MINUS_ONE, Quirk.TRANSACTION_ID_FOREIGN,
    Quirk.NUMERIC_CONFIGURATION, Quirk.RELATIVE_METER_START,
}  # fmt: skip
ONLY_2 = {Quirk.SEQ_NO_ZERO}
ELSEWHERE = {  # these have tests of their own, or take too long here
    Quirk.STOP_LATE, Quirk.HALF_OPEN, Quirk.WRONG_USER, Quirk.NO_SUBPROTOCOL, Quirk.NO_STOP_AFTER_POWER_LOSS,
    Quirk.ACCEPTS_BUT_NEVER_STARTS,
}  # fmt: skip
QUESTIONED = {Quirk.RELATIVE_METER_START}  # nobody can know what was drawn before the first sample


def places(world: World) -> list[Place]:
    """Every habit in every version that can have it."""
    found = []
    for quirk in Quirk:
        for version, dialect in zip(ALL_VERSIONS, DIALECTS, strict=True):
            is_16 = version == ALL_VERSIONS[0]
            if quirk in ELSEWHERE or (quirk in ONLY_16 and not is_16) or (quirk in ONLY_2 and is_16):
                continue
            yesterday = now() - timedelta(days=1)  # a 2.x station that was never heard to boot is rightly refused
            charger = world.charger(plugs=1, subprotocols=[version], last_boot_at=yesterday)
            found.append(Place(charger.ocpp_identity, KEY, world.tag(), dialect, frozenset({quirk})))
    return found


async def test_a_session_with_a_broken_line_for_every_habit(world: World, second: RealtimeNode) -> None:
    chosen = places(world)
    yard = Yard(chosen, world.system.realtime, second.realtime, meter_every_seconds=1.0)
    await yard.open()
    try:
        for charger in yard.chargers:
            yard.plug_in(charger)
        await reach(lambda: yard.running == len(chosen), "every car to charge", 240)
        enough = yard.answered + 4 * len(chosen)
        await reach(lambda: yard.answered >= enough, "samples", 240)
        await yard.cut(0, 1)
        enough = yard.answered + 4 * len(chosen)
        await reach(lambda: yard.answered >= enough, "samples over the other node", 240)
        for charger in yard.chargers:
            yard.leave(charger)
        await reach(lambda: yard.is_settled, lambda: f"every stop to be answered: {yard.waiting()}", 300)
    finally:
        await yard.close()
    truth, wrong = yard.facts(), {}
    for place in chosen:
        rows = ChargingSession.objects.filter(charger__ocpp_identity=place.identity)
        stored = [row.energy_wh for row in rows]
        quirk = next(iter(place.quirks))
        is_right = stored == truth[place.identity] and all(row.state == "ended" for row in rows)
        is_questioned = quirk in QUESTIONED and len(stored) == 1 and rows[0].quality != "billable"
        if not (is_right or is_questioned):
            wrong[f"{quirk} {place.dialect.__name__}"] = (stored, truth[place.identity], [row.state for row in rows])
    assert wrong == {}
    assert len(chosen) > 60


async def test_those_who_cannot_come_in(world: World) -> None:
    for quirk, status in ((Quirk.WRONG_USER, 401), (Quirk.NO_SUBPROTOCOL, 400)):
        charger = world.charger(plugs=1)
        place = Place(charger.ocpp_identity, KEY, "", DIALECTS[0], frozenset({quirk}))
        line: ChargerConnection = Yard([place], world.system.realtime).lines[0]
        try:
            async with line._connect():
                raise AssertionError("it was let in")
        except websockets.InvalidStatus as refused:
            assert refused.response.status_code == status
