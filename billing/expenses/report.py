"""What a fleet spent on charging in a period, summed from the journal by one dimension. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import connection
from django.utils.translation import gettext_lazy as _

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
    bills. `energy_wh` is what was drawn, also where a subscription includes it.
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


FEE = _("Subscription")

_COLUMNS = {
    By.VEHICLE: "vehicle_id", By.DRIVER: "driver_ref", By.SITE: "location_id", By.COST_CENTRE: "cost_centre",
}  # fmt: skip
# Money is of the journal. Energy is of the records, as they were corrected last: what is included in a subscription
# moves no money. A record is where its charge was booked, else where its session belongs.
_EXPENSES = """
WITH moved AS (
    SELECT t.vehicle_id, t.driver_ref, t.location_id, t.cost_centre, t.session_id, 0::bigint AS wh,
           t.amount_paise * side.sign AS paise, side.is_ours, t.session_id IS NULL AND side.is_ours AS is_fee
    FROM billing_ledgertransfer t
    CROSS JOIN LATERAL (
        SELECT CASE WHEN a.id = t.debit_id THEN 1 ELSE -1 END AS sign, a.code <> %(electricity)s AS is_ours
        FROM billing_ledgeraccount a WHERE a.id IN (t.debit_id, t.credit_id)
          AND (a.code = %(electricity)s
               OR a.code = ANY(%(ours)s) AND (t.session_id IS NOT NULL OR t.kind = 'subscription'))
    ) side
    WHERE t.organisation_id = %(organisation)s AND t.occurred_at >= %(since)s AND t.occurred_at < %(until)s
    UNION ALL
    SELECT CASE WHEN t.id IS NULL THEN s.vehicle_id ELSE t.vehicle_id END,
           CASE WHEN t.id IS NULL THEN d.driver_ref ELSE t.driver_ref END,
           CASE WHEN t.id IS NULL THEN e.location_id ELSE t.location_id END,
           COALESCE(t.cost_centre, v.cost_centre, ''), c.session_id,
           COALESCE((SELECT a.energy_wh FROM billing_cdradjustment a WHERE a.cdr_id = c.id
                     ORDER BY a.number DESC LIMIT 1), c.energy_wh), 0, true, false
    FROM billing_cdr c JOIN billing_chargingsession s ON s.id = c.session_id
    JOIN stations_connector p ON p.id = s.connector_id JOIN stations_evse e ON e.id = p.evse_id
    LEFT JOIN vehicles_vehicle v ON v.id = s.vehicle_id LEFT JOIN vehicles_driver d ON d.id = s.driver_id
    LEFT JOIN billing_ledgertransfer t
      ON t.entry_key = 'charge:' || c.session_id AND t.leg = 1 AND t.organisation_id = c.organisation_id
    WHERE c.organisation_id = %(organisation)s AND c.captured_at IS NOT NULL
      AND c.ended_at >= %(since)s AND c.ended_at < %(until)s
)
SELECT {column}, {vehicle}, count(DISTINCT session_id), sum(wh)::bigint,
       COALESCE(sum(paise) FILTER (WHERE is_ours), 0)::bigint,
       COALESCE(sum(paise) FILTER (WHERE NOT is_ours), 0)::bigint, is_fee
FROM moved GROUP BY 1, 2, is_fee
"""


def expenses(*, organisation_id: int, by: By, since: datetime, until: datetime) -> list[Expense]:
    """The dearest first; the fee of a subscription, which is no vehicle's, is a line of its own.

    At most four queries: sums, distances by odometer and by track, names.
    """
    needs_vehicles = by in {By.VEHICLE, By.COST_CENTRE}
    statement = _EXPENSES.format(column=_COLUMNS[by], vehicle="vehicle_id" if needs_vehicles else "NULL::bigint")
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
        groups.setdefault((row[0], row[6]), []).append(row)
    names = _names(by, [key for key, is_fee in groups if not is_fee], organisation_id)
    lines = [
        _line(key, str(FEE) if is_fee else names.get(key, ""), rows, known) for (key, is_fee), rows in groups.items()
    ]
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
