"""How long a vehicle waits at a plug: how long the session there goes on, by how long sessions there last."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, log
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

MEDIAN_SESSION_SECONDS, P90_SESSION_SECONDS = 27 * 60, 61 * 60
"""Of 23,294 rapid-charger sessions (Perth & Kinross, open data): assumed before there are sessions of our own."""
LEAST_REMAINING_SECONDS = 5 * 60
"""A session longer than any before it still goes on for a while: never promise a plug in no time."""
CHANGEOVER_SECONDS = 2 * 60
PRIOR_SESSIONS = 8
"""What wider knowledge counts for against sessions at the very plugs."""
ATOMS = 64
P50, P90 = 0.5, 0.9


@dataclass(frozen=True)
class Law:
    """How long sessions last: durations in seconds, rising, and what each weighs (1 together)."""

    seconds: Numbers
    weights: Numbers
    _up_to: Numbers = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_up_to", np.concatenate([[0.0], np.cumsum(self.weights)]))

    def _shorter(self, seconds: float) -> int:
        return int(np.searchsorted(self.seconds, seconds, side="right"))

    def survival(self, seconds: float) -> float:
        """Share of sessions that last longer."""
        return float(self._up_to[-1] - self._up_to[self._shorter(seconds)])

    def ends_within(self, seconds: float, *, elapsed_seconds: float) -> float:
        """Chance that a session which has lasted so long is over by then; of one longer than any before: as a rule."""
        still = self.survival(elapsed_seconds)
        if still <= 0:
            return 1.0 - exp(-log(2) * seconds / LEAST_REMAINING_SECONDS)
        return 1 - self.survival(elapsed_seconds + seconds) / still

    def remaining(self, elapsed_seconds: float, share: float) -> float:
        """Seconds by which this share of the sessions that have lasted so long is over."""
        first = self._shorter(elapsed_seconds)
        if first == len(self.seconds):
            return LEAST_REMAINING_SECONDS * log(1 - share) / log(0.5)
        shorter = self._up_to[first]
        wanted = shorter + share * (self._up_to[-1] - shorter)
        at = max(first, int(np.searchsorted(self._up_to, wanted - 1e-12, side="left")) - 1)
        return max(0.0, float(self.seconds[min(at, len(self.seconds) - 1)]) - elapsed_seconds)


@lru_cache(maxsize=1)
def default_law() -> Law:
    """Log-normal through the median and the p90 we know."""
    spread = log(P90_SESSION_SECONDS / MEDIAN_SESSION_SECONDS) / NormalDist().inv_cdf(P90)
    middles = [NormalDist().inv_cdf((number + 0.5) / ATOMS) for number in range(ATOMS)]
    seconds = np.array([MEDIAN_SESSION_SECONDS * exp(spread * middle) for middle in middles])
    return Law(seconds, np.full(ATOMS, 1 / ATOMS))


def empirical(seconds: Sequence[float], is_over: Sequence[bool]) -> Law:
    """Kaplan-Meier: of a session that still runs, or was lost sight of, it is known that it lasted longer.

    What is left of the weight after the longest one goes to it. Raises ValueError without any session.
    """
    if not len(seconds):
        raise ValueError("no session, no law")
    durations, ended = np.asarray(seconds, float), np.asarray(is_over, bool)
    order = np.lexsort((~ended, durations))
    durations, ended = durations[order], ended[order]
    at_risk = np.arange(len(durations), 0, -1)
    after = np.cumprod(1 - ended / at_risk)
    weights = np.concatenate([[1.0], after[:-1]]) - after
    weights[-1] += after[-1]
    return Law(durations[weights > 0], weights[weights > 0])


def shrunk(own: Law, wider: Law, sessions: float) -> Law:
    """The own law as far as `sessions` carry it, for the rest the wider one."""
    trust = sessions / (sessions + PRIOR_SESSIONS)
    seconds = np.concatenate([own.seconds, wider.seconds])
    weights = np.concatenate([trust * own.weights, (1 - trust) * wider.weights])
    order = np.argsort(seconds, kind="stable")
    return Law(seconds[order], weights[order])


def thinned(law: Law) -> Law:
    """The same in as few numbers as are stored: each stands for one part of the sessions, all equally large."""
    marks = (np.arange(ATOMS) + 0.5) / ATOMS
    rows = np.searchsorted(np.cumsum(law.weights), marks * law.weights.sum() - 1e-12)
    return evenly(law.seconds[np.minimum(rows, len(law.seconds) - 1)])


def evenly(seconds: Sequence[float] | Numbers) -> Law:
    """From what was stored."""
    return Law(np.sort(np.asarray(seconds, float)), np.full(len(seconds), 1 / len(seconds)))


@dataclass(frozen=True)
class PlugState:
    """What is known of one plug now. `curve_remaining_seconds` when the session streams its state of charge."""

    is_free: bool
    session_elapsed_seconds: float | None = None
    curve_remaining_seconds: float | None = None
    inbound: Sequence[tuple[float, float]] = ()
    """Own vehicles heading there: (arrives in seconds, charges for seconds)."""
    law: Law = field(default_factory=default_law)


def remaining_seconds(state: PlugState, share: float = P50) -> float:
    """Until the session there is over with this probability, and the plug changed over; 0 when it is free."""
    if state.is_free:
        return 0.0
    if state.curve_remaining_seconds is not None:
        return max(0.0, state.curve_remaining_seconds) + CHANGEOVER_SECONDS
    return state.law.remaining(state.session_elapsed_seconds or 0.0, share) + CHANGEOVER_SECONDS


def wait_seconds(state: PlugState, *, arrives_in_seconds: float, share: float = P50) -> float:
    """Time between arriving and plugging in, after the session there and our own vehicles that come before us.

    It only grows with what the session there has left, so its quantile is the wait after that quantile.
    """
    free_in = remaining_seconds(state, share)
    for arrival, charging in sorted(state.inbound):
        if arrival <= arrives_in_seconds:
            free_in = max(free_in, arrival) + charging + CHANGEOVER_SECONDS
    return max(0.0, free_in - arrives_in_seconds)


def free_at_arrival(state: PlugState, *, arrives_in_seconds: float) -> float:
    """Chance that the session there is over by then, while nobody else comes."""
    if state.is_free:
        return 1.0
    left = arrives_in_seconds - CHANGEOVER_SECONDS
    if state.curve_remaining_seconds is not None:
        return float(state.curve_remaining_seconds <= left)
    return state.law.ends_within(max(0.0, left), elapsed_seconds=state.session_elapsed_seconds or 0.0)
