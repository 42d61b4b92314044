"""What moves with a batch, and what is told a little later."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.services.meters import MeterReading
from billing.services.pace import EVERY_SECONDS, FEW, Pace

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
MANY = FEW + 1


def reading(charger_id: int, second: int = 0, **more: Any) -> MeterReading:
    fields: dict[str, Any] = {
        "charger_id": charger_id, "evse_number": 1, "transaction_ref": "7", "at": NOW + timedelta(seconds=second),
        "received_at": NOW, "energy_wh": None, "power_w": None, "soc_percent": None, "context": "", "sampled": [],
        "dedupe_key": f"{charger_id}-{second}",
    } | more  # fmt: skip
    return MeterReading(**fields)


def many(second: int = 0, **more: Any) -> list[MeterReading]:
    return [reading(charger_id, second, **more) for charger_id in range(MANY)]


def chosen(pace: Pace, readings: list[MeterReading], now: float) -> set[int]:
    due = pace.choose(readings, now=now)
    assert due is not None
    pace.keep(readings, due, now=now)
    return set(due)


def test_few_readings_move_their_sessions_at_once() -> None:
    pace = Pace()
    for now in (0.0, 0.001, 0.002):
        assert pace.choose(many()[:FEW], now=now) is None


def test_under_load_a_charger_moves_at_once_and_then_waits_its_turn() -> None:
    pace = Pace()
    assert chosen(pace, many(), 0.0) == set(range(MANY))
    assert chosen(pace, many(1), 0.1) == set()
    assert len(pace) == MANY
    assert len(pace.take(now=0.2)) == MANY
    assert chosen(pace, many(2), 0.2 + EVERY_SECONDS) == set(range(MANY))
    assert len(pace) == 0


def test_nothing_newer_goes_before_what_waits() -> None:
    pace = Pace()
    chosen(pace, many(), 0.0)
    chosen(pace, many(1), 0.1)
    assert chosen(pace, [reading(3, 2, power_w=7)], 9.0) == set()  # few, and long after
    assert next(one for one in pace.take(now=9.0) if one.charger_id == 3).power_w == 7


def test_the_newest_of_each_figure_waits_whatever_the_order() -> None:
    pace = Pace()
    chosen(pace, many(), 0.0)
    said = [reading(3, 2, energy_wh=500), reading(3, 1, energy_wh=400, power_w=7), reading(3, 3, soc_percent=50.0)]
    chosen(pace, [*said, *many(1)], 0.1)
    [waits] = [one for one in pace.take(now=0.2) if one.charger_id == 3]
    assert (waits.energy_wh, waits.power_w, waits.soc_percent, waits.at) == (500, 7, 50.0, NOW + timedelta(seconds=3))


def test_sums_and_what_names_no_session_do_not_wait() -> None:
    pace = Pace()
    chosen(pace, many(), 0.0)
    odd = [reading(1, 1, interval_wh=20), reading(2, 1, transaction_ref="")]
    assert chosen(pace, [*odd, *many(1)[3:], *many(2)[3:]], 0.1) == {1, 2}


def test_what_could_not_be_told_waits_on_behind_what_came_meanwhile() -> None:
    pace = Pace()
    chosen(pace, many(), 0.0)
    chosen(pace, many(1, power_w=1, energy_wh=10), 0.1)
    failed = pace.take(now=0.2)
    chosen(pace, many(2, power_w=2), 0.3)
    pace.put_back(failed)
    again = pace.take(now=0.4)
    assert {(one.power_w, one.energy_wh) for one in again} == {(2, 10)}


def test_chargers_that_are_quiet_are_forgotten() -> None:
    pace = Pace()
    chosen(pace, many(), 0.0)
    chosen(pace, [replace(one, charger_id=one.charger_id + 100) for one in many()], 0.3)
    pace.take(now=0.3 + EVERY_SECONDS)
    assert pace._told_at == {}
