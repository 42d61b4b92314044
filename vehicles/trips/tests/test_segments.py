"""A day of pings into trips, halts and charges; the clock counts seconds, the road leads north."""

from vehicles.fixes import CHARGING, SECOND, SUSPECT_POSITION, SUSPECT_SOC, Fix
from vehicles.trips.days import day_number, day_of, span_of
from vehicles.trips.segments import Day, segment

METRE = 1 / 111_195  # degrees of a meridian


class Road:
    """Pings every ten seconds, unless told otherwise."""

    def __init__(self) -> None:
        self.fixes: list[Fix] = []
        self.second, self.metres, self.soc = 0, 0.0, None

    def ping(self, **fields: float) -> Fix:
        self.fixes.append(Fix("", self.second * SECOND, 12.9 + self.metres * METRE, 77.6, soc_percent=self.soc))
        for name, value in fields.items():
            setattr(self.fixes[-1], name, value)
        return self.fixes[-1]

    def drive(self, minutes: float, kmh: float = 36, soc_per_km: float = 0) -> "Road":
        for _ in range(round(minutes * 6)):
            self.second += 10
            self.metres += kmh / 3.6 * 10
            self.soc = None if self.soc is None else self.soc - soc_per_km * kmh / 360
            self.ping(speed_kmh=kmh)
        return self

    def wait(self, minutes: float, soc_per_minute: float = 0, flags: int = 0) -> "Road":
        for _ in range(round(minutes * 6)):
            self.second += 10
            self.soc = None if self.soc is None else self.soc + soc_per_minute / 6
            self.ping(speed_kmh=0, flags=flags)
        return self

    def day(self) -> Day:
        return segment(self.fixes, 140)


def test_what_lies_between_two_halts_is_a_trip() -> None:
    road = Road().wait(10).drive(20).wait(10)
    (trip,), halts = road.day().trips, road.day().halts
    assert trip.distance_m == 12_000
    assert len(halts) == 2
    assert (road.fixes[trip.first].at_us, road.fixes[trip.last].at_us) == (600 * SECOND, 1_800 * SECOND)
    assert trip.max_speed_kmh == 36


def test_a_short_wait_at_a_light_ends_no_trip_and_a_few_metres_are_none() -> None:
    assert len(Road().wait(6).drive(5).wait(4.5).drive(5).wait(6).day().trips) == 1
    road = Road().wait(6).drive(0.7).wait(6)
    assert (road.day().trips, len(road.day().halts)) == ([], 2)


def test_an_hour_of_silence_ends_a_trip() -> None:
    road = Road().drive(10)
    road.second += 3_700
    assert [trip.distance_m for trip in road.drive(10).day().trips] == [5_900, 5_900]
    assert road.day().heard_us == (590 + 590 + 120) * SECOND


def test_the_noise_of_a_parked_receiver_is_no_way() -> None:
    road = Road()
    for step in range(200):
        road.second += 10
        road.metres = (0, 20, -15, 25, 5)[step % 5]
        road.ping()
    day = road.day()
    assert (day.trips, len(day.halts), day.distance_m) == ([], 1, 0)


def test_a_jump_is_no_way_and_a_glitch_no_charge() -> None:
    road = Road()
    road.soc = 50.0
    road.wait(6).drive(10)
    road.second += 10
    road.ping(latitude=15.0, soc_percent=0.02)
    day = road.drive(10).wait(6).day()
    assert [trip.distance_m for trip in day.trips] == [12_000]
    flags = [flags for flags in day.flags if flags]
    assert flags == [SUSPECT_POSITION | SUSPECT_SOC]
    assert day.charges == []


def test_the_charge_used_on_a_trip_is_what_is_missing_after_it() -> None:
    road = Road()
    road.soc = 60.0
    (trip,) = road.wait(6).drive(30, soc_per_km=0.5).wait(6).day().trips
    assert (round(trip.soc_start, 3), round(trip.soc_end, 3)) == (60, 51)


def test_a_rise_at_a_halt_is_a_charge() -> None:
    road = Road()
    road.soc = 40.0
    (charge,) = road.drive(5).wait(20, soc_per_minute=1).drive(5).day().charges
    assert (charge.kind, round(charge.soc_start, 1), round(charge.soc_end, 1)) == ("charge", 40, 60)


def test_a_little_rise_is_noise_unless_the_sender_says_that_it_charges() -> None:
    road = Road()
    road.soc = 40.0
    assert road.wait(20, soc_per_minute=0.07).day().charges == []
    for fix in road.fixes:
        fix.flags |= CHARGING
    assert [charge.kind for charge in road.day().charges] == ["charge"]


def test_what_regeneration_gives_on_the_road_is_no_charge() -> None:
    road = Road()
    road.soc = 40.0
    assert road.drive(20, soc_per_km=-0.5).day().charges == []


def test_another_battery_is_a_swap() -> None:
    road = Road()
    road.soc = 12.0
    road.drive(5).wait(3)
    road.soc = 97.0
    (charge,) = road.wait(4).drive(5).day().charges
    assert (charge.kind, charge.soc_start, charge.soc_end) == ("swap", 12, 97)


def test_a_day_ends_at_midnight_in_india() -> None:
    start, end = span_of(day_of(20_000))
    assert (start.isoformat(), end.isoformat()) == ("2024-10-03T18:30:00+00:00", "2024-10-04T18:30:00+00:00")
    for at, number in ((start, 20_000), (end, 20_001)):
        assert day_number(int(at.timestamp()) * SECOND) == number
        assert day_number(int(at.timestamp()) * SECOND - 1) == number - 1


def test_nothing_comes_of_nothing() -> None:
    assert segment([], 140) == Day([], [], [], [], 0, 0)
