"""Is a charger's trouble found within a day, and a good charger left alone? Against simulated weeks; pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

import pytest

from stations.health import score
from stations.health.features import MENDED, Evidence, FailedStart, Session, Spell, features_of, since_repairs
from stations.health.score import TICKET_FROM, judge

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
BREAKS = BEGIN + timedelta(days=40)
DAYS = 42


@dataclass(frozen=True)
class Kind:
    """How a simulated charger behaves: shares, and how many in a day."""

    fails: float = 0.03
    cut_short: float = 0.02
    faults: float = 0.02
    silences: float = 0.05
    reconnects: float = 1.0
    power: float = 1.0


GOOD = Kind()
BROKEN = {
    score.FAILED_STARTS: replace(GOOD, fails=0.95),
    "intermittent": replace(GOOD, fails=0.55),
    score.SHORT_SESSIONS: replace(GOOD, cut_short=0.7),
    score.FAULTS: replace(GOOD, faults=6.0),
    score.RECONNECTS: replace(GOOD, reconnects=40.0),
    score.POWER_DRIFT: replace(GOOD, power=0.5),
}
"""Six ways to break. Half of the starts is the cause failed_starts, too."""


def day_of(random: Random, kind: Kind, begins: datetime, evidence: Evidence) -> None:
    """12 times a day one of eight vehicles of three models, and what else happens."""
    for _ in range(max(1, round(random.gauss(12, 3)))):
        at, who = begins + timedelta(hours=random.uniform(0, 23)), f"vehicle {random.randrange(8)}"
        if random.random() < kind.fails:
            evidence.failed_starts.append(FailedStart(at, who=who))
            continue
        model, is_cut = random.randrange(3), random.random() < kind.cut_short
        peak = (20_000, 35_000, 50_000)[model] * kind.power * random.gauss(1, 0.05)
        session = Session(
            at + timedelta(hours=1), 50 if is_cut else 3_000, 50 if is_cut else 15_000, peak, model, who=who
        )
        evidence.sessions.append(session)
    for rate, spells, minutes in ((kind.faults, evidence.faults, 40), (kind.silences, evidence.silences, 10)):
        for _ in range(poisson(random, rate)):
            at = begins + timedelta(hours=random.uniform(0, 23))
            spells.append(Spell(at, at + timedelta(minutes=minutes)))
    evidence.reconnects.append((begins + timedelta(days=1), poisson(random, kind.reconnects)))
    evidence.changes += [begins + timedelta(minutes=number * 30) for number in range(40)]


def poisson(random: Random, rate: float) -> int:
    gone, count = random.expovariate(1), 0
    while gone < rate:
        gone, count = gone + random.expovariate(1), count + 1
    return count


def weeks_of(seed: int, kind: Kind) -> Iterator[tuple[datetime, Evidence]]:
    """The end of each day, and what is known by then; the charger breaks on day 40."""
    random, evidence = Random(seed), Evidence()
    for number in range(DAYS):
        begins = BEGIN + timedelta(days=number)
        day_of(random, kind if begins >= BREAKS else GOOD, begins, evidence)
        yield begins + timedelta(days=1), evidence


def known_at(now: datetime, seed: int, kind: Kind) -> Evidence:
    return next(evidence for at, evidence in weeks_of(seed, kind) if at == now)


def called_for(evidence: Evidence, now: datetime) -> set[str]:
    return {one.cause for one in judge(features_of(evidence, now)).penalties if one.points >= TICKET_FROM}


@pytest.mark.parametrize("name", BROKEN)
def test_nine_of_ten_broken_chargers_are_found_within_a_day(name: str) -> None:
    cause = score.FAILED_STARTS if name == "intermittent" else name
    now = BREAKS + timedelta(days=1)
    found = sum(cause in called_for(known_at(now, seed, BROKEN[name]), now) for seed in range(30))
    assert found >= 27


def test_a_good_charger_is_called_for_less_than_once_in_a_hundred_days() -> None:
    alarms = days = 0
    for seed in range(30):
        was_called: set[str] = set()
        for now, evidence in islice(weeks_of(1_000 + seed, GOOD), 7, None):
            called = called_for(evidence, now)
            alarms, was_called, days = alarms + len(called - was_called), called, days + 1
    assert days > 1_000
    assert alarms <= days / 100


def test_a_charger_that_works_again_is_left_alone_again() -> None:
    now = BREAKS + timedelta(days=2)
    evidence = known_at(now, 1, BROKEN[score.FAILED_STARTS])
    assert judge(features_of(evidence, now)).score < 50
    for number in range(30):
        day_of(Random(number), GOOD, now + timedelta(days=number), evidence)
    health = judge(features_of(evidence, now + timedelta(days=30)))
    assert health.score > 90
    assert health.p_unusable < 0.12


def test_every_missing_point_has_a_name() -> None:
    for kind in BROKEN.values():
        now = BREAKS + timedelta(days=2)
        health = judge(features_of(known_at(now, 3, kind), now))
        assert health.score == max(0, 100 - sum(one.points for one in health.penalties))
        assert [one.points for one in health.penalties] == sorted((o.points for o in health.penalties), reverse=True)


def failed(number: int, *, weight: float = 1.0) -> FailedStart:
    return FailedStart(BEGIN + timedelta(hours=number), weight=weight)


def test_three_failures_in_a_row_are_failing_whatever_the_past() -> None:
    worked = [Session(BEGIN + timedelta(hours=number), 3_000, 15_000) for number in range(200)]
    broke = [failed(200 + number) for number in range(3)]
    now = BEGIN + timedelta(hours=204)
    assert not judge(features_of(Evidence(failed_starts=broke[:2], sessions=worked), now)).is_failing
    health = judge(features_of(Evidence(failed_starts=broke, sessions=worked), now))
    assert health.is_failing
    assert health.p_unusable >= 0.85
    assert health.penalties[0].cause == score.FAILED_STARTS


def test_what_may_have_been_the_driver_makes_no_row_and_counts_for_half() -> None:
    doubtful = [failed(number, weight=0.5) for number in range(6)]
    now = BEGIN + timedelta(hours=7)
    features = features_of(Evidence(failed_starts=doubtful), now)
    assert features.failed_in_a_row == 0
    assert features.failed == pytest.approx(3, abs=0.1)
    assert not judge(features).is_failing


def test_one_vehicle_that_fails_again_and_again_proves_little_more_than_once() -> None:
    def sums(*whos: str) -> float:
        tries = [FailedStart(BEGIN + timedelta(hours=number), who=who) for number, who in enumerate(whos)]
        return features_of(Evidence(failed_starts=tries), BEGIN + timedelta(days=2)).failing.sum

    assert sums("a") < sums(*"aaaaaaaaaa") < 1.34 * sums("a")
    assert sums(*"abab") > 2 * sums("a")
    days = [FailedStart(BEGIN + timedelta(days=number), who="a") for number in range(4)]
    alone = judge(features_of(Evidence(failed_starts=days), BEGIN + timedelta(days=5)))
    assert alone.penalties[0].points >= TICKET_FROM  # a depot with one van must get its ticket, too
    assert not alone.is_failing


@pytest.mark.parametrize("cause", MENDED)
def test_a_repair_ends_what_was_wrong_before_it_and_nothing_else(cause: str) -> None:
    at = BEGIN + timedelta(hours=6)
    before = Evidence(
        failed_starts=[FailedStart(BEGIN)], sessions=[Session(BEGIN, 30, 10), Session(BEGIN, 3_000, 9_000)],
        faults=[Spell(BEGIN, at + timedelta(hours=1))], silences=[Spell(BEGIN, at)], changes=[BEGIN],
        repaired_at={cause: at},
    )  # fmt: skip
    kept = since_repairs(before)
    changed = {
        name
        for name, field in zip(MENDED, ("failed_starts", "sessions", "faults", "silences", "changes"), strict=True)
        if getattr(kept, field) != getattr(before, field)
    }
    assert changed == {cause}
    assert since_repairs(replace(before, repaired_at={"faults": at})).faults == [Spell(at, at + timedelta(hours=1))]
    assert before.sessions[1] in kept.sessions


@pytest.mark.parametrize(("model", "share"), [(1, 0.117), (None, None)])
def test_small_vehicles_of_strangers_are_no_drift_of_power(model: int | None, share: float | None) -> None:
    peaks = [60_000.0] * 20 + [7_000.0] * 6
    charged = [
        Session(BEGIN + timedelta(hours=number), 3_000, 15_000, peak, model) for number, peak in enumerate(peaks)
    ]
    assert features_of(Evidence(sessions=charged), BEGIN + timedelta(hours=30)).power_share == share


def test_nothing_known_is_nothing_held_against_it() -> None:
    health = judge(features_of(Evidence(), BEGIN))
    assert (health.score, health.penalties, health.is_failing) == (100, (), False)
    assert health.p_unusable == pytest.approx(0.03)


@pytest.mark.parametrize("what", ["failed", "short", "faulted", "silent"])
def test_more_trouble_never_makes_a_better_score(what: str) -> None:
    add: dict[str, Callable[[Evidence, datetime], None]] = {
        "failed": lambda evidence, at: evidence.failed_starts.append(FailedStart(at)),
        "short": lambda evidence, at: evidence.sessions.append(Session(at, 30, 10)),
        "faulted": lambda evidence, at: evidence.faults.append(Spell(at, at + timedelta(hours=1))),
        "silent": lambda evidence, at: evidence.silences.append(Spell(at, at + timedelta(minutes=30))),
    }
    evidence, now, scores, risks = Evidence(), BEGIN + timedelta(days=1), [], []
    for number in range(12):
        health = judge(features_of(evidence, now))
        scores.append(health.score)
        risks.append(health.p_unusable)
        add[what](evidence, BEGIN + timedelta(hours=number + 6))
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 100
    assert risks == sorted(risks)
