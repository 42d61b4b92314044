"""From failed starts to a bypassed plug, an alert and a ticket that closes itself; seen by its own fleet alone."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from billing import charger_evidence
from billing.models import ChargingSession, MeterValue
from dispatch import candidates, services
from dispatch.forecasts import known
from dispatch.forecasts.models import PlugGroup
from dispatch.forecasts.tasks import learn
from dispatch.models import Alert, SessionCommand
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import AuditEntry, Scope
from fleetcharge.celery import app
from stations.health import evidence, sweep, tickets
from stations.health.models import EvseHealth, HealthDay, MaintenanceTicket, SocketDay, TicketNote
from stations.health.tasks import judge_chargers
from stations.models import EVSE, Charger, Connector, StatusChange
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def fresh_memory():
    known.habits.forget()
    candidates.sites.forget()
    yield
    known.habits.forget()


@pytest.fixture
def depot(organisation):
    """A charger of our own, a kilometre from the vehicles."""
    source = factories.source(organisation)
    place = factories.location(source, organisation=organisation, latitude=factories.HERE[0] + 0.009)
    charger = factories.charger(place, organisation)
    return factories.connector(place, charger=charger)


@pytest.fixture
def van(organisation):
    return factories.vehicle(organisation)


def session(connector: Connector, vehicle: Vehicle, *, hours_ago: float, seconds: int = 3_000) -> ChargingSession:
    ended = NOW - hours_ago * HOUR
    return ChargingSession.objects.create(
        organisation=vehicle.organisation, source=connector.evse.location.source, charger=connector.evse.charger,
        connector=connector, transaction_ref=f"{hours_ago}", start_key=f"{connector.pk}-{hours_ago}", vehicle=vehicle,
        state="ended", started_at=ended - timedelta(seconds=seconds), ended_at=ended, energy_wh=4 * seconds,
    )  # fmt: skip


def refused(
    connector: Connector, *, hours_ago: float, reason: str = "Faulted", state: str = "rejected",
    vehicle: Vehicle | None = None,
) -> None:  # fmt: skip
    SessionCommand.objects.create(
        organisation=Charger.objects.get(evses=connector.evse).organisation, kind="start", state=state,
        reason=reason.upper(), connector=connector, created_at=NOW - hours_ago * HOUR, vehicle=vehicle,
    )  # fmt: skip


def breaks(connector: Connector, vehicle: Vehicle) -> None:
    """It worked for a week; the last four starts were refused."""
    for number in range(10):
        session(connector, vehicle, hours_ago=20 + 16 * number)
    for number in range(4):
        refused(connector, hours_ago=1 + number)


def test_a_charger_that_fails_while_it_says_it_is_free_is_found_with_its_reason(depot, van):
    breaks(depot, van)
    assert sweep.judge_units(now=NOW) == 1
    health = EvseHealth.objects.get()
    assert health.is_failing
    assert health.score <= 40
    assert health.p_unusable >= 0.9
    assert [penalty["cause"] for penalty in health.penalties] == ["failed_starts"]
    assert list(EvseHealth.objects.failing_but_available()) == [health]
    Connector.objects.update(status="faulted")
    assert not EvseHealth.objects.failing_but_available().exists()


def test_a_unit_of_which_nothing_is_known_has_no_score(depot, van):
    assert sweep.judge_units(now=NOW) == 0
    session(depot, van, hours_ago=2)
    sweep.judge_units(now=NOW)
    assert EvseHealth.objects.get().score == 100
    ChargingSession.objects.all().delete()
    sweep.judge_units(now=NOW)
    assert not EvseHealth.objects.exists()


def test_each_day_keeps_its_last_score(depot, van):
    breaks(depot, van)
    sweep.judge_units(now=NOW)
    sweep.judge_units(now=NOW + HOUR)
    sweep.judge_units(now=NOW + timedelta(days=1))
    assert HealthDay.objects.count() == 2
    assert EvseHealth.objects.get().judged_at == NOW + timedelta(days=1)
    assert sweep.forget_days(now=NOW + sweep.DAYS_KEPT + timedelta(days=1)) == 1
    assert SocketDay.objects.count() == 0


def test_sessions_that_end_at_once_faults_silences_and_sockets_are_told_apart(depot, van):
    for number in range(4):
        session(depot, van, hours_ago=1 + number, seconds=40)
        at = NOW - (1 + number) * HOUR
        StatusChange.objects.create(connector=depot, old="available", new="faulted", at=at)
        StatusChange.objects.create(connector=depot, old="faulted", new="unknown", at=at + HOUR / 4)
        StatusChange.objects.create(connector=depot, old="unknown", new="available", at=at + HOUR / 2)
    for day, count in ((1, 2), (2, 3), (3, 2)):
        on = (NOW - timedelta(days=day)).date()
        SocketDay.objects.create(
            charger=depot.evse.charger, on=on, first_epoch=10 - 3 * day, last_epoch=10 - 3 * day + count
        )
    Charger.objects.update(connection_epoch=60)
    sweep.judge_units(now=NOW)
    health = EvseHealth.objects.get()
    features = health.features
    assert (features["short_7d"], features["faults_7d"], features["silences_24h"]) == (4, 4, 4)
    assert features["silent_hours_24h"] == 1.0
    assert features["reconnects_24h"] == 60 - 9
    assert {penalty["cause"] for penalty in health.penalties} == {
        "short_sessions", "faults", "silence", "reconnects",
    }  # fmt: skip


def test_a_charger_that_has_been_dark_for_a_month_does_not_work_again(depot):
    StatusChange.objects.create(connector=depot, old="available", new="unknown", at=NOW - timedelta(days=30))
    fine = factories.connector(depot.evse.location)
    StatusChange.objects.create(connector=fine, old="unknown", new="available", at=NOW - timedelta(days=30))
    sweep.judge_units(now=NOW)
    health = EvseHealth.objects.get()
    assert health.evse == depot.evse
    assert health.features["silent_hours_24h"] == 24
    assert tickets.follow_health(now=NOW) == 1
    assert MaintenanceTicket.objects.get().cause == "silence"
    sweep.judge_units(now=NOW + timedelta(days=30))
    assert tickets.follow_health(now=NOW + timedelta(days=30)) == 0
    StatusChange.objects.create(connector=depot, old="unknown", new="available", at=NOW + timedelta(days=31))
    sweep.judge_units(now=NOW + timedelta(days=33))
    assert tickets.follow_health(now=NOW + timedelta(days=33)) == 1
    assert MaintenanceTicket.objects.get().state == "healed"


def test_a_session_that_we_stopped_at_once_is_not_held_against_the_charger(depot, van):
    for number in range(5):
        short = session(depot, van, hours_ago=1 + number, seconds=40)
        ChargingSession.objects.filter(pk=short.pk).update(stop_reason="DeAuthorized")
    sweep.judge_units(now=NOW)
    assert not EvseHealth.objects.exists()


def test_samples_of_the_newest_sessions_only_are_read_for_their_peak(depot, van, monkeypatch):
    monkeypatch.setattr(charger_evidence, "PEAKS_OF_A_UNIT", 2)
    for number in range(4):
        ended = session(depot, van, hours_ago=1 + number)
        MeterValue.objects.create(
            charger=ended.charger, evse_number=1, transaction_ref=ended.transaction_ref, at=ended.started_at,
            power_w=30_000 + number, sampled=[], dedupe_key=f"{number:016}".encode(),
        )  # fmt: skip
    told = evidence.gather([depot.evse_id], now=NOW)[depot.evse_id].sessions
    assert [one.peak_power_w for one in sorted(told, key=lambda one: one.ended_at)] == [None, None, 30_001, 30_000]


def test_all_units_have_more_time_than_a_sweep_of_seconds_but_end_before_they_begin_anew():
    pause = app.conf.beat_schedule["charger-health"]["schedule"].seconds
    assert app.conf.task_time_limit < judge_chargers.time_limit < pause
    assert app.conf.task_time_limit < learn.time_limit


def test_starts_without_an_answer_count_for_half_and_make_no_row(depot):
    for number in range(3):
        refused(depot, hours_ago=1 + number, state="no_session", reason="")
        refused(depot, hours_ago=8 + number, reason="WALLET_EMPTY")  # refused for what the vehicle is
    sweep.judge_units(now=NOW)
    health = EvseHealth.objects.get()
    assert not health.is_failing
    assert health.features["failed"] == pytest.approx(1.5, abs=0.05)


def test_a_plan_passes_a_failing_charger_by(organisation, depot, van):
    farther = factories.connector(
        factories.location(factories.public_network(organisation), latitude=factories.HERE[0] + 0.018)
    )
    key = {"vehicle_id": van.pk, "trigger": "manual", "now": NOW}
    plan = services.plan_charge_stop(trigger_key="before", **key)
    assert plan.connector_id == depot.pk
    services.dismiss_plan(plan_id=plan.pk, actor=None, actor_label="test", reason="", now=NOW)
    breaks(depot, factories.vehicle(organisation))
    sweep.judge_units(now=NOW)
    plan = services.plan_charge_stop(trigger_key="after", **key)
    assert plan.connector_id == farther.pk
    by_plug = {one["connector_id"]: one["risk"] for one in plan.explanation["candidates"]}
    assert by_plug[depot.pk] >= 0.9 > 0.1 > by_plug[farther.pk]


@pytest.fixture
def broken(depot, van, django_capture_on_commit_callbacks):
    breaks(depot, van)
    with django_capture_on_commit_callbacks(execute=True), time_machine.travel(NOW, tick=False):
        judge_chargers()
    return depot


def test_a_ticket_is_opened_once_with_an_alert_and_closes_itself_when_it_works_again(
    broken, van, organisation, django_capture_on_commit_callbacks
):
    ticket = MaintenanceTicket.objects.get()
    assert (ticket.organisation, ticket.charger, ticket.cause) == (organisation, broken.evse.charger, "failed_starts")
    alert = Alert.objects.get(organisation=organisation, kind=Alert.Kind.CHARGER_MATTER)
    assert "starts fail" in alert.title
    assert tickets.follow_health(now=NOW + HOUR) == 0
    for number in range(18):
        session(broken, van, hours_ago=-1 - number)
    with django_capture_on_commit_callbacks(execute=True), time_machine.travel(NOW + 20 * HOUR, tick=False):
        judge_chargers()
    ticket.refresh_from_db()
    alert.refresh_from_db()
    assert ticket.state == "healed"
    assert "works again" in ticket.close_reason
    assert alert.closed_at is not None
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {"ticket.open", "ticket.healed"}


def test_two_open_tickets_of_one_cause_are_impossible(broken):
    ticket = MaintenanceTicket.objects.get()
    found = {"cause": ticket.cause, "points": 60, "figure": 1.0, "score": 10}
    assert tickets.open_ticket(charger_id=ticket.charger_id, cause=ticket.cause, found=found, now=NOW) is None
    with pytest.raises(IntegrityError), transaction.atomic():
        MaintenanceTicket.objects.filter(pk=ticket.pk).update(closed_at=NOW)  # closed, and yet in an open state
    assert MaintenanceTicket.objects.count() == 1


def test_a_unit_is_failing_only_when_more_than_one_vehicle_says_so(depot, van, organisation):
    for number in range(6):
        refused(depot, hours_ago=1 + number / 10, vehicle=van)
    sweep.judge_units(now=NOW)
    health = EvseHealth.objects.get()
    assert (health.is_failing, health.score > 90, health.p_unusable < 0.15) == (False, True, True)
    refused(depot, hours_ago=0.5, vehicle=factories.vehicle(organisation))
    sweep.judge_units(now=NOW)
    assert EvseHealth.objects.get().is_failing


def test_a_full_vehicle_is_no_fault_of_the_charger(depot, van):
    for number in range(5):
        short = session(depot, factories.vehicle(van.organisation), hours_ago=1 + number, seconds=20)
        ChargingSession.objects.filter(pk=short.pk).update(soc_start_percent=97)
    sweep.judge_units(now=NOW)
    health = EvseHealth.objects.get()
    assert (health.score, health.features["short_7d"], health.is_failing) == (100, 0, False)


def test_what_a_model_takes_at_ac_says_nothing_of_dc(depot, van):
    """An EVSE with both: twelve strong sessions at its CCS, then six at its socket."""
    socket = Connector.objects.create(
        evse=depot.evse, connector_id=9, plug="type2_socket", power_type="AC_3_PHASE", max_power_w=22_000
    )
    for number in range(18):
        plug, watts = (socket, 7_000) if number < 6 else (depot, 40_000)
        ended = session(plug, van, hours_ago=1 + number)
        MeterValue.objects.create(
            charger=ended.charger, evse_number=1, transaction_ref=ended.transaction_ref, at=ended.started_at,
            power_w=watts, sampled=[], dedupe_key=f"{number:016}".encode(),
        )  # fmt: skip
    sweep.judge_units(now=NOW)
    assert EvseHealth.objects.get().features["power_share"] is None
    ChargingSession.objects.update(connector=depot)
    sweep.judge_units(now=NOW)
    assert EvseHealth.objects.get().features["power_share"] == 0.175


def test_after_a_repair_only_what_comes_then_counts(broken, owner):
    ticket = MaintenanceTicket.objects.get()
    tickets.change_ticket(ticket_id=ticket.pk, actor=owner, state="done", note="New contactor", now=NOW)
    assert tickets.follow_health(now=NOW + HOUR / 4) == 0  # judged before the repair
    later = NOW + 2 * HOUR
    sweep.judge_units(now=later)
    health = EvseHealth.objects.get()
    assert (health.score, health.is_failing, health.p_unusable < 0.1) == (100, False, True)
    assert tickets.follow_health(now=later) == 0
    for number in range(4):
        refused(broken, hours_ago=-3 - number)
    sweep.judge_units(now=NOW + 8 * HOUR)
    assert tickets.follow_health(now=NOW + 8 * HOUR) == 1
    assert MaintenanceTicket.objects.open().get().cause == "failed_starts"


def test_sockets_of_days_until_the_repair_are_not_held_against_the_charger(depot, owner):
    """Counted by day: the day of the repair cannot be told apart."""
    for day in range(1, 6):
        SocketDay.objects.create(
            charger=depot.evse.charger, on=(NOW - timedelta(days=day)).date(), first_epoch=0, last_epoch=2
        )
    SocketDay.objects.create(charger=depot.evse.charger, on=NOW.date(), first_epoch=0, last_epoch=50)
    Charger.objects.update(connection_epoch=50)
    sweep.judge_units(now=NOW)
    assert tickets.follow_health(now=NOW) == 1
    ticket = MaintenanceTicket.objects.get(cause="reconnects")
    tickets.change_ticket(ticket_id=ticket.pk, actor=owner, state="done", note="New antenna", now=NOW)
    tomorrow = NOW + timedelta(hours=23)
    sweep.judge_units(now=tomorrow)
    assert tickets.follow_health(now=tomorrow) == 0


def test_what_was_done_is_left_alone_until_it_is_judged_and_what_was_dismissed_for_a_week(broken, owner):
    ticket = MaintenanceTicket.objects.get()
    with pytest.raises(tickets.TicketRefused):
        tickets.change_ticket(ticket_id=ticket.pk, actor=owner, state="done", now=NOW)
    tickets.change_ticket(ticket_id=ticket.pk, actor=owner, state="done", note="New contactor", now=NOW)
    assert tickets.follow_health(now=NOW + 0.9 * HOUR) == 0
    assert tickets.follow_health(now=NOW + 25 * HOUR) == 1  # nobody has judged it since
    again = MaintenanceTicket.objects.open().get()
    tickets.change_ticket(
        ticket_id=again.pk, actor=owner, state="dismissed", note="Drivers' mistakes", now=NOW + 25 * HOUR
    )
    assert tickets.follow_health(now=NOW + timedelta(days=8)) == 0
    assert tickets.follow_health(now=NOW + timedelta(days=9)) == 1


def test_the_proposed_time_is_when_least_use_is_expected(broken):
    """In India; Thursday from 14:00 nobody comes."""
    PlugGroup.objects.create(
        location=broken.evse.location, plug="ccs2", max_power_w=60_000, learned_at=NOW, keeps=0.3,
        busy_by_hour=[0.1 if 3 * 24 + 14 <= hour < 3 * 24 + 16 else 0.6 for hour in range(168)],
    )  # fmt: skip
    ticket = MaintenanceTicket.objects.get()
    tickets.propose_slot(ticket, now=NOW)
    ticket.refresh_from_db()
    zone = broken.evse.location.time_zone
    local = ticket.slot_starts_at.astimezone(ZoneInfo(zone))
    assert (local.weekday(), local.hour) == (3, 14)
    assert ticket.slot_ends_at - ticket.slot_starts_at == 2 * HOUR
    assert ticket.slot_busy_share == pytest.approx(0.1)


def test_without_forecasts_it_is_the_soonest_working_hour_and_moves_on_while_nobody_takes_it(broken):
    ticket = MaintenanceTicket.objects.get()
    assert NOW + tickets.SOONEST < ticket.slot_starts_at < NOW + timedelta(days=2)
    assert ticket.slot_busy_share is None
    later = NOW + timedelta(days=3)
    tickets.follow_health(now=later)
    ticket.refresh_from_db()
    assert ticket.slot_starts_at > later
    tickets.change_ticket(ticket_id=ticket.pk, actor=None, state="planned", now=later)
    planned_for = MaintenanceTicket.objects.get().slot_starts_at
    tickets.follow_health(now=later + timedelta(days=9))
    assert MaintenanceTicket.objects.get().slot_starts_at == planned_for


@pytest.fixture
def api(organisation):
    _, secret = accounts.create_api_key(organisation=organisation, name="all", scopes=list(Scope.values))
    return Client(headers={"Authorization": f"Bearer {secret}"})


def test_the_api_says_why_and_takes_what_people_do(api, broken, owner, organisation, other_organisation):
    [row] = api.get("/api/v1/charger-health/?failing=true&own=true").json()["results"]
    assert (row["evse"], row["charger"]) == (broken.evse.public_id, broken.evse.charger.ocpp_identity)
    assert row["penalties"][0] | {"points": 0, "figure": 0} == {
        "cause": "failed_starts", "points": 0, "figure": 0, "text": "Starts fail",
    }  # fmt: skip
    assert api.get("/api/v1/charger-health/?failing=perhaps").status_code == 400
    detail = api.get(f"/api/v1/charger-health/{broken.evse.public_id}/").json()
    assert detail["features"]["failed_in_a_row"] == 4
    assert [day["score"] for day in detail["days"]] == [row["score"]]
    [ticket] = api.get("/api/v1/maintenance-tickets/?open=true").json()["results"]
    address = f"/api/v1/maintenance-tickets/{ticket['id']}/"

    def change(**fields):
        return api.patch(address, fields, content_type="application/json")

    assert change(state="planned", assignee=owner.email, note="Parts are ordered").json()["assignee"] == owner.email
    assert change(assignee="stranger@example.org").status_code == 400
    assert change(state="done").status_code == 400
    assert change(slot_ends_at="2026-03-01T00:00:00Z").status_code == 400
    assert change(state="healed").status_code == 400
    address += "?open=true"  # where the list that was looked at led
    done = change(state="done", note="New contactor").json()
    assert (done["state"], [note["text"] for note in done["notes"]]) == ("done", ["Parts are ordered", "New contactor"])
    assert change(state="open").status_code == 400
    assert TicketNote.objects.count() == 2
    assert {entry.actor_label for entry in AuditEntry.objects.filter(action__in=("ticket.change", "ticket.done"))} == {
        "key all"
    }
    _, secret = accounts.create_api_key(organisation=other_organisation, name="all", scopes=list(Scope.values))
    stranger = Client(headers={"Authorization": f"Bearer {secret}"})
    assert stranger.get(address).status_code == 404
    assert stranger.patch(address, {"state": "open"}, content_type="application/json").status_code == 404
    assert stranger.get("/api/v1/maintenance-tickets/").json()["results"] == []
    assert stranger.get("/api/v1/charger-health/").json()["results"] == []
    assert stranger.get(f"/api/v1/charger-health/{broken.evse.public_id}/").status_code == 404


def test_at_a_public_unit_nobody_learns_how_often_other_fleets_charge(api, client, van, owner, other_organisation):
    """Neither through the API nor on the desk; of one's own charger everything is told."""
    place = factories.location(factories.public_network(van.organisation, other_organisation))
    plug = factories.connector(place)
    for number in range(3):
        session(plug, factories.vehicle(other_organisation), hours_ago=1 + number)
    StatusChange.objects.create(connector=plug, old="available", new="faulted", at=NOW - HOUR / 2)
    sweep.judge_units(now=NOW)
    assert EvseHealth.objects.get().features["sessions_7d"] == 3
    told = api.get(f"/api/v1/charger-health/{plug.evse.public_id}/").json()["features"]
    assert told == {"faults_7d": 1, "fault_hours_7d": 0.5, "changes_24h": 1}
    client.force_login(owner)
    page = reverse("admin:stations_evsehealth_change", args=[plug.evse.pk])
    assert "sessions_7d" not in client.get(page).text
    EVSE.objects.update(charger=factories.charger(place, van.organisation))
    assert "sessions_7d" in client.get(page).text


def test_pages_go_on_among_thousands_of_units_with_full_marks(api, organisation):
    place = factories.location(factories.public_network(organisation))
    units = EVSE.objects.bulk_create(EVSE(location=place, public_id=f"FC-E-{number}") for number in range(2_100))
    EvseHealth.objects.bulk_create(EvseHealth(evse=unit, score=100, p_unusable=0.03, judged_at=NOW) for unit in units)
    seen, address = list[str](), "/api/v1/charger-health/?page_size=1000"
    for _ in range(3):
        page = api.get(address).json()
        seen += [row["evse"] for row in page["results"]]
        address = page["next"]
    assert address is None
    assert len(seen) == len(set(seen)) == len(units)


def test_lists_ask_the_database_a_fixed_number_of_times(api, broken, van, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        api.get("/api/v1/charger-health/")
    with django_assert_max_num_queries(8):
        api.get("/api/v1/maintenance-tickets/")


def test_the_desk_shows_why_and_takes_a_step(client, broken, owner):
    client.force_login(owner)
    listed = client.get(reverse("admin:stations_evsehealth_changelist"), {"failing": "1"})
    assert "Starts fail" in listed.text
    page = client.get(reverse("admin:stations_evsehealth_change", args=[broken.evse.pk]))
    assert page.status_code == 200
    ticket = MaintenanceTicket.objects.get()
    assert broken.evse.charger.ocpp_identity in client.get(reverse("admin:stations_maintenanceticket_changelist")).text
    address = reverse("admin:stations_maintenanceticket_work_on", args=[ticket.pk])
    assert "Note" in client.get(address).text
    client.post(address, {"state": "in_work", "assignee": owner.pk, "note": "On my way"})
    ticket.refresh_from_db()
    assert (ticket.state, ticket.assignee) == ("in_work", owner)
    assert "On my way" in client.get(reverse("admin:stations_maintenanceticket_change", args=[ticket.pk])).text


def test_the_sweep_asks_the_database_a_fixed_number_of_times(depot, van, organisation):
    breaks(depot, van)
    sweep.judge_units(now=NOW)

    def asked() -> int:
        with connection.execute_wrapper(lambda run, *call: counts.append(1) or run(*call)):
            counts: list[int] = []
            sweep.judge_units(now=NOW)
        return len(counts)

    few = asked()
    for _ in range(3):
        breaks(
            factories.connector(depot.evse.location, charger=factories.charger(depot.evse.location, organisation)), van
        )
    assert asked() == few
