"""What of a charger's past says how well it works; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import log
from statistics import median
from typing import Any

HALF_LIFE = timedelta(days=14)
"""Of what a start proves."""
WEEK, DAY = timedelta(days=7), timedelta(days=1)
SHORT_SECONDS, LEAST_WH = 120, 100
"""A session that is shorter, or draws less, did not come off."""
FULL_PERCENT = 95.0
"""Who comes with so much takes next to nothing of any charger."""
TAPERS_PERCENT = 80.0
"""Who comes with so much never takes what the charger could give."""
FEWEST_PEAKS = 4
"""Of sessions lately, and before, for a word about power."""
LATELY = 6
"""Sessions whose power is held against the ones before."""
EXPECTED_FAILURES, PRIOR_STARTS = 0.03, 20.0
"""What is believed of a unit before its first start."""
FINE, BROKEN = 0.05, 0.4
"""Shares of failures between which a running sum (CUSUM) decides since when a unit is broken."""
ALARM = 4.0
PRIOR_SINCE = 4.0
"""What the prior counts for, once something has changed."""
MENDED = ("failed_starts", "short_sessions", "faults", "silence", "flapping")
"""Causes (stations/health/score.py) whose evidence is cut off at a repair, in the order of `since_repairs`."""
AGAIN = 0.25
"""What the same vehicle's next failure within a day proves of what the one before did: it may be the vehicle."""
MOST_OF_ONE = 2
"""So many failures of one vehicle count in a row."""


@dataclass(frozen=True)
class FailedStart:
    """Somebody wanted to charge and no session came of it. `weight` below 1: it may as well have been the driver.

    `who`: the vehicle, or the token it came with; None: nobody knows, and it is taken for another one each time.
    """

    at: datetime
    weight: float = 1.0
    who: str | None = None


@dataclass(frozen=True)
class Session:
    """`is_dc`: at a plug of direct current. `soc_percent`: what the vehicle came with, if that was told."""

    ended_at: datetime
    seconds: float
    energy_wh: float
    peak_power_w: float | None = None
    vehicle_model_id: int | None = None
    is_dc: bool = True
    soc_percent: float | None = None
    who: str | None = None

    @property
    def is_short(self) -> bool:
        is_full = self.soc_percent is not None and self.soc_percent >= FULL_PERCENT
        return not is_full and (self.seconds < SHORT_SECONDS or self.energy_wh < LEAST_WH)


@dataclass(frozen=True)
class Spell:
    """Out of order, or silent, from then to then."""

    begins_at: datetime
    ends_at: datetime

    def seconds_since(self, since: datetime) -> float:
        return max(0.0, (self.ends_at - max(self.begins_at, since)).total_seconds())


@dataclass(frozen=True)
class Change:
    """Since the running sum was last at nothing: how far it is, and what failed of how much."""

    sum: float = 0.0
    tried: float = 0.0
    failed: float = 0.0

    @property
    def p_fails(self) -> float:
        """0 while nothing has changed."""
        if self.sum < ALARM:
            return 0.0
        return (EXPECTED_FAILURES * PRIOR_SINCE + self.failed) / (PRIOR_SINCE + self.tried)


@dataclass
class Evidence:
    """Everything known of one unit (of its charger, where only that can tell), in no order."""

    failed_starts: list[FailedStart] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    faults: list[Spell] = field(default_factory=list)
    silences: list[Spell] = field(default_factory=list)
    reconnects: list[tuple[datetime, int]] = field(default_factory=list)
    """Sockets opened in the day that ends then."""
    changes: list[datetime] = field(default_factory=list)
    """Of the shown status."""
    repaired_at: dict[str, datetime] = field(default_factory=dict)
    """By cause: when somebody said last that it was mended."""

    @property
    def is_empty(self) -> bool:
        return not (any(count for _, count in self.reconnects) or any(self._told()))

    def _told(self) -> tuple[Sequence[object], ...]:
        return self.failed_starts, self.sessions, self.faults, self.silences, self.changes


@dataclass(frozen=True)
class Features:
    """The figures behind a score, at one moment. `power_share` None: too few sessions to compare."""

    starts: float
    failed: float
    failing: Change
    failed_in_a_row: int
    """Starts, and sessions that ended at once."""
    sessions_7d: int
    short_7d: int
    cut: Change
    faults_7d: int
    fault_hours_7d: float
    silences_24h: int
    silent_hours_24h: float
    reconnects_24h: float
    reconnects_usual: float
    changes_24h: int
    power_share: float | None

    @property
    def p_failed_start(self) -> float:
        """Beta mean: what was believed before, outweighed by evidence; what is since a change, if that is worse."""
        mean = (EXPECTED_FAILURES * PRIOR_STARTS + self.failed) / (PRIOR_STARTS + self.starts)
        return max(mean, self.failing.p_fails)


TOLD_TO_ALL = frozenset({"faults_7d", "fault_hours_7d", "changes_24h"})
"""What everybody sees of a unit by its status; starts and sessions would tell fleets of each other's."""


def told_to_all(features: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figure for name, figure in features.items() if name in TOLD_TO_ALL}


def since_repairs(evidence: Evidence) -> Evidence:
    """What was wrong before somebody mended it proves nothing any more. (Days of sockets: whoever counts them.)"""
    failed, cut, faults, silence, flapping = (evidence.repaired_at.get(cause) for cause in MENDED)
    return replace(
        evidence,
        failed_starts=[one for one in evidence.failed_starts if failed is None or one.at > failed],
        sessions=[one for one in evidence.sessions if cut is None or not one.is_short or one.ended_at > cut],
        faults=list(_spells_after(evidence.faults, faults)), silences=list(_spells_after(evidence.silences, silence)),
        changes=[at for at in evidence.changes if flapping is None or at > flapping],
    )  # fmt: skip


def _spells_after(spells: Iterable[Spell], at: datetime | None) -> Iterator[Spell]:
    for spell in spells:
        if at is None or spell.ends_at > at:
            yield spell if at is None else Spell(max(spell.begins_at, at), spell.ends_at)


def features_of(evidence: Evidence, now: datetime) -> Features:
    repaired_at, evidence = evidence.repaired_at, since_repairs(evidence)
    tries = _tries(evidence)
    ended = sorted(evidence.sessions, key=lambda session: session.ended_at)
    week = [session for session in ended if session.ended_at > now - WEEK]
    day_ago, week_ago = now - DAY, now - WEEK
    faults = [spell for spell in evidence.faults if spell.ends_at > week_ago]
    silences = [spell for spell in evidence.silences if spell.ends_at > day_ago]
    latest, usual = _reconnects(evidence.reconnects, now)
    return Features(
        starts=round(sum(_counts(one, now) for one in tries if not one.is_short), 3),
        failed=round(sum(_counts(one, now) for one in tries if one.has_failed), 3),
        failing=_change([(one.has_failed, one.weight) for one in tries if not one.is_short]),
        failed_in_a_row=_failed_in_a_row(tries),
        sessions_7d=len(week), short_7d=sum(session.is_short for session in week),
        cut=_change([(one.is_short, one.weight) for one in tries if not one.has_failed]),
        faults_7d=len(faults), fault_hours_7d=_hours(faults, week_ago),
        silences_24h=len(silences), silent_hours_24h=_hours(silences, day_ago),
        reconnects_24h=latest, reconnects_usual=usual,
        changes_24h=sum(at > day_ago for at in evidence.changes),
        power_share=_power_share(ended, since=max(week_ago, repaired_at.get("power_drift", week_ago))),
    )  # fmt: skip


@dataclass(frozen=True)
class _Try:
    """Of somebody to charge: without a session it has failed; `is_short`: with one that ended at once.

    `is_doubtful`: it may as well have been the driver.
    """

    at: datetime
    has_failed: bool
    is_short: bool = False
    weight: float = 1.0
    who: str | None = None
    is_doubtful: bool = False

    @property
    def came_to_nothing(self) -> bool:
        return self.has_failed or self.is_short


def _tries(evidence: Evidence) -> list[_Try]:
    failed = [
        _Try(one.at, has_failed=True, weight=one.weight, who=one.who, is_doubtful=one.weight < 1)
        for one in evidence.failed_starts
    ]
    begun = [_Try(one.ended_at, has_failed=False, is_short=one.is_short, who=one.who) for one in evidence.sessions]
    return list(_by_vehicle(sorted([*failed, *begun], key=lambda one: one.at)))


def _by_vehicle(tries: Iterable[_Try]) -> Iterator[_Try]:
    """One vehicle that fails again and again within a day proves little more than once: others decide."""
    last: dict[tuple[str | None, bool], tuple[datetime, float]] = {}
    for one in tries:
        key = one.who, one.is_doubtful
        if one.who is None or not one.came_to_nothing:
            last.pop(key, None)
            yield one
            continue
        at, share = last.get(key, (one.at - DAY, 1.0))
        share = share * AGAIN if one.at - at < DAY else 1.0
        last[key] = (one.at, share)
        yield replace(one, weight=one.weight * share)


def _counts(one: _Try, now: datetime) -> float:
    return float(one.weight * 0.5 ** (max(timedelta(0), now - one.at) / HALF_LIFE))


def _change(outcomes: Sequence[tuple[bool, float]]) -> Change:
    """CUSUM over (failed, weight) in order: evidence for BROKEN against FINE, never below nothing."""
    change = Change()
    for has_failed, weight in outcomes:
        step = log(BROKEN / FINE) if has_failed else log((1 - BROKEN) / (1 - FINE))
        total = change.sum + weight * step
        failed = change.failed + weight * has_failed
        change = Change(total, change.tried + weight, failed) if total > 0 else Change()
    return change


def _failed_in_a_row(tries: Sequence[_Try]) -> int:
    """Of the last ones; those that may have been the driver neither count nor break the row."""
    count, by_vehicle = 0, Counter[str]()
    for one in reversed([one for one in tries if not one.is_doubtful]):
        if not one.came_to_nothing:
            break
        by_vehicle[one.who or ""] += one.who is not None
        count += by_vehicle[one.who or ""] <= MOST_OF_ONE
    return count


def _hours(spells: Sequence[Spell], since: datetime) -> float:
    return round(sum(spell.seconds_since(since) for spell in spells) / 3600, 2)


def _reconnects(days: Sequence[tuple[datetime, int]], now: datetime) -> tuple[float, float]:
    """Of the last day, and the median of the days before it."""
    latest = sum(count for until, count in days if until > now - DAY)
    before = [count for until, count in days if until <= now - DAY]
    return float(latest), float(median(before)) if before else 0.0


def _power_share(sessions: Sequence[Session], *, since: datetime) -> float | None:
    """Peak power of the last sessions against what the same models drew before at such plugs; the median of shares.

    Strangers are no model: a small vehicle after a large one says nothing of the charger.
    """
    known = [one for one in sessions if _shows_its_peak(one)]
    lately, before = known[-LATELY:], known[:-LATELY]
    usual: dict[tuple[int | None, bool], list[float]] = {}
    for one in before:
        usual.setdefault((one.vehicle_model_id, one.is_dc), []).append(one.peak_power_w or 0.0)
    shares = [
        (one.peak_power_w or 0.0) / median(usual[one.vehicle_model_id, one.is_dc])
        for one in lately
        if one.ended_at > since and len(usual.get((one.vehicle_model_id, one.is_dc), ())) >= FEWEST_PEAKS
    ]
    return round(median(shares), 3) if len(shares) >= FEWEST_PEAKS else None


def _shows_its_peak(one: Session) -> bool:
    is_low = one.soc_percent is None or one.soc_percent < TAPERS_PERCENT
    return bool(one.peak_power_w) and one.vehicle_model_id is not None and is_low and not one.is_short
