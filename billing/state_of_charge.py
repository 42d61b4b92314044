"""Which states of charge of a session are believed: pure, from what its station read of the vehicle."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from billing.reconstruction import DELIVERING_W, UNKNOWN_POWER_W, Evidence, Sample

FALL_POINTS = 3.0  # gauges settle
RISE_POINTS = 5.0  # some count in steps
RISE_TOLERANCE = 1.3
NOTHING_READ = 0.0  # what stations say of a vehicle that tells nothing, above all when the cable has gone


class Charge(NamedTuple):
    """Percent; None: not told believably. `is_odd`: a sample was left out that is more than nothing read."""

    start_percent: float | None
    end_percent: float | None
    is_odd: bool


def charge_of(evidence: Evidence) -> Charge | None:
    """The first and last of the samples that follow from each other; None where there is nothing to compare.

    Of several such runs the one with the most samples counts. Where a single one is left, it is the start or the end.
    """
    told = [sample for sample in evidence.samples if sample.soc_percent is not None]
    if len(told) < 2:
        return None
    run = max(_runs(told, evidence), key=lambda run: (len(run), run[-1].soc_percent != NOTHING_READ, run[-1].at))
    kept = set(map(id, run))
    is_odd = any(id(sample) not in kept and sample.soc_percent != NOTHING_READ for sample in told)
    start, end = run[0].soc_percent, run[-1].soc_percent
    if len(run) > 1:
        return Charge(start, end, is_odd)
    return Charge(start, None, is_odd) if run[0] is told[0] else Charge(None, end, is_odd)


def _runs(told: Sequence[Sample], evidence: Evidence) -> Iterator[list[Sample]]:
    """One that does not follow is set aside; when the next one follows from it, a run begins there."""
    run, doubted = [told[0]], None
    for sample in told[1:]:
        if _follows(run[-1], sample, evidence):
            run.append(sample)
            doubted = None
        elif doubted is not None and _follows(doubted, sample, evidence):
            yield run
            run, doubted = [doubted, sample], None
        else:
            doubted = sample
    yield run
    if doubted is not None:
        yield [doubted]


def _follows(before: Sample, after: Sample, evidence: Evidence) -> bool:
    """It does not fall while energy flows, nor rise by more than the energy explains."""
    rise = (after.soc_percent or 0.0) - (before.soc_percent or 0.0)
    if rise < -FALL_POINTS:
        return after.soc_percent != NOTHING_READ and not _is_fed(before, after)
    if not evidence.battery_wh:
        return True
    explained = 100 * _most_wh(before, after, evidence) / evidence.battery_wh
    return rise <= explained * RISE_TOLERANCE + RISE_POINTS


def _is_fed(before: Sample, after: Sample) -> bool:
    return _registered_wh(before, after) > 0 or _is_powered(before, after)


def _most_wh(before: Sample, after: Sample, evidence: Evidence) -> float:
    """What came in between at the most: by the meter, else what the plug gives."""
    told_wh = max(_registered_wh(before, after), after.interval_wh or 0)
    is_metered = before.register_wh is not None and after.register_wh is not None
    if told_wh > 0 or (is_metered and not _is_powered(before, after)):
        return told_wh
    return (evidence.max_power_w or UNKNOWN_POWER_W) * (after.at - before.at).total_seconds() / 3600


def _registered_wh(before: Sample, after: Sample) -> int:
    if before.register_wh is None or after.register_wh is None:
        return 0
    return max(0, after.register_wh - before.register_wh)


def _is_powered(before: Sample, after: Sample) -> bool:
    return max(before.power_w or 0, after.power_w or 0) >= DELIVERING_W
