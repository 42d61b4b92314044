"""The steps every ping walks, whatever wire it came on, and the one write path of this process.

Decoded (decoders/) pings get their instant judged (clocks.py) and their place (places.py), then in one transaction
with their neighbours their vehicle (registry.py), plausibility (plausibility.py), row and latest state (sql.py), and
the apps above hear the news (announcements.py). Nothing is answered before the commit.
"""

import time
from collections.abc import Sequence

from vehicles.clocks import set_in_time
from vehicles.console import Console, Shown, shown
from vehicles.fixes import Fix, Problem
from vehicles.places import place_problem
from vehicles.registry import NOBODY, VehicleRef
from vehicles.telemetry import DUPLICATE, UNKNOWN, Delivery, Telemetry
from vehicles.unknown import UnknownDevices

UNKNOWN_DEVICE = Problem("unknown_device", "No vehicle of yours has this device.")

telemetry = Telemetry()
unknown_devices = UnknownDevices()
console = Console()

Verdict = tuple[int, Fix] | Problem


async def accept(
    decoded: Sequence[Fix | Problem], organisation_id: int | None, raw: bytes, device: str = ""
) -> list[Verdict]:
    """Per ping (ACCEPTED or DUPLICATE, the ping) or why it was refused; durable when this returns.

    `organisation_id` None: the device's id is the credential. `raw` is what people are shown of unknown devices, and on
    the connect page of a vehicle; `device`: whose message it is, also if nothing of it can be read.
    """
    verdicts = await _accept(decoded, organisation_id, raw)
    if telemetry.registry.watched:
        _note(decoded, verdicts, organisation_id, raw, device)
    return verdicts


async def close() -> None:
    """Write what is queued and let go of the connections."""
    await telemetry.close()
    await unknown_devices.close()
    await console.close()


async def note(device: str, raw: str, kind: str, alarm: str = "") -> None:
    """Show a packet that has no place where its vehicle is watched; it may be the only kind that the device sends."""
    await telemetry.registry.find([device])
    if ref := telemetry.registry.watched.get(device):
        console.note(ref, raw, [{"kind": kind, "alarm": alarm}])


def _note(
    decoded: Sequence[Fix | Problem], verdicts: Sequence[Verdict], organisation_id: int | None, raw: bytes, device: str
) -> None:
    """To each watched vehicle what became of its pings, if the sender may report for it."""
    told: dict[int, tuple[VehicleRef, list[Shown]]] = {}
    for item, verdict in zip(decoded, verdicts, strict=True):
        ref = telemetry.registry.watched.get(item.device if isinstance(item, Fix) else device)
        if ref is not None and organisation_id in (None, ref.organisation_id) and _is_of(ref, item):
            told.setdefault(ref.vehicle_id, (ref, []))[1].append(shown(verdict, DUPLICATE))
    for ref, outcome in told.values():
        console.note(ref, raw, outcome)


def _is_of(ref: VehicleRef, item: Fix | Problem) -> bool:
    """Not of a vehicle that had the device before, which may be another fleet's."""
    if not isinstance(item, Fix):
        return True
    holder = telemetry.registry.holder(item.device, item.at_us)
    return holder is not None and holder.vehicle_id == ref.vehicle_id


async def _accept(decoded: Sequence[Fix | Problem], organisation_id: int | None, raw: bytes) -> list[Verdict]:
    received_us = time.time_ns() // 1000
    judged = [_placed(item) for item in set_in_time(decoded, received_us)]
    fixes = [item for item in judged if isinstance(item, Fix)]
    if not fixes:
        return [item for item in judged if isinstance(item, Problem)]
    outcomes = await telemetry.submit(Delivery(organisation_id, received_us, fixes))
    if len(fixes) == len(judged) and UNKNOWN not in outcomes:
        return list(zip(outcomes, fixes, strict=True))
    if UNKNOWN in outcomes:
        strangers = {fix.device for fix, outcome in zip(fixes, outcomes, strict=True) if outcome == UNKNOWN}
        await unknown_devices.remember(organisation_id, sorted(strangers), raw)
    remaining = iter(outcomes)
    return [item if isinstance(item, Problem) else _verdict(next(remaining), item) for item in judged]


async def is_known(device: str, raw: bytes) -> bool:
    """Whether somebody has or had the device; if not, the message is remembered for who will."""
    known = (await telemetry.registry.find([device]))[device] is not NOBODY
    if not known:
        await unknown_devices.remember(None, [device], raw)
    return known


async def is_claimed(device: str) -> bool:
    """Whether it reports for a vehicle now; what a device sends that has none is to be kept until it has one."""
    return (await telemetry.registry.find([device]))[device].present is not None


async def has_room(device: str, count: int) -> bool:
    """Whether a claimed device may send so many pings now; see plausibility.Track."""
    ref = (await telemetry.registry.find([device]))[device].present
    return ref is None or ref.track.has_room(time.time_ns() // 1000, count)


def _placed(item: Fix | Problem) -> Fix | Problem:
    return item if isinstance(item, Problem) else place_problem(item) or item


def _verdict(outcome: int, fix: Fix) -> Verdict:
    return UNKNOWN_DEVICE if outcome == UNKNOWN else (outcome, fix)
