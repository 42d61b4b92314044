"""When did it happen: the rules for pings from the future, from long ago and from receivers that lost 1,024 weeks."""

from collections.abc import Sequence

from vehicles.fixes import CLOCK_CORRECTED, DAY, INDIAN_CLOCK, LATE, MINUTE, SECOND, Fix, Problem

AHEAD_TOLERATED = 120 * SECOND
AHEAD_CORRECTED = DAY
INDIA_AHEAD = 330 * MINUTE
LATE_AFTER = 10 * MINUTE
TOO_OLD_AFTER = 30 * DAY
GPS_ROLLOVER = 1024 * 7 * DAY  # receivers count weeks in ten bits
ROLLOVER_SUSPECTED_AFTER = GPS_ROLLOVER - 90 * DAY  # as Traccar does

TOO_OLD = Problem("too_old", "The ping is older than 30 days.")
FUTURE = Problem("future", "The ping is more than one day in the future.")


def set_in_time(fixes: Sequence[Fix | Problem], received_us: int) -> list[Fix | Problem]:
    """The same pings with instants corrected and flagged, or the reason why one was refused.

    Pings 120 s to one day ahead come from a wrong clock: the newest of each device becomes "now" and the others keep
    their distance to it, so a whole batch survives. Pings older than ten minutes are flagged late.
    """
    judged: list[Fix | Problem] = []
    ahead_us: dict[str, int] = {}
    for fix in fixes:
        if isinstance(fix, Fix) and not -AHEAD_TOLERATED <= received_us - fix.at_us <= LATE_AFTER:
            judged.append(_unusual(fix, received_us, ahead_us))
        else:
            judged.append(fix)
    return [_turned_back(fix, received_us, ahead_us) for fix in judged] if ahead_us else judged


def without_rollover(at_us: int, received_us: int) -> int:
    """The instant that a receiver meant whose week counter began anew."""
    while received_us - at_us > ROLLOVER_SUSPECTED_AFTER:
        at_us += GPS_ROLLOVER
    return at_us


def _unusual(fix: Fix, received_us: int, ahead_us: dict[str, int]) -> Fix | Problem:
    """A late, ancient or future ping; collects in `ahead_us` how far each device's clock is ahead."""
    age_us = received_us - fix.at_us
    if age_us < -AHEAD_CORRECTED:
        return FUTURE
    if age_us < 0:
        ahead_us[fix.device] = max(ahead_us.get(fix.device, 0), -age_us)
        return fix
    if (at_us := without_rollover(fix.at_us, received_us)) != fix.at_us:
        fix.at_us, age_us = at_us, received_us - at_us
        fix.flags |= CLOCK_CORRECTED
    if age_us > TOO_OLD_AFTER:
        return TOO_OLD
    if age_us > LATE_AFTER:
        fix.flags |= LATE
    return fix


def _turned_back(fix: Fix | Problem, received_us: int, ahead_us: dict[str, int]) -> Fix | Problem:
    if isinstance(fix, Fix) and fix.at_us - received_us > AHEAD_TOLERATED:
        fix.at_us -= ahead_us[fix.device]
        fix.flags |= CLOCK_CORRECTED
        if abs(ahead_us[fix.device] - INDIA_AHEAD) <= AHEAD_TOLERATED:
            fix.flags |= INDIAN_CLOCK
        if received_us - fix.at_us > LATE_AFTER:
            fix.flags |= LATE
    return fix
