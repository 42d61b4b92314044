"""From figures to a score of 0 to 100: every point that is missing has a name; pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stations.health.features import Features

FULL = 100
IN_A_ROW = 3
"""So many failed starts, and it is failing whatever it says."""
TICKET_FROM, TICKET_UNTIL = 15, 5
"""Points of one cause that call for somebody, and below which nobody is needed any more."""
FAILED_STARTS, SHORT_SESSIONS, FAULTS, SILENCE = "failed_starts", "short_sessions", "faults", "silence"
RECONNECTS, FLAPPING, POWER_DRIFT = "reconnects", "flapping", "power_drift"
CAUSES = (FAILED_STARTS, SHORT_SESSIONS, FAULTS, SILENCE, RECONNECTS, FLAPPING, POWER_DRIFT)
CONDITION_SHARE = 0.5
"""How far trouble that is no failed start speaks of the next start."""
NEVER_SURE = 0.95


@dataclass(frozen=True)
class Penalty:
    """`figure` is what it rests on, as the text of the cause names it."""

    cause: str
    points: int
    figure: float


@dataclass(frozen=True)
class Health:
    score: int
    p_unusable: float
    penalties: tuple[Penalty, ...]
    """The heaviest first."""
    is_failing: bool
    """It fails whoever comes, whatever status it shows."""


def judge(features: Features) -> Health:
    found = [Penalty(cause, round(points), round(figure, 2)) for cause, (points, figure) in _measured(features).items()]
    penalties = tuple(sorted((one for one in found if one.points > 0), key=lambda one: (-one.points, one.cause)))
    return Health(
        score=max(0, FULL - sum(one.points for one in penalties)),
        p_unusable=_p_unusable(features, penalties), penalties=penalties,
        is_failing=features.failed_in_a_row >= IN_A_ROW,
    )  # fmt: skip


def _measured(features: Features) -> dict[str, tuple[float, float]]:
    """Points and figure of every cause."""
    return {cause: measure(features) for cause, measure in _MEASURES.items()}


def _failed_starts(features: Features) -> tuple[float, float]:
    by_rate = _ramp(features.p_failed_start, 0.10, 0.40, 60)
    return max(by_rate, _ramp(features.failing.sum, 2.5, 6, 60)), features.p_failed_start


def _short_sessions(features: Features) -> tuple[float, float]:
    share = features.short_7d / features.sessions_7d if features.sessions_7d else 0.0
    return _ramp(features.cut.sum, 2.5, 6, 45), share


def _faults(features: Features) -> tuple[float, float]:
    points = _ramp(features.faults_7d, 1, 3, 20) + _ramp(features.fault_hours_7d, 1, 24, 20)
    return min(30.0, points), features.faults_7d


def _silence(features: Features) -> tuple[float, float]:
    points = _ramp(features.silences_24h, 2, 8, 15) + _ramp(features.silent_hours_24h, 0.5, 6, 15)
    return points, features.silent_hours_24h


def _reconnects(features: Features) -> tuple[float, float]:
    more = features.reconnects_24h - 2 * features.reconnects_usual
    return _ramp(more, 6, 20, 20), features.reconnects_24h


def _flapping(features: Features) -> tuple[float, float]:
    return _ramp(features.changes_24h, 150, 400, 15), features.changes_24h


def _power_drift(features: Features) -> tuple[float, float]:
    share = 1.0 if features.power_share is None else features.power_share
    return _ramp(1 - share, 0.15, 0.4, 25), share


_MEASURES: dict[str, Callable[[Features], tuple[float, float]]] = {
    FAILED_STARTS: _failed_starts, SHORT_SESSIONS: _short_sessions, FAULTS: _faults, SILENCE: _silence,
    RECONNECTS: _reconnects, FLAPPING: _flapping, POWER_DRIFT: _power_drift,
}  # fmt: skip


def _ramp(value: float, harmless: float, worst: float, points: float) -> float:
    return points * min(1.0, max(0.0, (value - harmless) / (worst - harmless)))


def _p_unusable(features: Features, penalties: Sequence[Penalty]) -> float:
    """What starts and sessions proved, and other trouble as far as it speaks of the next one; or a row of failures."""
    proven = (FAILED_STARTS, SHORT_SESSIONS)
    trouble = min(FULL, sum(one.points for one in penalties if one.cause not in proven))
    works = (1 - features.p_failed_start) * (1 - features.cut.p_fails) * (1 - CONDITION_SHARE * trouble / FULL)
    row = 1 - 0.5**features.failed_in_a_row if features.failed_in_a_row >= IN_A_ROW else 0.0
    return round(min(NEVER_SURE, max(1 - works, row)), 4)
