"""Indian bills as a CSV: a row per bill, checked as a whole before anything is kept."""

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db import transaction

from billing.utility import allocation as a
from billing.utility.bills import record_bill
from billing.utility.clock import ALL_DAY, slots_of
from billing.utility.facts import BadBill, BillFacts, ChargeFacts, flaws, paise, watt_hours
from billing.utility.models import UtilityBill, UtilitySupply
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict

FIRST = ("consumer_number", "bill_number", "from", "to", "due", "recorded_kva", "billing_kva")
PLAIN = (a.DEMAND, a.PENALTY, a.FIXED, a.FUEL, a.POWER_FACTOR, a.DUTY, a.LATE, a.OTHER, a.ARREARS)
MOST_ROWS, MOST_COLUMNS = 5_000, 60


@dataclass(frozen=True)
class Rejected:
    line: int
    column: str
    value: str
    why: str


@dataclass
class Report:
    """`bills`: what was taken, or would be. Nothing is, once anything is rejected."""

    bills: list[tuple[int, BillFacts, bool]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def total_paise(self) -> int:
        return sum(facts.charges_paise + facts.arrears_paise for _, facts, _ in self.bills)


def columns_of(supply: UtilitySupply) -> list[str]:
    """The header for this supply's bills."""
    names = list(dict.fromkeys(slot.name for slot in slots_of(supply.slots)))
    return [*FIRST, *(f"{what} {name}" for name in names for what in ("kwh", "kvah", "energy")), *PLAIN]


def take(
    *, lines: Iterable[str], supplies: Iterable[UtilitySupply], actor: User | None, now: datetime, is_trial: bool
) -> Report:
    """Read a sheet; with `is_trial`, or when a row is rejected, nothing is kept and the report is all there is."""
    report = Report()
    by_number = {supply.consumer_number: supply for supply in supplies}
    try:
        rows = csv.DictReader(lines, strict=True)
        header = [(name or "").strip() for name in rows.fieldnames or []]
        if not _is_fit(header, report):
            return report
        with transaction.atomic():
            for count, row in enumerate(rows, start=1):
                if count > MOST_ROWS:
                    report.rejected.append(Rejected(rows.line_num, "", "", f"more than {MOST_ROWS} rows"))
                    break
                plain = {(key or "").strip(): value for key, value in row.items() if isinstance(value, str)}
                _one(rows.line_num, plain, by_number, actor, now, report)
            transaction.set_rollback(is_trial or bool(report.rejected))
    except (csv.Error, UnicodeDecodeError) as error:
        report.rejected.append(Rejected(0, "", "", f"is no CSV: {error}"))
    return report


def _is_fit(header: list[str], report: Report) -> bool:
    missing = [name for name in ("consumer_number", "bill_number", "from", "to") if name not in header]
    report.rejected += [Rejected(1, name, "", "this column is missing") for name in missing]
    known = {*FIRST, *PLAIN}
    report.rejected += [
        Rejected(1, name, "", "nobody knows this column")
        for name in header[:MOST_COLUMNS]
        if name not in known and name.partition(" ")[0] not in {"kwh", "kvah", "energy"}
    ]
    if len(header) > MOST_COLUMNS or len(set(header)) < len(header):
        report.rejected.append(Rejected(1, "", "", "too many columns, or one of them twice"))
    return not report.rejected


def _one(
    line: int, row: Mapping[str, str], supplies: Mapping[str, UtilitySupply], actor: User | None, now: datetime,
    report: Report,
) -> None:  # fmt: skip
    reader = _Reader(line, row)
    supply = supplies.get(reader.text("consumer_number"))
    if supply is None:
        reader.reject("consumer_number", "no supply of yours has this number")
    facts = reader.facts()
    if supply is not None and not reader.rejected and facts is not None:
        names = [slot.name for slot in slots_of(supply.slots)]
        for flaw in flaws(facts, names):
            reader.reject(flaw.column, str(flaw))
        if not reader.rejected:
            try:
                _, is_new = record_bill(
                    supply_id=supply.pk, facts=facts, origin=UtilityBill.Origin.CSV, actor=actor, now=now
                )
                report.bills.append((line, facts, is_new))
            except (BadBill, Conflict) as error:
                reader.reject("bill_number", str(getattr(error, "detail", error)))
    report.rejected += reader.rejected


class _Reader:
    """Reads the cells of one row and remembers what was wrong with each."""

    def __init__(self, line: int, row: Mapping[str, str]) -> None:
        self.line, self.row = line, row
        self.rejected: list[Rejected] = []

    def reject(self, column: str, why: str) -> None:
        self.rejected.append(Rejected(self.line, column, (self.row.get(column) or "")[:40], why))

    def text(self, column: str) -> str:
        return (self.row.get(column) or "").strip()

    def day(self, column: str) -> date | None:
        try:
            return datetime.strptime(self.text(column), "%Y-%m-%d").date() if self.text(column) else None
        except ValueError:
            self.reject(column, "is no date like 2026-11-30")
            return None

    def number(self, column: str, read: Callable[[str], int]) -> int | None:
        if not self.text(column):
            return None
        try:
            return read(self.text(column))
        except ValueError as error:
            self.reject(column, str(error))
            return None

    def facts(self) -> BillFacts | None:
        starts_on, ends_on, due_on = self.day("from"), self.day("to"), self.day("due")
        charges = [*self._energy(), *self._plain()]
        if not (starts_on and ends_on):
            if not (self.text("from") and self.text("to")):
                self.reject("from", "needs both days of its period")
            return None
        recorded, billing = self.number("recorded_kva", watt_hours), self.number("billing_kva", watt_hours)
        return BillFacts(
            self.text("bill_number"), starts_on, ends_on, tuple(charges), due_on, recorded or 0, billing or 0
        )

    def _energy(self) -> Iterable[ChargeFacts]:
        slots = [name.partition(" ")[2] for name in self.row if name.startswith("energy ")]
        for slot in slots:
            amount = self.number(f"energy {slot}", paise)
            energy, apparent = self.number(f"kwh {slot}", watt_hours), self.number(f"kvah {slot}", watt_hours)
            if amount is not None or energy is not None:
                name = "" if slot == ALL_DAY else slot
                yield ChargeFacts(a.ENERGY, amount or 0, name, energy, apparent)

    def _plain(self) -> Iterable[ChargeFacts]:
        for kind in PLAIN:
            amount = self.number(kind, paise)
            if amount:
                yield ChargeFacts(kind, amount)
