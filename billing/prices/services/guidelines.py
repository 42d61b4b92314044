"""India's guideline: a tariff made by it, and which tariffs are above it; by the benchmarks that hold on the day."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from billing.prices import ceilings
from billing.prices.ceilings import ABOVE, UNKNOWN, WITHIN, Ceiling, Excess
from billing.prices.elements import Guideline, by_guideline
from billing.prices.models import PriceBenchmark
from billing.tariff_elements import TariffError
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from stations.models import Source, Tariff
from stations.services import tariffs

Name = PriceBenchmark.Name


class MissingBenchmark(LookupError):
    """No row says what holds there on that day: nothing is priced by a guess."""


class Benchmarks:
    """All that hold on one day, read once; a state's own before the country's."""

    def __init__(self, on: date) -> None:
        rows = PriceBenchmark.objects.filter(valid_from__lte=on).filter(Q(valid_to=None) | Q(valid_to__gte=on))
        self.on = on
        self._values = {(row.name, row.state.strip().lower()): row.value for row in rows.order_by("valid_from")}

    def value(self, name: str, state: str) -> str:
        """Raises MissingBenchmark."""
        found = self._values.get((name, state.strip().lower())) or self._values.get((name, ""))
        if found is None:
            raise MissingBenchmark(f"No benchmark {name!r} holds in {state or 'the country'} on {self.on}.")
        return found

    def guideline(self, state: str) -> Guideline:
        return Guideline(
            Decimal(self.value(Name.ACOS, state)), Decimal(self.value(Name.SOLAR_FACTOR, state)),
            Decimal(self.value(Name.OTHER_FACTOR, state)), self.value(Name.SOLAR_FROM, state),
            self.value(Name.SOLAR_UNTIL, state),
        )  # fmt: skip

    def ceiling(self, state: str, *, is_dc: bool) -> Ceiling:
        solar, other = (
            (Name.SERVICE_DC_SOLAR, Name.SERVICE_DC_OTHER) if is_dc else (Name.SERVICE_AC_SOLAR, Name.SERVICE_AC_OTHER)
        )
        return Ceiling(self.guideline(state), Decimal(self.value(solar, state)), Decimal(self.value(other, state)))


@dataclass(frozen=True)
class Judgement:
    """`verdict` is within, above or unknown; `why` says what is missing."""

    verdict: str
    excesses: list[Excess] = field(default_factory=list)
    why: str = ""


def judge(tariff: Tariff, *, places: Iterable[tuple[str, bool]], benchmarks: Benchmarks) -> Judgement:
    """`places`: (state, is it DC) of the plugs that are priced by it. The strictest place counts. No query."""
    found: list[Excess] = []
    told = list(dict.fromkeys(places))
    if not told:
        return Judgement(UNKNOWN, why="no plug is priced by it")
    try:
        for state, is_dc in told:
            found += ceilings.excesses(tariff.elements, benchmarks.ceiling(state, is_dc=is_dc), on=benchmarks.on)
    except (MissingBenchmark, TariffError, ArithmeticError) as error:
        return Judgement(UNKNOWN, why=str(error))
    return Judgement(ABOVE if found else WITHIN, list(dict.fromkeys(found)))


@transaction.atomic
def make_tariff(
    *, source_id: int, external_id: str, name: str, state: str, service_solar: Decimal, service_other: Decimal,
    at: datetime, on: date, actor: User | None = None, reason: str = "", location_ids: Iterable[int] = (),
) -> Tariff:  # fmt: skip
    """A tariff of one of our networks by the guideline of that day; the same again changes nothing.

    Raises MissingBenchmark, or ValueError for a service charge below zero or a network of others.
    """
    source = Source.objects.select_related("organisation").get(pk=source_id)
    if service_solar < 0 or service_other < 0 or source.kind != Source.Kind.OWN_OCPP:
        raise ValueError("Only our own chargers are priced here, and no service charge is below zero.")
    elements = by_guideline(Benchmarks(on).guideline(state), service_solar=service_solar, service_other=service_other)
    tariff, is_new = tariffs.cache_tariff(
        source=source, external_id=external_id, elements=elements, currency="INR", at=at, name=name
    )
    tariffs.assign_tariff(tariff_id=tariff.pk, location_ids=location_ids)
    if is_new:
        audit(
            action="tariff.set", target=tariff, actor=actor, reason=reason, organisation=source.organisation,
            after={"version": tariff.version, "elements": tariff.elements, "state": state},
        )  # fmt: skip
    return tariff
