"""What a session at a plug would cost, and the straight line of it that a route is planned with."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from billing import rating
from billing.services import gst_rates
from billing.services.tariffs import zone_of
from billing.tariff_elements import TariffError
from billing.tariff_terms import FOR_ROAMING, Terms, read_terms
from dispatch.core.choose import ASSUMED_PAISE_PER_KWH
from dispatch.plug_rows import PlugRow, parsed

AHEAD = timedelta(hours=24)
PROBE_WH = 1000
"""A price by the clock is read off a charge so short that it ends before the price changes again."""


@dataclass(frozen=True)
class Tariff:
    """As a network asks it; `zone` is its site's."""

    elements: Any
    terms: Terms
    time_zone: str

    def quote(self, *, wh: float, power_w: float, at: datetime) -> int | None:
        """Paise incl. GST; None: not to be told."""
        percent = gst_rates.known_at(at)
        return None if percent is None else rating.quote(
            elements=self.elements, terms=self.terms, energy_wh=round(wh), duration_s=round(wh * 3600 / power_w),
            at=at, tz=zone_of(self.time_zone), gst_percent=percent,
        )  # fmt: skip


class Line(NamedTuple):
    """Paise = fee + per kWh metered; `bands`: (seconds from now, paise per kWh from then on)."""

    paise_per_kwh: float
    fee_paise: float
    bands: tuple[tuple[float, float], ...] = ()


ASSUMED = Line(ASSUMED_PAISE_PER_KWH, 0.0)
"""For choosing where no tariff is known; such a plan shows no cost."""


def tariff_of(row: PlugRow) -> Tariff | None:
    """None: there is none, it cannot be read, or it is not for us."""
    return _read(row.elements, row.terms, row.time_zone) if row.elements is not None else None


@lru_cache(maxsize=1024)
def _read(elements: str, terms: str | None, time_zone: str) -> Tariff | None:
    try:
        read = read_terms(parsed(terms))
    except TariffError:
        return None
    return Tariff(parsed(elements), read, time_zone) if read.type in FOR_ROAMING else None


def line(tariff: Tariff | None, *, wh: float, power_w: float, now: datetime) -> Line:
    """The line through the price of a charge of `wh` metered and of half of it, begun now."""
    whole = None if tariff is None else tariff.quote(wh=wh, power_w=power_w, at=now)
    half = None if tariff is None else tariff.quote(wh=wh / 2, power_w=power_w, at=now)
    if tariff is None or whole is None or half is None or wh < 1:
        return ASSUMED
    per_kwh = max(0.0, (whole - half) / (wh / 2) * 1000)
    return Line(per_kwh, max(0.0, whole - per_kwh * wh / 1000), _bands(tariff, power_w, now))


def _bands(tariff: Tariff, power_w: float, now: datetime) -> tuple[tuple[float, float], ...]:
    """From now on where the price depends on the clock; () where it does not."""
    cuts = [now, *sorted(_cuts(tariff, now))]
    prices = [_per_kwh(tariff, power_w, at) for at in cuts]
    known = [price for price in prices if price is not None]
    if len(set(known)) < 2 or len(known) < len(cuts):
        return ()
    return tuple(((at - now).total_seconds(), price) for at, price in zip(cuts, known, strict=True))


def _per_kwh(tariff: Tariff, power_w: float, at: datetime) -> float | None:
    twice, once = (tariff.quote(wh=wh, power_w=power_w, at=at) for wh in (2 * PROBE_WH, PROBE_WH))
    return None if twice is None or once is None else float(max(0, twice - once)) * 1000 / PROBE_WH


def _cuts(tariff: Tariff, now: datetime) -> Iterable[datetime]:
    """The instants within a day at which another element of the tariff comes into force."""
    try:
        elements = rating.prepare(tariff.elements).for_sessions().elements
    except TariffError:
        return ()
    clocks = {clock for element in elements for clock in element.clock_cuts}
    today = now.astimezone(zone_of(tariff.time_zone))
    instants = [
        datetime.combine(today.date() + timedelta(days=day), clock, today.tzinfo) for clock in clocks for day in (0, 1)
    ]
    return [at for at in instants if now < at <= now + AHEAD]
