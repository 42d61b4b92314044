"""Limits, sites, shifts and a token's second use: each rule says no by its own name, and the decision is kept."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from billing import tasks
from billing.models import (
    AllowedSite,
    AuthorisationDecision,
    BillingException,
    ChargingPolicy,
    ChargingSession,
    Wallet,
)
from billing.services import rating
from billing.services.authorisation import Decision, authorise, decide
from billing.tests.factories import NOON, Fleet, limit, make_fleet, make_site, start, stop
from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key
from stations.models import EVSE, Charger, Connector
from vehicles.models import Driver, IdToken, Shift, Vehicle

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation)


def ask(fleet: Fleet, *, at: datetime = NOON, token: str = "", is_start: bool = False) -> Decision:
    return decide(
        id_token=token or fleet.token.uid, connector_id=fleet.connector.pk, charger_id=fleet.charger.pk, at=at,
        is_start=is_start,
    )  # fmt: skip


def policy(fleet: Fleet, **fields: Any) -> None:
    ChargingPolicy.objects.update_or_create(organisation=fleet.organisation, defaults=fields)


def second_plug(fleet: Fleet) -> Connector:
    evse = EVSE.objects.create(location=fleet.location, charger=fleet.charger, evse_number=2)
    return Connector.objects.create(evse=evse, connector_id=2, plug="ccs2", max_power_w=60_000, tariff=fleet.tariff)


def spend(fleet: Fleet, *, at: datetime, wh: int = 10_000) -> int:
    """One paid session that ended at `at`; its price in paise incl. GST."""
    began = start(fleet, started_at=at - HOUR, received_at=at - HOUR)
    stop(fleet, began.transaction_ref, ended_at=at, received_at=at, meter_stop_wh=1_000 + wh)
    session = ChargingSession.objects.get(pk=began.session_id)
    rating.rate_and_capture(cdr_id=session.cdr.pk, now=at)
    session.cdr.refresh_from_db()
    return session.cdr.total_paise


# --- who ----------------------------------------------------------------------------------------------------------


def test_a_vehicle_or_driver_that_has_left_the_fleet_charges_no_more(fleet: Fleet) -> None:
    Driver.objects.update(is_active=False)
    assert ask(fleet).reason == "driver_inactive"
    Vehicle.objects.update(is_active=False)
    assert ask(fleet).reason == "vehicle_inactive"


def test_the_tokens_of_one_vehicle_are_one_group(fleet: Fleet) -> None:
    IdToken.objects.create(organisation=fleet.organisation, uid="DRIVERS-OWN", driver=fleet.driver)
    assert ask(fleet).group_id == ask(fleet, token="drivers-own").group_id == f"VEHICLE-{fleet.vehicle.pk}"
    assert ask(fleet, token="NOBODY").group_id == ""
    assert len(f"VEHICLE-{2**31}") <= 20  # OCPP 1.6 parentIdTag


@pytest.mark.parametrize("token", ["", "\0", "x" * 400, "'; drop table", "é\u202e"])
def test_any_text_is_an_unknown_token(fleet: Fleet, token: str) -> None:
    decision = authorise(id_token=token, connector_id=None, charger_id=fleet.charger.pk, at=NOON)
    assert (decision.reason, decision.organisation_id) == ("unknown_token", fleet.organisation.pk)
    assert AuthorisationDecision.objects.get().reason == "unknown_token"


# --- where --------------------------------------------------------------------------------------------------------


def test_a_token_with_a_site_list_charges_only_there(fleet: Fleet) -> None:
    _, elsewhere = make_site(fleet.organisation)
    AllowedSite.objects.create(organisation=fleet.organisation, id_token=fleet.token, location=elsewhere)
    assert ask(fleet).reason == "site_not_allowed"
    AllowedSite.objects.create(organisation=fleet.organisation, id_token=fleet.token, location=fleet.location)
    assert ask(fleet).is_accepted


def test_a_vehicles_site_list_binds_the_tokens_of_its_drivers_too(fleet: Fleet) -> None:
    _, elsewhere = make_site(fleet.organisation)
    AllowedSite.objects.create(organisation=fleet.organisation, vehicle=fleet.vehicle, location=elsewhere)
    IdToken.objects.create(organisation=fleet.organisation, uid="DRIVERS-OWN", driver=fleet.driver)
    assert ask(fleet, token="DRIVERS-OWN").reason == "site_not_allowed"


# --- when ---------------------------------------------------------------------------------------------------------


def test_a_fleet_may_want_its_drivers_on_shift(fleet: Fleet) -> None:
    assert ask(fleet).is_accepted
    policy(fleet, needs_shift=True, shift_margin_minutes=30)
    assert ask(fleet).reason == "not_on_shift"
    Shift.objects.create(
        organisation=fleet.organisation, vehicle=fleet.vehicle, driver=fleet.driver, starts_at=NOON, ends_at=NOON + HOUR
    )
    half = timedelta(minutes=30)
    assert ask(fleet, at=NOON - half).is_accepted
    assert ask(fleet, at=NOON - half - timedelta(seconds=1)).reason == "not_on_shift"
    assert ask(fleet, at=NOON + HOUR + half).is_accepted
    assert ask(fleet, at=NOON + HOUR + half + timedelta(seconds=1)).reason == "not_on_shift"


def test_another_drivers_shift_is_not_the_card_holders(fleet: Fleet) -> None:
    policy(fleet, needs_shift=True)
    other = Driver.objects.create(organisation=fleet.organisation, name="Latha")
    Shift.objects.create(
        organisation=fleet.organisation, vehicle=fleet.vehicle, driver=other, starts_at=NOON - HOUR, ends_at=NOON + HOUR
    )
    assert ask(fleet).is_accepted  # the vehicle's card: whoever drives
    IdToken.objects.filter(pk=fleet.token.pk).update(driver=fleet.driver)
    assert ask(fleet).reason == "not_on_shift"


# --- how much -----------------------------------------------------------------------------------------------------


def test_a_limit_per_session_bounds_what_it_may_draw_and_cost(fleet: Fleet) -> None:
    limit(fleet.organisation, period="session", energy_wh=30_000, amount_paise=900_00)
    limit(fleet.organisation, period="session", vehicle=fleet.vehicle, energy_wh=12_000)
    decision = ask(fleet)
    assert (decision.is_accepted, decision.max_energy_wh, decision.max_paise) == (True, 12_000, 900_00)


@pytest.mark.parametrize("whose", ["organisation", "vehicle", "driver"])
def test_the_day_and_the_month_have_their_ends(fleet: Fleet, whose: str) -> None:
    """NOON is the 20th, 12:00 in India. A session counts when it began; last month's counts for neither."""
    spend(fleet, at=datetime(2026, 10, 31, 19, 0, tzinfo=UTC))  # began at 23:30 on the 31st in India
    paid_yesterday = spend(fleet, at=datetime(2026, 11, 19, 19, 0, tzinfo=UTC))  # began at 23:30 yesterday
    paid_today = spend(fleet, at=datetime(2026, 11, 19, 19, 31, tzinfo=UTC))  # began at 00:01 today
    assert paid_today == paid_yesterday == 212_40
    whom = {} if whose == "organisation" else {whose: getattr(fleet, whose)}
    of_day = limit(fleet.organisation, amount_paise=300_00, **whom)
    assert ask(fleet).max_paise == 300_00 - 212_40
    of_day.amount_paise = 262_39  # less than the smallest hold is left
    of_day.save()
    assert ask(fleet).reason == f"limit:{whose}"
    of_day.delete()
    of_month = limit(fleet.organisation, period="month", amount_paise=480_00, **whom)
    assert ask(fleet).max_paise == 480_00 - 2 * 212_40
    of_month.amount_paise = 474_79
    of_month.save()
    assert ask(fleet).reason == f"limit:{whose}"


def test_what_runs_counts_by_what_is_held_for_it(fleet: Fleet) -> None:
    limit(fleet.organisation, vehicle=fleet.vehicle, amount_paise=2_000_00)
    start(fleet)
    held_paise = Wallet.objects.get().held_paise
    assert held_paise > 0
    assert ask(fleet).max_paise == 2_000_00 - held_paise


def test_another_vehicles_spending_and_limit_are_its_own(fleet: Fleet) -> None:
    other = Vehicle.objects.create(organisation=fleet.organisation, registration="KA 99", model=fleet.vehicle.model)
    IdToken.objects.create(organisation=fleet.organisation, uid="OTHER", vehicle=other)
    limit(fleet.organisation, vehicle=fleet.vehicle, amount_paise=100)
    assert ask(fleet).reason == "limit:vehicle"
    assert ask(fleet, token="OTHER").is_accepted


def test_a_fleet_with_a_broken_time_zone_still_charges(fleet: Fleet) -> None:
    Organisation.objects.update(time_zone="Mars/Olympus")
    limit(fleet.organisation, amount_paise=500_00)
    assert ask(fleet).is_accepted


# --- twice --------------------------------------------------------------------------------------------------------


@pytest.fixture
def online(fleet: Fleet) -> Fleet:
    Charger.objects.update(is_online=True)
    return fleet


def test_a_token_charges_once_at_a_time(online: Fleet) -> None:
    second_plug(online)
    start(online)
    again = start(online, connector_id=2, started_at=NOON + timedelta(minutes=5))
    assert (again.decision.is_accepted, again.decision.reason) == (False, "concurrent_tx")
    session = ChargingSession.objects.get(pk=again.session_id)
    assert (session.quality, session.authorisation_reason) == ("review", "concurrent_tx")


def test_asking_is_no_second_use(online: Fleet) -> None:
    """People authorise to stop, too (OCPP 1.6 section 7.2)."""
    start(online)
    assert ask(online, at=NOON + HOUR).is_accepted


def test_the_next_start_on_the_same_plug_is_no_second_use(online: Fleet) -> None:
    start(online)
    assert start(online, started_at=NOON + HOUR, start_key="next").decision.is_accepted


def test_a_forgotten_stop_does_not_lock_a_token_out(online: Fleet) -> None:
    second_plug(online)
    start(online)
    assert start(online, connector_id=2, started_at=NOON + 31 * MINUTE).decision.is_accepted


def test_a_charger_that_is_gone_does_not_lock_a_token_out(online: Fleet) -> None:
    second_plug(online)
    start(online)
    Charger.objects.update(is_online=False)
    assert start(online, connector_id=2, started_at=NOON + MINUTE).decision.is_accepted


def test_a_session_that_reports_its_meter_is_alive(online: Fleet) -> None:
    second_plug(online)
    start(online)
    ChargingSession.objects.update(metered_at=NOON + 50 * MINUTE)
    assert start(online, connector_id=2, started_at=NOON + HOUR).decision.reason == "concurrent_tx"


def test_offline_the_other_session_may_have_ended_since(online: Fleet) -> None:
    """Both were told later: at 12:05 the token was charging elsewhere until 12:30."""
    second_plug(online)
    stop(online, start(online).transaction_ref)
    late = start(online, connector_id=2, started_at=NOON + 5 * MINUTE, received_at=NOON + 5 * HOUR)
    assert late.decision.reason == "concurrent_tx"
    assert BillingException.objects.get().title == "Charged offline although the token was charging elsewhere"


@pytest.mark.django_db(transaction=True)
def test_of_two_starts_at_once_one_is_the_second(online: Fleet) -> None:
    second_plug(online)
    gate, reasons = threading.Barrier(2), []

    def work(number: int) -> None:
        try:
            gate.wait()
            reasons.append(start(online, connector_id=number, start_key=f"at-once-{number}").decision.reason)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reasons) == ["accepted", "concurrent_tx"]


def test_a_fleet_may_share_a_token(online: Fleet) -> None:
    policy(online, allows_parallel_use=True)
    second_plug(online)
    start(online)
    assert start(online, connector_id=2, started_at=NOON + 5 * MINUTE).decision.is_accepted


# --- kept ---------------------------------------------------------------------------------------------------------


def test_the_answer_is_kept_with_its_reason_and_what_it_was_made_of(fleet: Fleet) -> None:
    limit(fleet.organisation, amount_paise=500_00)
    authorise(id_token=fleet.token.uid, connector_id=None, charger_id=fleet.charger.pk, at=NOON)
    kept = AuthorisationDecision.objects.get()
    assert (kept.organisation, kept.id_token, kept.vehicle, kept.driver, kept.charger) == (
        fleet.organisation, fleet.token, fleet.vehicle, fleet.driver, fleet.charger,
    )  # fmt: skip
    assert (kept.door, kept.is_accepted, kept.reason, kept.at, kept.session) == (
        "authorize",
        True,
        "accepted",
        NOON,
        None,
    )
    assert (kept.inputs["available_paise"], kept.inputs["wallet_state"]) == (1_000_00, "active")
    assert kept.inputs["limits"][0]["amount_paise"] == 500_00
    assert 0 < kept.duration_us < 5_000_000


def test_a_start_is_kept_with_its_session_and_the_wallets_last_word(fleet: Fleet) -> None:
    began = start(fleet)
    start(fleet, start_key=ChargingSession.objects.get().start_key)  # a retry
    kept = AuthorisationDecision.objects.get()
    assert (kept.door, kept.session_id, kept.reason) == ("start", began.session_id, "accepted")


def test_a_decision_takes_two_statements_and_three_with_limits(fleet: Fleet) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            authorise(id_token=fleet.token.uid, connector_id=fleet.connector.pk, charger_id=fleet.charger.pk, at=NOON)
        return len([query for query in seen if "SAVEPOINT" not in query["sql"]])

    assert count() == 2
    limit(fleet.organisation, amount_paise=500_00)
    assert count() == 3


def test_old_decisions_are_forgotten(fleet: Fleet, settings: Any) -> None:
    settings.AUTHORISATION_RETENTION_DAYS = 90
    now = timezone.now()
    for age in (89, 91):
        authorise(id_token="X", connector_id=None, charger_id=fleet.charger.pk, at=now - timedelta(days=age))
    assert tasks.prune_authorisations() == 1
    assert AuthorisationDecision.objects.get().at > now - timedelta(days=90)


# --- offline ------------------------------------------------------------------------------------------------------

LATE = NOON + 5 * HOUR


def offline(fleet: Fleet, **fields: Any) -> ChargingSession:
    return ChargingSession.objects.get(pk=start(fleet, received_at=LATE, **fields).session_id)


def test_an_offline_start_that_was_allowed_is_nobodys_business(fleet: Fleet) -> None:
    session = offline(fleet)
    assert (session.quality, AuthorisationDecision.objects.get().door) == ("billable", "late_start")
    assert not BillingException.objects.exists()


def test_a_token_that_expired_since_was_good_then(fleet: Fleet) -> None:
    IdToken.objects.update(valid_until=NOON + HOUR)
    assert offline(fleet).authorisation_reason == "accepted"


@pytest.mark.parametrize(
    ("change", "reason", "title"),
    [
        ({"is_active": False}, "blocked_token", "Charged offline although the token is blocked"),
        ({"valid_until": NOON - HOUR}, "expired_token", "Charged offline although the token had expired"),
    ],
)
def test_an_offline_start_that_was_not_allowed_is_charged_and_questioned(
    fleet: Fleet, change: dict[str, Any], reason: str, title: str
) -> None:
    IdToken.objects.update(**change)
    session = offline(fleet)
    stop(fleet, session.transaction_ref, received_at=LATE)
    session.refresh_from_db()
    assert (session.state, session.energy_wh, session.authorisation_reason) == ("ended", 10_000, reason)
    question = BillingException.objects.get()  # and not "refused" once more at its end
    assert (question.kind, question.title, question.session) == ("offline", title, session)


def test_an_unknown_token_used_offline_is_reported_as_such(fleet: Fleet) -> None:
    offline(fleet, id_token="NOBODY")
    question = BillingException.objects.get()
    assert (question.kind, question.details["was_offline"]) == ("unknown_token", True)


def test_a_refused_start_that_we_heard_of_at_once_is_questioned_when_it_drew_energy(fleet: Fleet) -> None:
    IdToken.objects.update(is_active=False)
    began = start(fleet)
    assert not BillingException.objects.exists()
    stop(fleet, began.transaction_ref)
    assert BillingException.objects.get().kind == "refused"


def test_a_charger_that_says_it_was_offline_is_believed(fleet: Fleet) -> None:
    IdToken.objects.update(is_active=False)
    start(fleet, is_offline=True)
    assert BillingException.objects.get().kind == "offline"


# --- seen ---------------------------------------------------------------------------------------------------------


def test_finance_sees_its_own_decisions_in_the_api(
    fleet: Fleet, organisation: Organisation, other_organisation: Organisation
) -> None:
    ask_and_keep(fleet)
    ask_and_keep(fleet, "NOBODY")
    rows = client_for(organisation).get("/api/v1/authorisations/?is_accepted=true").json()["results"]
    assert [(row["id_token"], row["reason"], row["charger"]) for row in rows] == [
        (fleet.token.uid, "accepted", fleet.charger.ocpp_identity)
    ]
    assert rows[0]["vehicle"] == {"id": fleet.vehicle.pk, "registration": fleet.vehicle.registration}
    found = client_for(organisation).get(f"/api/v1/authorisations/?id_token={fleet.token.uid.lower()}").json()
    assert len(found["results"]) == 1
    assert client_for(other_organisation).get("/api/v1/authorisations/").json()["results"] == []


def test_finance_sees_decisions_in_the_admin_and_changes_none(
    fleet: Fleet, finance: User, stranger: User, client
) -> None:
    ask_and_keep(fleet)
    row = AuthorisationDecision.objects.get()
    client.force_login(finance)
    page = client.get("/admin/billing/authorisationdecision/")
    assert fleet.token.uid in page.content.decode()
    detail = client.get(f"/admin/billing/authorisationdecision/{row.pk}/change/").content.decode()
    assert "Wallet state" in detail and 'name="_save"' not in detail
    assert client.post(f"/admin/billing/authorisationdecision/{row.pk}/delete/").status_code == 403
    client.force_login(stranger)
    assert fleet.token.uid not in client.get("/admin/billing/authorisationdecision/").content.decode()


def ask_and_keep(fleet: Fleet, token: str = "") -> None:
    authorise(id_token=token or fleet.token.uid, connector_id=None, charger_id=fleet.charger.pk, at=NOON)


def client_for(organisation: Organisation) -> APIClient:
    _, secret = create_api_key(organisation=organisation, name="k", scopes=[Scope.BILLING_READ])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client
