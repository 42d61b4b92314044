"""What a fleet spent on charging in a period, summed from the journal by one dimension. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import connection

from billing.expenses import distances
from billing.expenses.distances import Distance
from billing.services.ledger import receivable_code, wallet_code
from stations.models import Location
from vehicles.models import Driver, Vehicle

SHORTEST_M = 1_000
"""Rupees per km of less say nothing."""


class By(StrEnum):
    VEHICLE = "vehicle"
    DRIVER = "driver"
    SITE = "site"
    COST_CENTRE = "cost_centre"


@dataclass(frozen=True)
class Expense:
    """One line, in paise including GST. `key` is None (or "" of a cost centre) for what has no such dimension.

    `charging_paise` went out of the wallet or is owed, corrections counted; `electricity_paise` is its own
    bills.
    `distance_m` is None where it means nothing (driver, site) or nobody knows it. Of a cost centre it is that of its
    vehicles which have one; `vehicles_without_distance` of those that spent have none, and are not in `paise_per_km`.
    """

    key: int | str | None
    name: str
    sessions: int
    energy_wh: int
    charging_paise: int
    electricity_paise: int
    distance_m: int | None
    distance_source: str
    vehicles_without_distance: int
    paise_per_km: int | None

    @property
    def total_paise(self) -> int:
        return self.charging_paise + self.electricity_paise

    @property
    def paise_per_kwh(self) -> int | None:
        """Of what was charged; rounded half up."""
        return per_unit(self.charging_paise, self.energy_wh)


_COLUMNS = {
    By.VEHICLE: "t.vehicle_id", By.DRIVER: "t.driver_ref", By.SITE: "t.location_id", By.COST_CENTRE: "t.cost_centre",
}  # fmt: skip
_EXPENSES = """
SELECT {column}, {vehicle}, count(DISTINCT t.session_id) FILTER (WHERE t.session_id IS NOT NULL),
       COALESCE(sum(c.energy_wh) FILTER (WHERE t.kind = 'charge' AND t.leg = 1), 0)::bigint,
       COALESCE(sum(t.amount_paise * side.sign) FILTER (WHERE side.is_ours), 0)::bigint,
       COALESCE(sum(t.amount_paise * side.sign) FILTER (WHERE NOT side.is_ours), 0)::bigint
FROM billing_ledgertransfer t
CROSS JOIN LATERAL (
    SELECT CASE WHEN a.id = t.debit_id THEN 1 ELSE -1 END AS sign, a.code <> %(electricity)s AS is_ours
    FROM billing_ledgeraccount a WHERE a.id IN (t.debit_id, t.credit_id)
      AND (a.code = %(electricity)s OR a.code = ANY(%(ours)s) AND t.session_id IS NOT NULL)
) side
LEFT JOIN billing_cdr c ON c.session_id = t.session_id
WHERE t.organisation_id = %(organisation)s AND t.occurred_at >= %(since)s AND t.occurred_at < %(until)s
GROUP BY 1, 2
"""


def expenses(*, organisation_id: int, by: By, since: datetime, until: datetime) -> list[Expense]:
    """The dearest first. At most four queries: sums, distances by odometer and by track, names."""
    needs_vehicles = by in {By.VEHICLE, By.COST_CENTRE}
    statement = _EXPENSES.format(column=_COLUMNS[by], vehicle="t.vehicle_id" if needs_vehicles else "NULL::bigint")
    values: dict[str, Any] = {
        "organisation": organisation_id, "since": since, "until": until,
        "electricity": f"electricity:{organisation_id}",
        "ours": [wallet_code(organisation_id), receivable_code(organisation_id)],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = cursor.fetchall()
    vehicles = sorted({row[1] for row in found if row[1] is not None})
    known = distances.of_vehicles(vehicles, since, until) if vehicles else {}
    groups: dict[Any, list[Sequence[Any]]] = {}
    for row in found:
        groups.setdefault(row[0], []).append(row)
    names = _names(by, list(groups), organisation_id)
    lines = [_line(key, names.get(key, ""), rows, known) for key, rows in groups.items()]
    return sorted(lines, key=lambda line: (-line.total_paise, line.name))


def _line(key: Any, name: str, rows: Sequence[Sequence[Any]], known: Mapping[int, Distance]) -> Expense:
    spent = {row[1]: row[4] + row[5] for row in rows if row[1] is not None}
    measured = {pk: known[pk] for pk in spent if pk in known}
    metres = sum(each.metres for each in measured.values()) if measured else None
    sources = {each.source for each in measured.values()}
    return Expense(
        key=key if isinstance(key, int | str) or key is None else str(key), name=name,
        sessions=sum(row[2] for row in rows), energy_wh=sum(row[3] for row in rows),
        charging_paise=sum(row[4] for row in rows), electricity_paise=sum(row[5] for row in rows),
        distance_m=metres, distance_source="+".join(sorted(sources)),
        vehicles_without_distance=len(spent) - len(measured),
        paise_per_km=per_km(sum(spent[pk] for pk in measured), metres),
    )  # fmt: skip


def per_km(paise: int, metres: int | None) -> int | None:
    return per_unit(paise, metres) if metres is not None and metres >= SHORTEST_M else None


def per_unit(paise: int, thousandths: int) -> int | None:
    """Paise per km of metres, per kWh of Wh; rounded half up, None of nothing."""
    return (2 * paise * 1000 + thousandths) // (2 * thousandths) if thousandths > 0 else None


def _names(by: By, keys: Sequence[Any], organisation_id: int) -> dict[Any, str]:
    wanted = [key for key in keys if key is not None]
    if by is By.COST_CENTRE:
        return {key: key for key in wanted}
    if by is By.VEHICLE:
        rows: Any = Vehicle.objects.filter(pk__in=wanted).values_list("pk", "registration")
    elif by is By.SITE:
        rows = Location.objects.filter(pk__in=wanted).values_list("pk", "name")
    else:
        drivers = Driver.objects.filter(driver_ref__in=wanted, organisation_id=organisation_id)
        return dict(drivers.values_list("driver_ref", "name"))
    return dict(rows)
