"""`manage.py simulate_week`: the demo city's dispatch over a week on a virtual clock, beside driving to the nearest."""

import statistics
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dispatch.simulation.city import City, Tally, saved
from dispatch.simulation.ways import ByCost, NearestFree
from dispatch.simulation.world import simulate
from fleetcharge.demo import week


class Command(BaseCommand):
    help = "Simulate a week of the demo city twice: with FleetCharge, and with everybody at the nearest free charger."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument("--days", type=int, default=7)
        parser.add_argument("--chargers", type=int, default=60)
        parser.add_argument("--vehicles", type=int, default=80)

    def handle(self, *args: Any, seed: int, days: int, chargers: int, vehicles: int, **options: Any) -> None:
        begun = time.monotonic()
        city = week.draw(seed, days=days, chargers=chargers, vehicles=vehicles)
        ours, theirs = (simulate(city, way, seed=seed) for way in (ByCost(), NearestFree()))
        self.stdout.write(
            f"{vehicles} vehicles, {len(city.plugs)} plugs, {days} days in {time.monotonic() - begun:.1f} s"
        )
        for name, tally in (("FleetCharge", ours), ("Nearest free", theirs)):
            self.stdout.write(_line(name, tally, city))
        self.stdout.write(_booked(ours))
        self.stdout.write(_gain(ours, theirs, city))
        if broken := broken_promises(ours, theirs, city):
            raise CommandError("; ".join(broken), returncode=1)


def broken_promises(ours: Tally, theirs: Tally, city: City) -> list[str]:
    """What must hold and does not."""
    rate = city.rules.cost_per_minute_paise
    return [
        text
        for is_broken, text in (
            (ours.stranded_with_a_plan > 0, f"{ours.stranded_with_a_plan} stranded on the way to their plug"),
            (ours.shared_plugs > 0, f"{ours.shared_plugs} times two own vehicles on one connector"),
            (ours.own_meetings > 0, f"{ours.own_meetings} own vehicles met at a connector"),
            (ours.overlapping_places > 0, f"{ours.overlapping_places} places kept twice at one time"),
            (len(ours.stranded) > len(theirs.stranded), _more_stranded(ours, theirs)),
            (saved(ours, theirs, rate)[1] <= 0, "no gain against the nearest free charger"),
        )
        if is_broken
    ]


def _more_stranded(ours: Tally, theirs: Tally) -> str:
    """Who is towed pays for no charge: that must not count as a gain."""
    return f"{len(ours.stranded)} stranded, {len(theirs.stranded)} at the nearest free charger"


def _per_charge(tally: Tally, rate: float) -> float:
    return tally.rupees(rate) / max(1, tally.charges)


def _line(name: str, tally: Tally, city: City) -> str:
    charges = max(1, tally.charges)
    return (
        f"{name:>13}: {tally.charges} charges, {tally.energy_wh / 1000:.0f} kWh, "
        f"{tally.delay_seconds / 60 / charges:.1f} min and "
        f"₹{_per_charge(tally, city.rules.cost_per_minute_paise):.0f} each, {len(tally.stranded)} stranded, "
        f"{tally.turned_away} sent away at the plug, {tally.infeasible} without a plug in reach"
    )


def _booked(ours: Tally) -> str:
    ahead = ours.booked_ahead_seconds or [0.0]
    return (
        f"Kept for later: {len(ours.booked_ahead_seconds)} places, {statistics.median(ahead) / 60:.0f} min ahead "
        f"(at most {max(ahead) / 60:.0f}); {ours.shared_places} beside another one at another time, "
        f"{ours.sent_elsewhere} not to be had when it was time, {ours.no_shows} given up because nobody came"
    )


def _gain(ours: Tally, theirs: Tally, city: City) -> str:
    """Of the same rounds, driven both ways, with batteries as full at the end."""
    minutes, rupees = saved(ours, theirs, city.rules.cost_per_minute_paise)
    emptier_kwh = (theirs.left_wh - ours.left_wh) / 1000
    return (
        f"Saved against the nearest free charger: {minutes:.0f} min and ₹{rupees:.0f} in all, "
        f"₹{rupees / max(1, len(city.vans) * city.days):.2f} per vehicle and day, "
        f"{len(theirs.stranded) - len(ours.stranded)} strandings; "
        f"counted in: batteries end their days {abs(emptier_kwh):.0f} kWh {'emptier' if emptier_kwh > 0 else 'fuller'}"
    )
