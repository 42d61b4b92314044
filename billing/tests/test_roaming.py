"""A fleet's van charges at another network: its session is followed, its CDR booked, priced by us and compared."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from billing import tasks
from billing.desk import fixes
from billing.invoicing.models import AccountingMonth
from billing.invoicing.services import checklist, months
from billing.jobs import engine
from billing.models import CDR, BillingException, ChargingSession, Hold, Job, LedgerTransfer, LimitUsage
from billing.services import holds, rating, roaming
from billing.tests.factories import fund, limit
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.demo.peers import objects
from fleetcharge.lib.api import Conflict
from stations import services
from stations.cpo.ocpi.dialects.v221 import V221
from stations.cpo.ocpi.objects.locations import LocationIn
from stations.cpo.ocpi.objects.sessions import SessionIn
from stations.cpo.ocpi.receivers.cdrs import read_cdr
from stations.cpo.ocpi.taking import take_location, take_tariff
from stations.models import NetworkAccess, RoamingSession, Source
from vehicles.models import IdToken

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
OWNER = ("IN", "VLT")


@pytest.fixture
def source(organisation: Organisation) -> Source:
    """VoltGrid, with a site and a tariff; the fleet may charge there and has money."""
    source = Source.objects.create(slug="volt", name="VoltGrid", kind="ocpi-2.2.1")
    take_tariff(source, objects.tariff("2.2.1"), datetime(2026, 1, 1, tzinfo=UTC))
    take_location(source, LocationIn.model_validate(objects.location("2.2.1", 1)), NOW)
    NetworkAccess.objects.create(source=source, organisation=organisation)
    IdToken.objects.create(organisation=organisation, uid="CARD1")
    fund(organisation, 1_000_000)
    return source


def hear(source: Source, **changes: Any) -> ChargingSession | None:
    raw = objects.session("2.2.1", **changes)
    told, _ = services.put_session(source=source, session=SessionIn.model_validate(raw), raw=raw, at=NOW)
    return roaming.follow_session(roaming_session_id=told.pk, now=NOW)


def bill(source: Source, *args: Any, **changes: Any) -> CDR | None:
    raw = objects.cdr("2.2.1", *args, **changes)
    told, _ = services.take_cdr(source=source, cdr=read_cdr(V221.read("cdr", raw, OWNER)), raw=raw, at=NOW)
    return roaming.take_cdr(roaming_cdr_id=told.pk, now=NOW)


def price(cdr: CDR | None) -> int | None:
    assert cdr is not None
    rating.rate_and_capture(cdr_id=cdr.pk, now=NOW)
    return roaming.compare_price(cdr_id=cdr.pk, now=NOW)


def unrecorded() -> int:
    """What stands against closing the month, of sessions without a record."""
    month = months.month_of(NOW.date())
    return next(check.count for check in checklist.run(month, now=NOW) if check.code == "unrecorded")


def test_a_session_is_followed_from_start_to_end(source: Source, organisation: Organisation) -> None:
    session = hear(source)
    assert session is not None
    assert (session.organisation, session.state, session.energy_wh) == (organisation, "active", 4500)
    assert session.connector.evse.uid == "E1-1"
    period = objects.period("2026-11-21T06:20:00Z", POWER=48.5, STATE_OF_CHARGE=61)
    again = hear(source, kwh=9.0, last_updated="2026-11-21T06:20:00Z", charging_periods=[period])
    assert again is not None
    assert (again.pk, again.energy_wh, again.power_w, again.soc_percent) == (session.pk, 9000, 48_500, 61)
    end = {"end_date_time": "2026-11-21T06:30:00Z", "last_updated": "2026-11-21T06:30:00Z"}
    done = hear(source, kwh=20.0, status="COMPLETED", **end)
    assert done is not None
    assert (done.state, done.ended_at, done.energy_wh) == ("ended", datetime(2026, 11, 21, 6, 30, tzinfo=UTC), 20_000)
    assert not CDR.objects.exists()  # what is charged for waits for the CPO's record


@pytest.mark.parametrize("changes", [{"status": "PENDING"}, {"status": "RESERVATION"}, {"evse_uid": "#NA"}])
def test_what_does_not_charge_is_no_session_yet(source: Source, changes: dict[str, Any]) -> None:
    assert hear(source, **changes) is None


def test_a_token_nobody_knows_is_no_session_of_ours(source: Source) -> None:
    assert hear(source, token_uid="STRANGER") is None
    assert bill(source, "C9", "STRANGER") is None
    assert not BillingException.objects.exists()


def test_an_invalid_session_gives_its_money_back(source: Source, organisation: Organisation) -> None:
    hear(source)
    organisation.wallet.refresh_from_db()
    assert organisation.wallet.held_paise > 0
    gone = hear(source, status="INVALID", last_updated="2026-11-21T06:40:00Z")
    assert gone is not None
    assert gone.state == "invalid"
    organisation.wallet.refresh_from_db()
    assert organisation.wallet.held_paise == 0


@pytest.mark.parametrize("is_first", [True, False])
def test_a_cdr_is_booked_once_in_either_order(source: Source, is_first: bool) -> None:
    if not is_first:
        hear(source)
    cdr = bill(source)
    assert cdr is not None
    assert bill(source) == cdr
    hear(source, status="COMPLETED", last_updated="2026-11-21T06:40:00Z")
    assert (cdr.session.state, cdr.energy_wh, ChargingSession.objects.count()) == ("ended", 20_000, 1)
    assert price(cdr) == 0  # 20 kWh at 19.50 and 18 % make 460.20, as the CPO says
    cdr.refresh_from_db()
    assert (cdr.taxable_paise, cdr.total_paise) == (39_000, 46_020)
    owed = LedgerTransfer.objects.filter(credit__code="cpo_payable:volt")
    assert sum(owed.values_list("amount_paise", flat=True)) == 46_020
    assert not BillingException.objects.exists()


def test_another_figure_of_the_network_is_a_question_for_finance(source: Source) -> None:
    cdr = bill(source, total_cost={"excl_vat": 450.0, "incl_vat": 531.0})
    assert price(cdr) == 46_020 - 53_100
    question = BillingException.objects.get()
    assert (question.kind, question.amount_paise) == ("cpo_price", 7080)
    assert question.details["theirs_paise"] == 53_100
    assert [found["rule"] for found in question.details["findings"]] == ["tax", "total", "parts"]
    assert price(bill(source, "C2", session_id="S2", total_cost={"excl_vat": 390.5, "incl_vat": 460.79})) == -59
    assert BillingException.objects.count() == 1  # within a rupee


def test_the_tariff_of_the_cdr_prices_it_though_a_newer_one_is_in_force(source: Source) -> None:
    dearer = [{"price_components": [{"type": "ENERGY", "price": 30, "step_size": 1}]}]
    take_tariff(source, objects.tariff("2.2.1", elements=dearer), datetime(2026, 11, 20, tzinfo=UTC))
    cdr = bill(source)
    assert cdr is not None
    assert cdr.tariff is not None
    assert (cdr.tariff.version, price(cdr)) == (1, 0)


def test_a_bill_for_a_plug_we_do_not_know_is_a_question(source: Source) -> None:
    place = {**objects.cdr("2.2.1")["cdr_location"], "evse_uid": "E99"}
    assert bill(source, cdr_location=place) is None
    assert BillingException.objects.get().kind == "cpo_correction"


def test_what_was_charged_at_a_plug_that_is_imported_later_is_booked_then(
    source: Source, organisation: Organisation
) -> None:
    place = {**objects.cdr("2.2.1")["cdr_location"], "id": "L2", "evse_uid": "E2-1"}
    assert bill(source, cdr_location=place) is None
    question = BillingException.objects.get()
    tasks.find_missed_records()
    tasks.work_jobs()
    assert (CDR.objects.count(), Job.objects.count(), BillingException.objects.get()) == (0, 0, question)
    take_location(source, LocationIn.model_validate(objects.location("2.2.1", 2)), NOW)
    tasks.find_missed_records()
    tasks.work_jobs()
    tasks.sweep_unrated()
    assert CDR.objects.get().total_paise == 46_020
    assert not BillingException.objects.open().exists()
    assert tasks.find_missed_records() == 0


def test_finance_books_a_record_once_its_plug_is_known(source: Source, finance: User) -> None:
    place = {**objects.cdr("2.2.1")["cdr_location"], "id": "L2", "evse_uid": "E2-1"}
    bill(source, cdr_location=place)
    question = BillingException.objects.get()
    with pytest.raises(Conflict, match="still cannot be booked"):
        fixes.apply(exception_id=question.pk, actor=finance, now=NOW)
    take_location(source, LocationIn.model_validate(objects.location("2.2.1", 2)), NOW)
    assert fixes.apply(exception_id=question.pk, actor=finance, now=NOW).resolved_at == NOW
    assert CDR.objects.get().energy_wh == 20_000


@pytest.mark.parametrize(("days", "is_asked"), [(2, True), (4, False)])
def test_who_registers_a_token_after_its_record_pays_for_it_only_when_an_operator_says_so(
    source: Source, other_organisation: Organisation, finance: User, days: int, is_asked: bool
) -> None:
    """And is not told of it before: it may be somebody else's session."""
    NetworkAccess.objects.create(source=source, organisation=other_organisation)
    raw, received_at = objects.cdr("2.2.1", "C1", "GIVEN-BACK"), datetime.now(UTC) - timedelta(days=days)
    services.take_cdr(source=source, cdr=read_cdr(V221.read("cdr", raw, OWNER)), raw=raw, at=received_at)
    assert tasks.find_missed_records() == 0
    IdToken.objects.create(organisation=other_organisation, uid="GIVEN-BACK")
    assert [tasks.find_missed_records() for _ in range(2)] == [0, 0]
    assert (Job.objects.count(), CDR.objects.count()) == (0, 0)
    assert [row.organisation for row in BillingException.objects.all()] == ([None] if is_asked else [])
    if is_asked:
        question = fixes.apply(exception_id=BillingException.objects.get().pk, actor=finance, now=NOW)
        assert question.resolved_at == NOW
        assert CDR.objects.get().organisation == other_organisation


@pytest.mark.parametrize("is_followed", [True, False])
def test_a_token_that_is_edited_after_its_record_came_is_still_its_fleets(source: Source, is_followed: bool) -> None:
    """The news of the record was missed, and somebody gave the card to another vehicle; it had charged before."""
    if is_followed:
        assert hear(source) is not None
    else:
        assert bill(source, "C0", session_id="S0") is not None
    raw, received_at = objects.cdr("2.2.1"), datetime.now(UTC) - timedelta(days=2)
    ChargingSession.objects.update(started_at=received_at - timedelta(hours=2))
    services.take_cdr(source=source, cdr=read_cdr(V221.read("cdr", raw, OWNER)), raw=raw, at=received_at)
    IdToken.objects.get().save()
    assert tasks.find_missed_records() == 1
    assert not BillingException.objects.exists()


def test_a_plug_that_was_asked_about_is_not_charged_to_the_next_owner_of_its_token(
    source: Source, other_organisation: Organisation
) -> None:
    NetworkAccess.objects.create(source=source, organisation=other_organisation)
    place = {**objects.cdr("2.2.1")["cdr_location"], "id": "L2", "evse_uid": "E2-1"}
    bill(source, cdr_location=place)
    take_location(source, LocationIn.model_validate(objects.location("2.2.1", 2)), NOW)
    IdToken.objects.update(organisation=other_organisation)
    assert tasks.find_missed_records() == 0


def test_a_record_that_cannot_be_booked_is_given_up_in_the_open_however_old_it_is(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("of no use")

    received_at = datetime.now(UTC) - timedelta(days=9)
    IdToken.objects.update(updated_at=received_at)
    for number, token in (("C1", "CARD1"), ("C2", "STRANGER")):
        raw = objects.cdr("2.2.1", number, token)
        services.take_cdr(source=source, cdr=read_cdr(V221.read("cdr", raw, OWNER)), raw=raw, at=received_at)
    tasks.sweep_roaming()
    assert not Job.objects.exists()  # of the last day only
    with monkeypatch.context() as patch:
        patch.setattr(roaming, "_record", broken)
        assert [tasks.find_missed_records() for _ in range(2)] == [1, 0]
        for _ in range(engine.MOST_ATTEMPTS):
            assert engine.work(now=Job.objects.get().next_try_at) == 1
    assert BillingException.objects.get().kind == "job_dead"
    engine.try_again(job_ids=[Job.objects.get().pk], now=NOW)
    tasks.work_jobs()
    tasks.sweep_unrated()
    assert CDR.objects.get().total_paise == 46_020


MUCH: dict[str, Any] = {
    "total_energy": 6000.0, "charging_periods": [objects.period(objects.STAMP, ENERGY=6000.0, TIME=0.5)],
    "total_cost": {"excl_vat": 117_000.0, "incl_vat": 138_060.0},
    "total_energy_cost": {"excl_vat": 117_000.0, "incl_vat": 138_060.0},
}  # fmt: skip


def test_more_than_the_plug_can_give_is_charged_to_nobody_before_somebody_has_looked(
    source: Source, organisation: Organisation, finance: User
) -> None:
    cdr = bill(source, **MUCH)
    assert price(cdr) is None
    organisation.wallet.refresh_from_db()
    assert (organisation.wallet.posted_paise, organisation.wallet.state) == (1_000_000, "active")
    question = BillingException.objects.get()
    assert (question.kind, question.details["energy_wh"]) == ("odd_meter", 6_000_000)
    fixes.apply(exception_id=question.pk, actor=finance, now=NOW)
    assert CDR.objects.get().total_paise == 13_806_000  # somebody has


def test_a_fresh_record_of_more_than_the_plug_can_give_is_a_question(source: Source) -> None:
    price(bill(source))
    back = {"credit": True, "credit_reference_id": "C1", "total_cost": {"excl_vat": -390.0, "incl_vat": -460.2}}
    bill(source, "C1-C", **back)
    bill(source, "C1-2", **MUCH)
    assert BillingException.objects.get().kind == "cpo_correction"
    assert not LedgerTransfer.objects.filter(amount_paise__gt=1_000_000).exists()


def test_what_an_event_missed_the_sweep_finds(source: Source) -> None:
    raw = objects.session("2.2.1")
    services.put_session(source=source, session=SessionIn.model_validate(raw), raw=raw, at=NOW)
    raw = objects.cdr("2.2.1")
    services.take_cdr(source=source, cdr=read_cdr(V221.read("cdr", raw, OWNER)), raw=raw, at=datetime.now(UTC))
    RoamingSession.objects.update(updated_at=datetime.now(UTC))
    tasks.sweep_roaming()
    tasks.sweep_unrated()
    assert CDR.objects.get().captured_at is not None
    assert ChargingSession.objects.get().state == "ended"


def test_two_records_under_one_id_are_a_question(source: Source) -> None:
    bill(source)
    raw = objects.cdr("2.2.1", total_energy=25.0)
    told, outcome = services.take_cdr(source=source, cdr=read_cdr(V221.read("cdr", raw, OWNER)), raw=raw, at=NOW)
    assert outcome == "conflict"
    for _ in range(2):
        roaming.ask_about_conflict(conflict_id=told.conflicts.get().pk, now=NOW)
    assert BillingException.objects.get().kind == "cpo_correction"


def test_a_limit_holds_at_other_networks_too(source: Source, organisation: Organisation) -> None:
    of_month = limit(organisation, period="month", amount_paise=500_00)
    session = hear(source)
    assert session is not None
    usage = LimitUsage.objects.get(limit=of_month)
    assert usage.reserved_paise == Hold.objects.get().amount_paise == 500_00
    price(bill(source))
    usage.refresh_from_db()
    assert (usage.reserved_paise, usage.spent_paise) == (0, 46_020)
    refused = hear(source, id="S2", last_updated="2026-11-21T06:50:00Z")
    assert refused is not None
    assert (refused.authorisation_reason, Hold.objects.count()) == ("limit:organisation", 1)


def test_a_session_whose_record_never_comes_is_a_question_and_keeps_its_money_held(
    source: Source, organisation: Organisation, finance: User
) -> None:
    session = hear(source, status="COMPLETED", end_date_time="2026-11-21T06:30:00Z")
    assert unrecorded() == 1
    later = NOW + timedelta(hours=13)
    assert holds.report_never_ended(now=NOW) == 0  # there is time yet
    for _ in range(2):
        assert holds.report_never_ended(now=later) == 1
    question = BillingException.objects.get()
    assert (question.kind, question.session, Hold.objects.get().state) == ("never_ended", session, "active")
    fixes.apply(exception_id=question.pk, actor=finance, now=later)
    assert (Hold.objects.get().state, unrecorded(), holds.report_never_ended(now=later)) == ("released", 0, 0)
    assert price(bill(source)) == 0  # the record comes after all
    organisation.wallet.refresh_from_db()
    assert (organisation.wallet.posted_paise, organisation.wallet.held_paise) == (1_000_000 - 46_020, 0)


def test_a_month_closed_over_a_session_without_a_record_asks_no_later_month_about_it(source: Source) -> None:
    october = {"start_date_time": "2026-10-30T06:00:00Z", "end_date_time": "2026-10-30T06:30:00Z"}
    hear(source, status="COMPLETED", **october)
    assert unrecorded() == 1
    AccountingMonth.objects.create(starts_on=date(2026, 10, 1), closed_at=NOW)
    assert unrecorded() == 0
    hear(source, id="S2", status="COMPLETED", end_date_time="2026-11-21T06:30:00Z")
    assert unrecorded() == 1


def test_a_record_that_comes_late_settles_the_question_about_it(source: Source) -> None:
    hear(source, status="COMPLETED", end_date_time="2026-11-21T06:30:00Z")
    holds.report_never_ended(now=NOW + timedelta(hours=13))
    assert price(bill(source)) == 0
    assert not BillingException.objects.open().exists()
    assert Hold.objects.get().state == "captured"
