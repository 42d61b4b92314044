"""How long a vehicle waits at a plug: honest simple figures from what is known of the session there."""

from collections.abc import Sequence
from dataclasses import dataclass

MEDIAN_SESSION_SECONDS = 27 * 60
"""Median of 23,294 rapid-charger sessions (Perth & Kinross, open data)."""
LEAST_REMAINING_SECONDS = 5 * 60
"""A session past its median still goes on for a while: never promise a plug in no time."""
CHANGEOVER_SECONDS = 2 * 60


@dataclass(frozen=True)
class PlugState:
    """What is known of one plug now. `curve_remaining_seconds` when the session streams its state of charge."""

    is_free: bool
    session_elapsed_seconds: float | None = None
    curve_remaining_seconds: float | None = None
    inbound: Sequence[tuple[float, float]] = ()
    """Own vehicles heading there: (arrives in seconds, charges for seconds)."""


def remaining_seconds(state: PlugState) -> float:
    """Until the session there ends; 0 when the plug is free."""
    if state.is_free:
        return 0.0
    if state.curve_remaining_seconds is not None:
        return max(0.0, state.curve_remaining_seconds) + CHANGEOVER_SECONDS
    elapsed = state.session_elapsed_seconds or 0.0
    return max(LEAST_REMAINING_SECONDS, MEDIAN_SESSION_SECONDS - elapsed) + CHANGEOVER_SECONDS


def wait_seconds(state: PlugState, *, arrives_in_seconds: float) -> float:
    """Time between arriving and plugging in, after the session there and our own vehicles that come before us."""
    free_in = remaining_seconds(state)
    for arrival, charging in sorted(state.inbound):
        if arrival <= arrives_in_seconds:
            free_in = max(free_in, arrival) + charging + CHANGEOVER_SECONDS
    return max(0.0, free_in - arrives_in_seconds)
