"""From a CDR to money: price it once by its pinned tariff, capture the hold, post the charge."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing import rating
from billing.cdr_periods import Told, read_periods
from billing.events import CDRCaptured
from billing.gst.supply import Supply
from billing.invoicing.services.place_of_supply import supply_of_session
from billing.models import CDR, BillingException, ChargingSession
from billing.prices.price import Price, of_plan, of_rate, of_tariff
from billing.prices.services import allowances
from billing.rating import Period, Rating, Reserved, TariffError
from billing.services import energy, tariffs, wallets
from billing.services.exceptions import open_exception
from billing.services.gst_rates import percent_at
from billing.services.ledger import Dimensions
from billing.services.wallets import Charge, hold_key
from billing.tariff_terms import read_terms
from billing.totals import Tax
from fleetcharge.lib.events import publish
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Connector, Source

logger = logging.getLogger(__name__)
Samples = Sequence[tuple[datetime, int | None, int | None]]
"""As `energy.samples_of`."""


@transaction.atomic
def rate_and_capture(*, cdr_id: int, now: datetime | None = None) -> bool:
    """Price, charge and close one CDR; False when it is done, blocked or cannot be priced. May run twice.

    A missing or unusable tariff blocks the CDR and opens an exception: nothing is ever priced as 0 by accident.
    """
    now = now or timezone.now()
    cdr = _claim(cdr_id)
    if cdr is None:
        return False
    try:
        price = pin(cdr, is_locked=True)
        rated = price_of(cdr, price)
    except TariffError as error:
        _block(cdr, str(error), now)
        return False
    if cdr.rated_at is None:
        cdr.captured_at = now  # in one update; should the capture fail, all of it is undone
        write(cdr, rated, now)
        cdr.save()
        if price.subscribed is not None:
            allowances.use(subscribed=price.subscribed, cdr=cdr, wh=cdr.included_wh)
    else:
        CDR.objects.filter(pk=cdr.pk, captured_at=None).update(captured_at=now)
    captured = wallets.capture(  # the wallet, which everybody wants, last
        organisation_id=cdr.organisation_id,
        session_key=hold_key(cdr.session_id),
        entry_key=f"charge:{cdr.session_id}",
        charges=charges_of(cdr),
        about=dimensions_of(cdr.session),
        at=cdr.ended_at,
        now=now,
        currency=cdr.currency,
        energy_wh=cdr.energy_wh,
        is_written=True,
    )
    publish(captured_event(cdr, captured.receivable_paise))
    return True


def captured_event(cdr: CDR, receivable_paise: int = 0) -> CDRCaptured:
    """What is told of a record that is charged now."""
    return CDRCaptured(
        cdr.pk, cdr.session_id, cdr.organisation_id, cdr.total_paise or 0, receivable_paise,
        is_of_a_network=cdr.roaming_cdr_id is not None,
    )  # fmt: skip


def rate_cdr(cdr: CDR) -> Rating | None:
    """What the CDR costs by its pinned price, without storing anything; None when it cannot be priced."""
    try:
        return price_of(cdr, pin(cdr))
    except TariffError:
        return None


def explain(rated: Rating, *, gst_percent: int | Fraction) -> list[dict[str, Any]]:
    """One line per priced component and tax head, as stored on the CDR and shown to everybody."""
    lines: list[dict[str, Any]] = [
        {
            "dimension": line.dimension,
            "element": line.element,
            "quantity": f"{float(line.quantity):.3f}",
            "unit": line.unit,
            "unit_price_paise": str(line.unit_price_paise.limit_denominator(10_000)),
            "amount_paise": line.amount_paise,
            **({} if line.vat_percent is None else {"vat_percent": f"{float(line.vat_percent):g}"}),
        }
        for line in rated.lines
    ]
    heads = (("CGST", rated.tax.cgst_paise), ("SGST", rated.tax.sgst_paise), ("IGST", rated.tax.igst_paise))
    told = {line.vat_percent for line in rated.lines} - {None}
    usual = float(told.pop() or 0) if len(told) == 1 else float(gst_percent)
    for name, amount in heads:
        if amount:
            percent = usual if name == "IGST" else usual / 2
            lines.append({"dimension": name, "quantity": f"{percent:g}", "unit": "%", "amount_paise": amount})
    return lines


def _claim(cdr_id: int) -> CDR | None:
    """Lock the row unless another worker has it (SKIP LOCKED) or it is finished.

    In two statements of few tables: planning one of fourteen costs twenty times what running it does.
    """
    related = ("organisation", "session__source", "session__vehicle", "session__driver")
    rows = CDR.objects.uncaptured().filter(pk=cdr_id).select_related(*related)
    cdr = rows.select_for_update(of=("self",), skip_locked=True).first()
    if cdr is not None:
        session = cdr.session
        session.connector = Connector.objects.select_related("tariff", "evse__location").get(pk=session.connector_id)
        if session.organisation_id == cdr.organisation_id:
            session.organisation = cdr.organisation
    return cdr


def pin(cdr: CDR, *, is_locked: bool = False) -> Price:
    """What the CDR is priced by: what it is pinned to, else what holds at its start, written on it (not saved).

    `is_locked`: nobody else uses included energy before this transaction is over. Raises TariffError without a price.
    """
    if cdr.rated_at is not None:
        return _pinned(cdr)
    price = tariffs.price_for(
        connector=cdr.session.connector, at=cdr.started_at, organisation_id=cdr.organisation_id, tariff=cdr.tariff
    )
    if price is None:
        raise TariffError("no tariff is known for this connector at that time")
    cdr.tariff, cdr.negotiated_rate, cdr.plan_version = price.tariff or cdr.tariff, price.rate, price.plan_version
    cdr.included_wh = 0
    if price.subscribed is not None:
        left = allowances.left_wh(price.subscribed, vehicle_id=cdr.session.vehicle_id, is_locked=is_locked)
        cdr.included_wh = min(left, cdr.energy_wh)
    return price


def _pinned(cdr: CDR) -> Price:
    price = None
    if cdr.negotiated_rate is not None:
        price = of_rate(cdr.negotiated_rate)
    elif cdr.plan_version is not None:
        price = of_plan(cdr.plan_version, None, cdr.tariff)
    elif cdr.tariff is not None:
        price = of_tariff(cdr.tariff)
    if price is None:
        raise TariffError("the price that it was pinned to is gone")
    return price


def price_of(cdr: CDR, price: Price, *, supply: Supply | None = None, samples: Samples | None = None) -> Rating:
    """What the CDR costs by that price. `supply`, `samples`: where they are known already. Raises TariffError."""
    session = cdr.session
    if price.currency != cdr.currency:
        raise TariffError(f"the tariff is in {price.currency}, the wallet in {cdr.currency}")
    elements = price.including(cdr.included_wh)
    periods, reserved = _periods(cdr, elements, samples)
    supply = supply or supply_of_session(session)
    rated = rating.rate(
        elements=elements,
        periods=periods,
        started_at=cdr.started_at,
        tz=tariffs.zone_of(session.connector.evse.location.time_zone),
        gst_percent=percent_at(cdr.started_at),
        is_interstate=supply.is_interstate,
        terms=read_terms(price.terms),
        reserved=reserved,
    )
    return replace(rated, tax=Tax()) if supply.is_zero_rated else rated


def _periods(cdr: CDR, elements: list[dict[str, Any]], samples: Samples | None) -> tuple[list[Period], Reserved | None]:
    """A network's own periods where they add up; our meter series where the moment counts; else evenly spread."""
    even = rating.even_periods(energy_wh=cdr.energy_wh, charging_s=cdr.charging_seconds, idle_s=cdr.idle_seconds)
    if cdr.roaming_cdr is not None:
        told = told_periods(cdr.roaming_cdr)
        return (even if told.problems else told.periods), told.reserved
    if not rating.is_time_dependent(elements):
        return even, None
    return (_metered_periods(cdr, energy.samples_of(cdr.session) if samples is None else samples) or even), None


def told_periods(told: RoamingCDR) -> Told:
    """The charging periods of a network's record; raises TariffError when they hold unusable numbers."""
    return read_periods(
        told.periods, started_at=told.started_at, ended_at=told.ended_at or told.source_updated_at,
        energy_wh=told.energy_wh, charging_seconds=max(0, told.total_seconds - told.parking_seconds),
        idle_seconds=told.parking_seconds,
    )  # fmt: skip


def _metered_periods(cdr: CDR, samples: Samples) -> list[Period]:
    """Register steps as periods; they add up to the CDR's energy and time exactly, or are not used."""
    start_wh = cdr.session.meter_start_wh
    points: list[tuple[int, int]] = []
    for at, register_wh, _ in samples:
        offset_s = int((at - cdr.started_at).total_seconds())
        if register_wh is None or start_wh is None or not 0 < offset_s < cdr.charging_seconds:
            continue
        drawn_wh = register_wh - start_wh
        last_offset_s, last_wh = points[-1] if points else (0, 0)
        if offset_s > last_offset_s and last_wh <= drawn_wh <= cdr.energy_wh:
            points.append((offset_s, drawn_wh))
    if not points:
        return []
    marks = [(0, 0), *points, (cdr.charging_seconds, cdr.energy_wh)]
    periods = [Period(to_s - from_s, to_wh - from_wh) for (from_s, from_wh), (to_s, to_wh) in pairwise(marks)]
    return [*periods, Period(cdr.idle_seconds, 0, is_parking=True)] if cdr.idle_seconds else periods


def write(cdr: CDR, rated: Rating, now: datetime) -> None:
    """The price with every line of it, on the record (not saved)."""
    cdr.taxable_paise, cdr.tax_paise, cdr.total_paise = rated.taxable_paise, rated.tax.total_paise, rated.total_paise
    cdr.cgst_paise, cdr.sgst_paise, cdr.igst_paise = rated.tax.cgst_paise, rated.tax.sgst_paise, rated.tax.igst_paise
    cdr.explanation = explain(rated, gst_percent=percent_at(cdr.started_at))
    cdr.rated_at = now


def charges_of(cdr: CDR) -> list[Charge]:
    """Our own chargers earn revenue and owe GST; a network's session is owed to its CPO, tax included."""
    source = cdr.session.source
    if source.kind != Source.Kind.OWN_OCPP:
        parts = [(f"cpo_payable:{source.slug}", cdr.total_paise or 0)]
    else:
        parts = [
            ("revenue:charging", cdr.taxable_paise or 0),
            ("output_cgst", cdr.cgst_paise),
            ("output_sgst", cdr.sgst_paise),
            ("output_igst", cdr.igst_paise),
        ]
    memo = f"Session {cdr.session.transaction_ref}"
    return [Charge(account, amount, "charge", memo) for account, amount in parts if amount]


def dimensions_of(session: ChargingSession) -> Dimensions:
    """What a posting of this session is about; reads vehicle, driver and connector__evse."""
    return Dimensions(
        organisation_id=session.organisation_id,
        session_id=session.pk,
        vehicle_id=session.vehicle_id,
        driver_ref=session.driver.driver_ref if session.driver else None,
        location_id=session.connector.evse.location_id,
        cost_centre=session.vehicle.cost_centre if session.vehicle else "",
    )


def _block(cdr: CDR, why: str, now: datetime) -> None:
    CDR.objects.filter(pk=cdr.pk).update(is_blocked=True)
    open_exception(
        organisation_id=cdr.organisation_id,
        kind=BillingException.Kind.MISSING_TARIFF,
        session_id=cdr.session_id,
        title="The session cannot be priced",
        details={"why": why, "connector_id": cdr.session.connector_id},
        at=now,
    )
