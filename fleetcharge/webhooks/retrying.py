"""When a failed delivery is tried again, and when it is given up. Pure."""

import random
from datetime import timedelta

# 5 s, 30 s, 2 min, 10 min, 1 h, 6 h, 12 h, then daily: the last attempt is about three days after the first.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600, 6 * 3600, 12 * 3600, 86400, 86400))
JITTER = 0.1
LONGEST_PAUSE = timedelta(days=1)


def pause_after(attempts: int, *, asked: timedelta | None = None, seed: object = 0) -> timedelta | None:
    """How long to wait after so many failed attempts; None: give up.

    `asked` is the receiver's Retry-After, believed up to a day when it is longer than ours. Ten per cent of jitter
    spreads what failed together; the same `seed` gives the same pause.
    """
    if attempts > len(PAUSES):
        return None
    drawn = random.Random(f"{seed}:{attempts}").uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (spreads, hides nothing)
    ours = PAUSES[attempts - 1] * drawn
    return max(ours, min(asked, LONGEST_PAUSE)) if asked else ours
