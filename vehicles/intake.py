"""The steps every ping walks, whatever wire it came on, and the one write path of this process.

Decoded (decoders/) pings get their instant judged (clocks.py) and their place (places.py), then in one transaction
with their neighbours their vehicle (registry.py), plausibility (plausibility.py), row and latest state (sql.py), and
the apps above hear the news (announcements.py). Nothing is answered before the commit.
"""

import time
from collections.abc import Sequence

from vehicles.clocks import set_in_time
from vehicles.fixes import Fix, Problem
from vehicles.places import place_problem
from vehicles.telemetry import UNKNOWN, Delivery, Telemetry
from vehicles.unknown import UnknownDevices

UNKNOWN_DEVICE = Problem("unknown_device", "No vehicle of yours has this device.")

telemetry = Telemetry()
unknown_devices = UnknownDevices()

Verdict = tuple[int, Fix] | Problem


async def accept(decoded: Sequence[Fix | Problem], organisation_id: int | None, raw: bytes) -> list[Verdict]:
    """Per ping (ACCEPTED or DUPLICATE, the ping) or why it was refused; durable when this returns.

    `organisation_id` None: the device's id is the credential. `raw` is what an operator is shown of unknown devices.
    """
    received_us = time.time_ns() // 1000
    judged = [_placed(item) for item in set_in_time(decoded, received_us)]
    fixes = [item for item in judged if isinstance(item, Fix)]
    if not fixes:
        return [item for item in judged if isinstance(item, Problem)]
    outcomes = await telemetry.submit(Delivery(organisation_id, received_us, fixes))
    if UNKNOWN in outcomes:
        strangers = {fix.device for fix, outcome in zip(fixes, outcomes, strict=True) if outcome == UNKNOWN}
        await unknown_devices.remember(organisation_id, sorted(strangers), raw)
    remaining = iter(outcomes)
    return [item if isinstance(item, Problem) else _verdict(next(remaining), item) for item in judged]


async def is_known(device: str, raw: bytes) -> bool:
    """Whether somebody claimed the device; if not, the message is remembered for who will."""
    known = (await telemetry.registry.find([device]))[device] is not None
    if not known:
        await unknown_devices.remember(None, [device], raw)
    return known


async def has_room(device: str, count: int) -> bool:
    """Whether a claimed device may send so many pings now; see plausibility.Track."""
    ref = (await telemetry.registry.find([device]))[device]
    return ref is None or ref.track.has_room(time.time_ns() // 1000, count)


def _placed(item: Fix | Problem) -> Fix | Problem:
    return item if isinstance(item, Problem) else place_problem(item) or item


def _verdict(outcome: int, fix: Fix) -> Verdict:
    return UNKNOWN_DEVICE if outcome == UNKNOWN else (outcome, fix)
