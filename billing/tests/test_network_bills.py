"""A network's bill beside its own records and our meters: what agrees, what does not and why, nothing taken twice."""

from datetime import date, timedelta
from typing import Any

import pytest

from billing.cpo_bills import uploads, working
from billing.cpo_bills.reading import Flaw, Layout, Line, read
from billing.models import BillingException, BillUpload, NetworkBill, NetworkBillRow
from billing.tests import test_roaming
from billing.tests.test_credits import CREDIT, SMALLER
from billing.tests.test_roaming import NOW, bill, hear, price
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from stations.cpo.ocpi.models import RoamingCDR
from stations.models import Source

source = test_roaming.source
COLUMNS = {"reference": "CDR", "started_at": "Start", "energy": "kWh", "total": "Rs"}
LAYOUT = Layout(COLUMNS)


def csv_of(*lines: str) -> bytes:
    return "\n".join(["CDR,Start,kWh,Rs", *lines]).encode()


def paise(told: RoamingCDR) -> int:
    return round((told.total_after_taxes or told.total_before_taxes or 0) * 100)


def line(told: RoamingCDR, *, name: str = "", more_paise: int = 0, more_wh: int = 0) -> str:
    start = (told.started_at + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%d %H:%M:%S")
    amount = (paise(told) + more_paise) / 100
    return f"{name or told.key},{start},{(told.energy_wh + more_wh) / 1000},{amount:.2f}"


@pytest.fixture
def records(source: Source) -> list[RoamingCDR]:
    for number in ("C1", "C2", "C3", "C4"):
        bill(source, number, session_id=f"S-{number}")
    return list(RoamingCDR.objects.order_by("key"))


def take(
    organisation: Organisation, source: Source, content: bytes, actor: User | None = None, **fields: Any
) -> BillUpload:
    values: dict[str, Any] = {
        "number": "B-1", "starts_on": date(2026, 11, 1), "ends_on": date(2026, 11, 30), "layout": LAYOUT, "at": NOW,
        "file_name": "bill.csv", "is_trial": False, "skips_problems": False,
    }  # fmt: skip
    return uploads.run(organisation=organisation, source=source, content=content, actor=actor, **{**values, **fields})


def test_every_line_is_found_and_what_differs_is_asked(
    organisation: Organisation, source: Source, records: list[RoamingCDR], finance: User
) -> None:
    by_key, by_session, dearer, _ = records
    content = csv_of(
        line(by_key), line(by_session, name=by_session.session_ref), line(dearer, more_paise=100), line(by_key),
        "NOBODY,,,12.50",
    )  # fmt: skip
    done = take(organisation, source, content, finance)
    assert done.outcomes == {
        "agrees": 2, "amount_differs": 1, "billed_twice": 1, "unknown_to_us": 1, "missing": 1,
    }  # fmt: skip
    asked = BillingException.objects.filter(kind="cpo_bill").order_by("amount_paise")
    assert [(each.details["line"], each.amount_paise, each.owner) for each in asked] == [
        (4, 100, finance), (6, 1_250, finance), (5, paise(by_key), finance),
    ]  # fmt: skip
    missing = NetworkBillRow.objects.get(outcome="missing")
    assert (missing.roaming_cdr, missing.difference_paise) == (records[3], -paise(records[3]))
    assert AuditEntry.objects.get(action="network_bill.import").actor == finance


def test_a_line_without_an_id_of_the_network_is_found_by_start_and_energy(
    organisation: Organisation, source: Source, records: list[RoamingCDR]
) -> None:
    other = RoamingCDR.objects.exclude(pk=records[0].pk)
    assert other.filter(started_at=records[0].started_at).exists()  # so that it is not the only one: not guessed
    done = take(organisation, source, csv_of(line(records[0], name="INV-77")))
    assert done.outcomes["unknown_to_us"] == 1
    bill(source, "C9", start_date_time="2026-11-20T02:00:00Z")
    told = RoamingCDR.objects.get(key__endswith="C9")
    done = take(organisation, source, csv_of(line(told, name="INV-78")), number="B-2")
    assert NetworkBillRow.objects.get(bill=done.bill, line=2).roaming_cdr == told


def test_energy_is_compared_with_the_record_and_the_record_with_the_meter(
    organisation: Organisation, source: Source
) -> None:
    hear(source, kwh=15.0, status="COMPLETED", end_date_time="2026-11-21T06:30:00Z")
    bill(source, "C1")  # of that session, and 20 kWh by the record
    bill(source, "C2", session_id="S-OTHER")
    metered, plain = RoamingCDR.objects.order_by("key")
    done = take(organisation, source, csv_of(line(metered), line(plain, more_wh=500)))
    assert done.outcomes == {"meter_differs": 1, "energy_differs": 1}
    assert NetworkBillRow.objects.get(line=2).meter_wh == 15_000


def test_a_dry_run_tells_everything_and_leaves_nothing(
    organisation: Organisation, source: Source, records: list[RoamingCDR]
) -> None:
    content = csv_of(line(records[0]), "C2,yesterday,1,1.00", "C3,,1,1.005")
    tried = take(organisation, source, content, is_trial=True)
    assert (tried.state, tried.lines, tried.outcomes["agrees"]) == ("tried", 1, 1)
    assert ([number for number, _ in tried.problems], tried.unusable) == ([3, 4], 2)
    assert not NetworkBill.objects.taken().exists() and not BillingException.objects.filter(kind="cpo_bill").exists()
    not_taken = take(organisation, source, content)
    assert (not_taken.state, not_taken.unusable, not_taken.error) == ("tried", 2, working.LEFT_OUT)
    assert not NetworkBill.objects.taken().exists()
    taken = take(organisation, source, content, skips_problems=True)
    assert taken.bill == NetworkBill.objects.taken().get()
    assert NetworkBillRow.objects.filter(bill=taken.bill, line__gt=0).count() == 1
    assert AuditEntry.objects.get(action="network_bill.import").after["left_out"] == 2


def test_a_bill_is_taken_once(organisation: Organisation, source: Source, records: list[RoamingCDR]) -> None:
    content = csv_of(line(records[0]))
    take(organisation, source, content)
    for other, number in ((content, "B-2"), (csv_of(line(records[1])), "B-1")):
        refused = take(organisation, source, other, number=number)
        assert (refused.state, refused.error) == ("refused", "This bill, or this file, was imported before.")
    again = take(organisation, source, csv_of(line(records[0]), ",,,"), number="B-3")
    assert again.outcomes["billed_twice"] == 1  # on another bill before


@pytest.fixture
def corrected(source: Source) -> dict[str, RoamingCDR]:
    """C1, its credit C1-C, and the fresh record C1-2 of half of it."""
    price(bill(source, "C1"))
    bill(source, "C1-C", **CREDIT)
    bill(source, "C1-2", **SMALLER)
    return {told.key.removeprefix("IN*VLT*"): told for told in RoamingCDR.objects.all()}


@pytest.mark.parametrize("is_by_session", [False, True])
def test_a_bill_that_names_record_credit_and_fresh_record_agrees(
    organisation: Organisation, source: Source, corrected: dict[str, RoamingCDR], is_by_session: bool
) -> None:
    lines = [line(told, name=told.session_ref if is_by_session else "") for told in corrected.values()]
    done = take(organisation, source, csv_of(*lines))
    assert done.outcomes == {"agrees": 3}
    assert done.bill is not None and (done.bill.total_paise, done.bill.asked_paise) == (23_010, 0)


@pytest.mark.parametrize("name", ["C1-2", "S1"])
def test_a_bill_that_names_the_fresh_record_alone_agrees(
    organisation: Organisation, source: Source, corrected: dict[str, RoamingCDR], name: str
) -> None:
    done = take(organisation, source, csv_of(line(corrected["C1-2"], name=name)))
    assert done.outcomes == {"agrees": 1}  # and neither the record that was taken back nor its credit is missing


def test_a_bill_that_asks_for_what_was_taken_back_is_asked_about_all_of_it(
    organisation: Organisation, source: Source, corrected: dict[str, RoamingCDR]
) -> None:
    done = take(organisation, source, csv_of(line(corrected["C1"])))
    assert done.outcomes == {"amount_differs": 1, "missing": 1}
    assert done.bill is not None and done.bill.asked_paise == 46_020
    assert NetworkBillRow.objects.get(outcome="missing").roaming_cdr == corrected["C1-2"]


def test_a_credit_that_the_network_leaves_off_its_bills_is_asked_for_once(
    organisation: Organisation, source: Source
) -> None:
    price(bill(source, "C1"))
    assert take(organisation, source, csv_of(line(RoamingCDR.objects.get()))).outcomes == {"agrees": 1}
    bill(source, "C1-C", **CREDIT)
    bill(source, "C1-2", **SMALLER)
    fresh = RoamingCDR.objects.get(key="IN*VLT*C1-2")
    done = take(organisation, source, csv_of(line(fresh)), number="B-2")
    assert done.outcomes == {"agrees": 1, "missing": 1}
    left_off = NetworkBillRow.objects.get(outcome="missing")
    assert left_off.roaming_cdr is not None and left_off.roaming_cdr.key == "IN*VLT*C1-C"
    assert done.bill is not None and (left_off.difference_paise, done.bill.asked_paise) == (46_020, 46_020)
    assert BillingException.objects.open().get(kind="cpo_bill").amount_paise == 46_020
    again = take(organisation, source, csv_of(line(fresh)), number="B-3", ends_on=date(2026, 11, 29))
    assert "missing" not in again.outcomes


def test_a_credit_that_was_held_against_the_bill_of_its_record_is_not_asked_for_again(
    organisation: Organisation, source: Source, corrected: dict[str, RoamingCDR]
) -> None:
    take(organisation, source, csv_of(line(corrected["C1"])))
    done = take(organisation, source, csv_of(line(corrected["C1-2"])), number="B-2")
    assert done.outcomes == {"agrees": 1}


def test_records_of_another_fleet_are_unknown(
    organisation: Organisation, stranger: User, source: Source, records: list[RoamingCDR]
) -> None:
    other = Organisation.objects.exclude(pk=organisation.pk).get()
    assert take(other, source, csv_of(line(records[0]))).outcomes == {"unknown_to_us": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [("A,,1,x", "amount is no number"), ("A,,1,0.001", "too fine"), (",,1,5", "no reference"),
     ("A,,-1,5", "below zero"),
     ("A,2026-13-01 00:00:00,1,5", "does not match"), ("A,,1,1e30", "too large"), ("A,,NaN,1", "energy")],
)  # fmt: skip
def test_a_bad_line_says_why(text: str, problem: str) -> None:
    (flaw,) = read(csv_of(text).decode().splitlines(), LAYOUT)
    assert isinstance(flaw, Flaw) and problem in flaw.why


def test_figures_are_read_as_people_write_them() -> None:
    layout = Layout(COLUMNS, date_format="%d/%m/%Y %H:%M", is_energy_in_wh=True, separator=";")
    (only,) = read(["CDR;Start;kWh;Rs", "A;21/11/2026 11:30;1,500;₹ 1,234.50", ";;;"], layout)
    assert isinstance(only, Line)
    assert (only.energy_wh, only.total_paise, only.number) == (1_500, 123_450, 2)
    assert only.started_at is not None and only.started_at.isoformat() == "2026-11-21T11:30:00+05:30"


@pytest.mark.parametrize("content", [b"", b"X,Y\n1,2\n", b"\xff\xfe", b"CDR,Rs\n"])
def test_an_unusable_file_is_refused_whole(organisation: Organisation, source: Source, content: bytes) -> None:
    row = take(organisation, source, content)
    assert row.state == "refused" and row.error
