"""The planner beside the ledger: what is sent and when, what counts while nobody answers, who does not obey."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from ocpp_bridge import commands
from ocpp_bridge.charging import planning
from ocpp_bridge.charging.profiles import held_at
from ocpp_bridge.models import ChargingPlan, ChargingSite, Command, ConfigurationValue, HeldProfile
from ocpp_bridge.tests import factories
from stations.events import ChargerMatterSettled, ChargerNeedsAttention
from stations.models import EVSE, Charger, Connector, Location
from vehicles.models import Driver, Shift, Vehicle, VehicleModel, VehicleState

S = Command.State
NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
MAX_W, LIMIT_W = 22_000, 30_000


@pytest.fixture
def place(organisation: Organisation) -> Location:
    """Three online chargers of one plug each; a fifth of the limit is shared as the safe part."""
    place = Location.objects.create(
        source=factories.own_source(organisation), organisation=organisation, name="Depot", latitude=12.97,
        longitude=77.59,
    )  # fmt: skip
    for number in (1, 2, 3):
        made = factories.charger(
            organisation, f"BLR-{number}", plugs=1, is_online=True, protocol="ocpp1.6", last_seen_at=NOW
        )
        Charger.objects.filter(pk=made.pk).update(location=place)
        EVSE.objects.filter(charger=made).update(location=place)
    Connector.objects.update(max_power_w=MAX_W, power_type=Connector.PowerType.AC_3_PHASE)
    ChargingSite.objects.create(location=place, organisation=organisation, limit_w=LIMIT_W, safe_percent=50)
    return place


@pytest.fixture
def matters(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What people are told, as subscribers get it."""
    heard: list[Any] = []
    for kind in (ChargerNeedsAttention, ChargerMatterSettled):
        monkeypatch.setitem(events._handlers, kind, [heard.append])
    return heard


def charger(number: int) -> Charger:
    return Charger.objects.get(ocpp_identity=f"BLR-{number}")


def begin(number: int, at: datetime = NOW, **fields: Any) -> ChargingSession:
    station = charger(number)
    return ChargingSession.objects.create(
        organisation=station.organisation, source=station.location.source, charger=station,
        connector=Connector.objects.get(evse__charger=station), transaction_ref=f"{number}{int(at.timestamp())}",
        start_key=f"{number}{at.timestamp()}", started_at=at, **fields,
    )  # fmt: skip


def plan(place: Location, at: datetime = NOW) -> ChargingPlan | None:
    return planning.plan(location_id=place.pk, reason="test", now=at)


def waiting() -> Iterator[Command]:
    yield from Command.objects.filter(state__in=Command.OPEN_STATES).order_by("created_at", "pk")


def answer(command: Command, state: str = S.ACCEPTED, response: Any = None, at: datetime = NOW) -> None:
    Command.objects.filter(pk=command.pk).update(state=S.SENT, attempts=1, sent_at=at)
    reason = "Rejected" if state == S.REJECTED else ""
    commands.finish(command_id=command.pk, state=state, reason=reason, response=response or {}, at=at)


def settle(place: Location, at: datetime = NOW, rounds: int = 10) -> None:
    """Every charger says yes until there is nothing left to say."""
    for _ in range(rounds):
        plan(place, at)
        asked = list(waiting())
        if not asked:
            return
        for command in asked:
            answer(command, at=at)


def held(number: int, purpose: str = "tx") -> HeldProfile:
    return HeldProfile.objects.get(charger__ocpp_identity=f"BLR-{number}", purpose=purpose)


def watts(number: int, purpose: str = "tx", at: datetime = NOW) -> int | None:
    return held_at(held(number, purpose).accepted, int(at.timestamp()))


def near(watts: int) -> Any:
    return pytest.approx(watts, abs=70)


def test_the_safe_share_is_said_before_anybody_charges_and_fits_together(place: Location) -> None:
    plan(place)
    asked = list(waiting())
    assert [command.parameters["charging_profile"]["purpose"] for command in asked] == ["tx_default"] * 3
    assert {command.parameters["charging_profile"]["kind"] for command in asked} == {"relative"}
    settle(place)
    assert [watts(number, "tx_default") for number in (1, 2, 3)] == [near(5_000)] * 3
    assert plan(place) is None, "nothing is different"


def test_one_vehicle_gets_all_but_what_the_free_plugs_may_start_with(place: Location) -> None:
    settle(place)
    begin(1)
    settle(place)
    assert watts(1) == near(20_000)
    last = ChargingPlan.objects.latest("at", "pk")
    assert last.allowed_w <= LIMIT_W and last.result["excess_w"] == 0


def test_reductions_are_accepted_before_anything_rises(place: Location) -> None:
    settle(place)
    begin(1)
    settle(place)
    begin(2)
    plan(place)
    first = list(waiting())
    assert [command.charger.ocpp_identity for command in first] == ["BLR-1"]
    plan(place)
    assert list(waiting()) == first, "the room is not there yet"
    answer(first[0])
    plan(place)
    raised = [c.charger.ocpp_identity for c in waiting() if c.action == "SetChargingProfile"]
    assert raised == ["BLR-2"]
    settle(place)
    assert (watts(1), watts(2)) == (near(12_500), near(12_500))


def test_small_changes_are_not_worth_a_message(place: Location) -> None:
    settle(place)
    begin(1)
    settle(place)
    ChargingSite.objects.update(limit_w=LIMIT_W + 300)
    assert plan(place, NOW + timedelta(seconds=1)) is not None
    assert not list(waiting())
    ChargingSite.objects.update(limit_w=LIMIT_W - 300)
    plan(place, NOW + timedelta(seconds=2))
    assert len(list(waiting())) == 1, "above the limit even a little is said"


def test_a_profile_is_renewed_before_it_ends_and_ends_when_we_are_silent(place: Location) -> None:
    settle(place)
    begin(1)
    settle(place)
    settle(place, NOW + timedelta(minutes=14))
    assert held(1).times_asked == 1
    settle(place, NOW + timedelta(minutes=16))
    assert held(1).times_asked == 2
    Charger.objects.filter(ocpp_identity="BLR-1").update(is_online=False)
    begin(2, NOW + timedelta(minutes=47))
    settle(place, NOW + timedelta(minutes=47))
    assert watts(1, at=NOW + timedelta(minutes=47)) is None
    assert watts(2, at=NOW + timedelta(minutes=47)) == near(20_000), "the silent one fell back to its safe share"


def test_a_silent_charger_keeps_what_it_holds(place: Location) -> None:
    settle(place)
    begin(1)
    settle(place)
    Charger.objects.filter(ocpp_identity="BLR-1").update(is_online=False)
    begin(2)
    settle(place, NOW + timedelta(minutes=1))
    assert watts(2) is None or watts(2) <= 5_070
    assert ChargingPlan.objects.latest("at", "pk").result["excess_w"] == 0


def test_no_answer_counts_as_perhaps(place: Location) -> None:
    """A raise that may have arrived is counted; the next accepted profile makes it sure again."""
    settle(place)
    begin(1)
    plan(place)
    (raised,) = waiting()
    answer(raised, S.TIMED_OUT)
    begin(2)
    plan(place)
    assert held(1).accepted is None and held(1).unsure
    last = ChargingPlan.objects.latest("at", "pk")
    assert last.allowed_w == near(30_000), "20 kW perhaps, 5 kW each for the others"
    assert not [c for c in waiting() if c.charger.ocpp_identity == "BLR-2" and c.parameters.get("transaction_ref")
                and float(c.parameters["charging_profile"]["periods"][0]["limit"]) > 7.3]  # fmt: skip
    later = NOW + timedelta(minutes=1)
    settle(place, later)
    assert held(1).unsure is None
    assert (watts(1, at=later), watts(2, at=later)) == (near(12_500), near(12_500))


def test_what_was_never_sent_changed_nothing(place: Location) -> None:
    settle(place)
    begin(1)
    plan(place)
    (raised,) = waiting()
    commands.sweep(now=NOW + timedelta(minutes=2))
    raised.refresh_from_db()
    assert raised.state == S.EXPIRED
    plan(place, NOW + timedelta(minutes=2))
    assert held(1).unsure is None
    assert len(list(waiting())) == 1, "and it is said again"


def test_a_refusal_is_asked_again_later_and_counted_at_full_power(place: Location) -> None:
    begin(1)
    plan(place)
    for command in waiting():
        answer(command, S.REJECTED if command.charger.ocpp_identity == "BLR-1" else S.ACCEPTED)
    begin(2)
    settle(place)
    assert (held(1).refusals, held(1).reason) == (1, "Rejected")
    assert watts(2) == near(LIMIT_W - MAX_W - 5_000) if watts(2) else True
    assert ChargingPlan.objects.latest("at", "pk").result["excess_w"] <= 2_070
    before = Command.objects.filter(charger__ocpp_identity="BLR-1").count()
    settle(place, NOW + timedelta(minutes=4))
    assert Command.objects.filter(charger__ocpp_identity="BLR-1").count() == before
    settle(place, NOW + timedelta(minutes=6))
    assert held(1).refusals == 0 and watts(1, at=NOW + timedelta(minutes=6)) is not None


def test_a_restart_makes_us_say_everything_again(place: Location) -> None:
    settle(place)
    begin(1)
    settle(place)
    planning.forget_after_boot(charger_ids=[charger(1).pk], now=NOW)
    plan(place)
    purposes = sorted(c.parameters["charging_profile"]["purpose"] for c in waiting())
    assert purposes == ["tx", "tx_default"]


def test_the_abilities_of_a_charger_are_respected(place: Location) -> None:
    station = charger(1)
    for key, value in {
        "ChargingScheduleAllowedChargingRateUnit": "Power", "ChargingScheduleMaxPeriods": "1",
        "ChargeProfileMaxStackLevel": "8",
    }.items():  # fmt: skip
        ConfigurationValue.objects.create(charger=station, key=key, value=value, reported_at=NOW)
    ChargingSite.objects.update(windows=[{"from": "11:40", "to": "12:40", "limit_w": 24_000}])  # 06:10 UTC
    settle(place)
    begin(1)
    begin(2)
    settle(place)
    said = held(1).command
    profile = said.parameters["charging_profile"]
    assert (profile["unit"], profile["stack_level"], len(profile["periods"])) == ("W", 1, 1)
    begins = int(NOW.timestamp())
    assert [row[:2] for row in held(1).accepted] == [[begins, begins + 1800]]
    assert [row[:2] for row in held(2).accepted] == [[begins, begins + 600], [begins + 600, begins + 1800]]


def test_a_charger_whose_plugs_share_one_cable_is_told_so(place: Location) -> None:
    second = EVSE.objects.create(location=place, charger=charger(1), evse_number=2)
    Connector.objects.create(evse=second, connector_id=2, max_power_w=MAX_W, power_type="AC_3_PHASE")
    Charger.objects.filter(ocpp_identity="BLR-1").update(max_power_w=15_000)
    settle(place)
    whole = Command.objects.get(parameters__charging_profile__purpose="station_max")
    assert (whole.parameters["evse_number"], whole.parameters["charging_profile"]["periods"][0]["limit"]) == (0, "21.7")
    assert held(1, "station_max").accepted is not None


def asked_for() -> list[str]:
    return [c.parameters["charging_profile"]["purpose"] for c in waiting() if c.action == "SetChargingProfile"]


def test_a_charger_with_little_room_keeps_no_limit_of_the_whole(place: Location) -> None:
    two_plugs = two_plugs_on_one_cable()
    room(two_plugs, 4)
    plan(place)
    assert sorted(asked_for()) == ["tx_default"] * 4  # two of it, and one each of the others


def test_a_charger_with_less_room_keeps_its_place_for_sessions(place: Location) -> None:
    """What it was told before is taken back first, and its plugs count with all they can draw."""
    settle(place)
    room(charger(1), 1)
    begin(1)
    plan(place)
    first = next(waiting())
    assert (first.action, first.charger.ocpp_identity) == ("ClearChargingProfile", "BLR-1")
    assert "tx_default" not in asked_for()
    settle(place)
    assert not HeldProfile.objects.filter(charger=charger(1), purpose="tx_default").exists()
    assert held(1).accepted[-1][1] is None  # to the end of the session, as nothing rules after it
    last = ChargingPlan.objects.latest("at", "pk")
    assert last.result["excess_w"] == 0
    plan(place, NOW + timedelta(minutes=2))
    assert not [c for c in waiting() if c.action == "ClearChargingProfile"]


def two_plugs_on_one_cable() -> Charger:
    station = charger(1)
    evse = EVSE.objects.create(location=station.location, charger=station, evse_number=2)
    Connector.objects.create(evse=evse, connector_id=2, max_power_w=MAX_W, power_type=Connector.PowerType.AC_3_PHASE)
    Charger.objects.filter(pk=station.pk).update(max_power_w=MAX_W)
    return station


def room(station: Charger, count: int) -> None:
    ConfigurationValue.objects.update_or_create(
        charger=station, key="MaxChargingProfilesInstalled", defaults={"value": str(count), "reported_at": NOW}
    )


def test_the_schedule_of_the_vehicle_decides(place: Location, organisation: Organisation) -> None:
    kind = VehicleModel.objects.create(
        manufacturer="Zz", name="van", battery_wh=40_000, plugs=["type2_socket"], consumption_wh_per_km=200,
        max_ac_power_w=7_400,
    )  # fmt: skip
    organisation.target_soc_percent = 80
    organisation.save()
    vans = [Vehicle.objects.create(organisation=organisation, registration=f"KA {n}", model=kind) for n in (1, 2)]
    for van in vans:
        VehicleState.objects.update_or_create(vehicle=van, defaults={"soc_percent": 30})
    driver = Driver.objects.create(organisation=organisation, name="D")
    soon = NOW + timedelta(hours=2)
    Shift.objects.create(
        organisation=organisation, vehicle=vans[1], driver=driver, starts_at=soon, ends_at=soon + timedelta(hours=8)
    )
    ChargingSite.objects.update(limit_w=8_000, safe_percent=0)
    settle(place)
    for number, van in ((1, vans[0]), (2, vans[1])):
        begin(number, vehicle=van)
    settle(place)
    assert (watts(1), watts(2)) == (0, near(7_400))
    last = ChargingPlan.objects.latest("at", "pk")
    row = next(row for row in last.inputs["sessions"] if row["departure_from"] == "shift")
    assert (row["needed_wh"], row["leaves_at"], row["target_soc_percent"]) == (20_000, soon.isoformat(), 80)
    lacking = next(row["missing_wh"] for row in last.result["outlets"] if row["evse_number"] and row["missing_wh"])
    assert lacking == near(20_000 - 2 * 7_400) and last.missing == 1


# --- checks ---------------------------------------------------------------------------------------------------------


def composite(watts: float) -> dict[str, Any]:
    schedule = {
        "chargingRateUnit": "W",
        "duration": 600,
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": watts}],
    }
    return {"status": "Accepted", "connectorId": 1, "chargingSchedule": schedule}


def settle_with(place: Location, response: dict[str, Any], at: datetime) -> None:
    """Profiles are accepted; the composite schedule says this."""
    for _ in range(14):
        plan(place, at)
        for command in list(waiting()):
            is_check = command.action == "GetCompositeSchedule"
            answer(command, response=response if is_check else {}, at=at)


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        (composite(15_000), "matches"),
        (composite(-1), "unreadable"),
        ({"status": "Accepted"}, "unreadable"),
        ({"status": "Rejected"}, "unanswered"),
    ],
)
def test_what_the_charger_reports_is_kept_as_given(place: Location, response: dict[str, Any], verdict: str) -> None:
    settle(place)
    begin(1)
    settle_with(place, response, NOW)
    assert (held(1).verdict, held(1).composite) == (verdict, response)
    assert watts(1) == near(20_000), "an odd answer costs nobody power"


def test_who_reports_more_than_accepted_is_told_again_then_not_believed(
    place: Location, matters: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    settle(place)
    begin(1)
    with django_capture_on_commit_callbacks(execute=True):
        settle_with(place, composite(22_000), NOW)
    assert held(1).faults >= 3 and held(1).accepted is None
    assert [(m.cause, m.is_bad) for m in matters if isinstance(m, ChargerNeedsAttention)] == [("charging", True)]
    later = NOW + timedelta(minutes=1)
    begin(2, later)
    settle(place, later)
    assert watts(2, at=later) is None or watts(2, at=later) <= 5_070, "the liar counts in full"


def test_measured_power_above_the_limit_is_found_and_told(
    place: Location, matters: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    settle(place)
    session, other = begin(1), begin(2)
    settle(place)
    assert watts(1) == near(12_500)
    for minute in range(2, 20):
        at = NOW + timedelta(minutes=minute)
        ChargingSession.objects.filter(pk=session.pk).update(power_w=19_000, metered_at=at)
        ChargingSession.objects.filter(pk=other.pk).update(power_w=watts(2, at=at) or 0, metered_at=at)
        with django_capture_on_commit_callbacks(execute=True):
            settle(place, at)
    assert (held(1).over_w, held(2).over_w) == (19_000, None)
    told = [m for m in matters if isinstance(m, ChargerNeedsAttention)]
    assert [m.charger_id for m in told] == [charger(1).pk]
    assert "draws 19000 W" in told[0].detail
    assert watts(2, at=at) == 0, "22 and 5 kW for the others leave too little"


# --- anything may happen --------------------------------------------------------------------------------------------


class Yard:
    """What the three chargers really do: each obeys exactly the profiles that reached it."""

    def __init__(self) -> None:
        self.default: dict[int, list[Any]] = {}
        self.tx: dict[int, tuple[str, list[Any]]] = {}

    def take(self, command: Command) -> None:
        profile = command.parameters["charging_profile"]
        begin = int(datetime.fromisoformat(profile["start_at"]).timestamp()) if profile.get("start_at") else 0
        starts = [begin + p["start_seconds"] for p in profile["periods"]]
        end = begin + profile["duration_seconds"] if "duration_seconds" in profile else None
        powers = [int(float(p["limit"]) * 690) for p in profile["periods"]]
        rows = [list(row) for row in zip(starts, [*starts[1:], end], powers, strict=True)]
        if profile["purpose"] == "tx":
            self.tx[command.charger_id] = (command.parameters["transaction_ref"], rows)
        else:
            self.default[command.charger_id] = rows

    def draws(self, at: datetime) -> int:
        """As much as everybody may."""
        total = 0
        for session in ChargingSession.objects.active():
            reference, rows = self.tx.get(session.charger_id, ("", []))
            own = held_at(rows, int(at.timestamp())) if reference == session.transaction_ref else None
            default = held_at(self.default.get(session.charger_id), int(at.timestamp()))
            total += own if own is not None else MAX_W if default is None else default
        return total


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_chargers_never_draw_more_than_the_limit(place: Location, seed: int) -> None:
    """Random starts, ends, silences, lost answers, refused profiles; once everybody holds a safe share."""
    dice, yard, now = random.Random(seed), Yard(), NOW
    plan(place, now)
    for command in list(waiting()):
        yard.take(command)
        answer(command, at=now)
    ChargingSite.objects.update(policy=dice.choice(["fair", "deadline"]))
    for _ in range(60):
        now += timedelta(seconds=dice.choice([1, 5, 20, 60, 300]))
        _something_happens(dice, now)
        plan(place, now)
        for command in list(waiting()):
            _be_answered(dice, yard, command, now)
            assert yard.draws(now) <= LIMIT_W
        commands.sweep(now=now)
        assert yard.draws(now) <= LIMIT_W


def _something_happens(dice: random.Random, now: datetime) -> None:
    number = dice.randint(1, 3)
    running = ChargingSession.objects.active().filter(charger__ocpp_identity=f"BLR-{number}").first()
    what = dice.random()
    if what < 0.4 and running is None:
        begin(number, now)
    elif what < 0.5 and running is not None:
        ChargingSession.objects.filter(pk=running.pk).update(state="ended", ended_at=now)
    elif what < 0.7:
        Charger.objects.filter(ocpp_identity=f"BLR-{number}").update(is_online=dice.random() < 0.6)


def _be_answered(dice: random.Random, yard: Yard, command: Command, now: datetime) -> None:
    is_online = Charger.objects.get(pk=command.charger_id).is_online
    if not is_online or dice.random() < 0.2:
        return  # still on its way
    if command.action != "SetChargingProfile":
        answer(command, S.REJECTED, at=now)
    elif (fate := dice.random()) < 0.7:
        yard.take(command)
        answer(command, at=now)
    elif fate < 0.8:
        answer(command, S.REJECTED, at=now)
    else:
        if dice.random() < 0.5:
            yard.take(command)
        answer(command, S.TIMED_OUT, at=now)


def test_one_site_that_cannot_be_planned_keeps_no_other_waiting(
    place: Location, organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    second = Location.objects.create(
        source=place.source, organisation=organisation, name="Yard", latitude=12.9, longitude=77.5
    )
    Charger.objects.filter(ocpp_identity="BLR-3").update(location=second)
    EVSE.objects.filter(charger__ocpp_identity="BLR-3").update(location=second)
    ChargingSite.objects.create(location=second, organisation=organisation, limit_w=LIMIT_W, safe_percent=50)
    assert planning.sweep(now=NOW) == 2
    for command in list(waiting()):
        answer(command)
    planning.sweep(now=NOW)
    ChargingSite.objects.filter(pk=place.pk).update(windows=[{"what": "is this"}])
    begin(3, NOW)
    later = NOW + timedelta(minutes=2)
    assert place.pk < second.pk
    planning.sweep(now=later)
    assert f"could not work on site {place.pk}" in caplog.text
    assert [command.charger.ocpp_identity for command in waiting()] == ["BLR-3"]
    planned = dict(ChargingSite.objects.values_list("pk", "planned_at"))
    assert planned == {place.pk: NOW, second.pk: later}
