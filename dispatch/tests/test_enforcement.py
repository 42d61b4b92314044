"""A reserved place is kept by us: strangers are found out, stopped or flagged, and the promised vehicle drives on."""

from datetime import timedelta

import pytest

from billing.models import ChargingPolicy, ChargingSession
from billing.services.sessions import end_session
from dispatch import handlers, services, tasks
from dispatch.models import Alert, ChargePlan, Reservation, ReservationBreach
from dispatch.services import enforcement
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from dispatch.tests.planned import ask_for
from stations.cpo import registry
from stations.cpo.base import PENDING, Capability, CPOUnavailable
from stations.events import ChargerBooted
from stations.models import Charger, Connector
from vehicles.models import VehicleState

pytestmark = pytest.mark.django_db
SOON = NOW + timedelta(minutes=5)


@pytest.fixture
def bay(organisation):
    """One own charger with a plug 1 km away; public plugs lie 2 and 4 km away."""
    own = factories.source(organisation)
    place = factories.location(own, latitude=factories.HERE[0] + 1 / 111.2, organisation=organisation)
    charger = factories.charger(place, organisation)
    public = factories.public_network(organisation)
    for km in (2, 4):
        factories.connector(factories.location(public, latitude=factories.HERE[0] + km / 111.2))
    return factories.connector(place, charger=charger)


@pytest.fixture
def asked(monkeypatch):
    """What the charger was asked. (The wire itself is tested where the adapter lives.)"""

    class OwnChargers:
        kind = "ocpp-own"
        capabilities = frozenset({Capability.RESERVE, Capability.START_STOP})
        failure = None

        def __init__(self):
            self.reserved, self.cancelled, self.stopped = [], [], []

        def reserve(self, request):
            self.reserved.append((request.reservation_number, request.occasion, request.group_id))
            return PENDING

        def cancel(self, connector, reservation_key, reservation_number):
            self.cancelled.append(reservation_number)
            return PENDING

        def stop(self, request):
            from django.db import connection

            if self.failure:
                raise self.failure
            self.stopped.append((request.transaction_ref, request.stop_key, len(connection.savepoint_ids)))
            return PENDING

    adapter = OwnChargers()
    monkeypatch.setitem(registry._adapters, "ocpp-own", adapter)
    return adapter


@pytest.fixture
def promised(bay, asked, organisation, dispatcher):
    """A low vehicle with a confirmed reservation of the bay, by its plan."""
    vehicle = factories.vehicle(organisation)
    plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=NOW)
    assert plan.connector == bay
    services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=NOW)
    ask_for(plan)
    reservation = Reservation.objects.get()
    services.answer_reservation(reservation_key=str(reservation.key), state="accepted", reason="", at=NOW)
    reservation.refresh_from_db()
    assert reservation.state == "confirmed"
    return reservation


def begin(connector, vehicle=None, *, token="", at=SOON, follow=True, **fields):
    values = {
        "organisation": vehicle.organisation if vehicle else connector.evse.charger.organisation,
        "source": connector.evse.location.source, "charger": connector.evse.charger, "connector": connector,
        "transaction_ref": f"t{ChargingSession.objects.count()}", "start_key": f"s{ChargingSession.objects.count()}",
        "vehicle": vehicle, "id_token_uid": token, "started_at": at, **fields,
    }  # fmt: skip
    session = ChargingSession.objects.create(**values)
    if follow:
        services.session_started(
            session_id=session.pk, vehicle_id=session.vehicle_id, connector_id=connector.pk,
            location_id=connector.evse.location_id, now=at,
        )  # fmt: skip
    return session


def arrive(promised, connector):
    site = connector.evse.location
    VehicleState.objects.filter(vehicle=promised.vehicle).update(latitude=site.latitude, longitude=site.longitude)
    return site


def stop_policy(organisation, reserved_bay="stop"):
    ChargingPolicy.objects.create(organisation=organisation, reserved_bay=reserved_bay)


def test_a_stranger_on_a_reserved_place_is_flagged_and_our_vehicle_drives_on(promised, bay, organisation, asked):
    stranger = factories.vehicle(organisation, soc_percent=60)
    session = begin(bay, stranger)
    promised.refresh_from_db()
    breach = ReservationBreach.objects.get()
    assert (promised.state, promised.reason) == ("cancelled", "another vehicle started here")
    assert (breach.state, breach.session, breach.organisation) == ("flagged", session, organisation)
    new = ChargePlan.objects.open().get()
    assert (new.replaces, new.trigger, new.vehicle) == (promised.plan, "taken", promised.vehicle)
    assert new.connector != bay
    alert = Alert.objects.get(dedupe_key=f"breach:{promised.number}")
    assert (alert.kind, alert.vehicle, alert.session) == ("reservation_lost", promised.vehicle, session)
    assert stranger.registration in alert.body and "Nothing was stopped." in alert.body
    assert asked.stopped == []
    bay.refresh_from_db()
    assert not bay.is_held


def test_by_policy_the_stranger_is_stopped(promised, bay, organisation, asked):
    stop_policy(organisation)
    session = begin(bay, factories.vehicle(organisation, soc_percent=60))
    breach = ReservationBreach.objects.get()
    assert (breach.state, asked.stopped) == ("stopping", [])  # not before the charger has its answer
    assert services.ask_to_stop(breach_id=breach.pk, now=SOON)
    assert [(ref, key) for ref, key, _ in asked.stopped] == [(session.transaction_ref, f"breach:{breach.pk}:1")]
    assert Alert.objects.filter(body__contains="asked to stop it").exists()
    ChargingSession.objects.update(state="ended")
    assert services.session_over(session_id=session.pk, now=SOON) == 1
    breach.refresh_from_db()
    assert (breach.state, breach.closed_at) == ("stopped", SOON)
    assert not Alert.objects.open().filter(dedupe_key__startswith="breach").exists()


def test_the_stop_is_asked_for_a_little_after_the_start(
    promised, bay, organisation, monkeypatch, django_capture_on_commit_callbacks
):
    stop_policy(organisation)
    sent = []
    monkeypatch.setattr(tasks.stop_breach, "apply_async", lambda args, countdown, **how: sent.append((args, countdown)))
    monkeypatch.setattr(tasks.cancel_at_network, "apply_async", lambda args, **how: None)
    with django_capture_on_commit_callbacks(execute=True):
        begin(bay, factories.vehicle(organisation, soc_percent=60))
    assert sent == [((ReservationBreach.objects.get().pk,), 2)]


def test_a_charger_that_does_not_stop_is_asked_three_times(promised, bay, organisation, asked):
    stop_policy(organisation)
    begin(bay, factories.vehicle(organisation, soc_percent=60))
    breach = ReservationBreach.objects.get()
    for minute in range(5):
        services.sweep_breaches(now=SOON + timedelta(seconds=61 * minute))
    assert [key for _, key, _ in asked.stopped] == [f"breach:{breach.pk}:{attempt}" for attempt in (1, 2, 3)]
    breach.refresh_from_db()
    assert (breach.state, breach.attempts) == ("not_stopped", 3)
    assert Alert.objects.open().filter(body__contains="did not stop it").exists()


def test_a_charger_is_not_asked_twice_within_a_minute(promised, bay, organisation, asked):
    stop_policy(organisation)
    begin(bay, factories.vehicle(organisation, soc_percent=60))
    for second in (0, 10, 59):
        services.sweep_breaches(now=SOON + timedelta(seconds=second))
    assert len(asked.stopped) == 1


def test_a_network_that_is_away_is_asked_again(promised, bay, organisation, asked):
    stop_policy(organisation)
    begin(bay, factories.vehicle(organisation, soc_percent=60))
    asked.failure = CPOUnavailable("down")
    assert not services.ask_to_stop(breach_id=ReservationBreach.objects.get().pk, now=SOON)
    asked.failure = None
    services.sweep_breaches(now=SOON + timedelta(seconds=61))
    assert len(asked.stopped) == 1


def test_a_stop_that_breaks_does_not_break_the_sweep(promised, bay, organisation, asked):
    stop_policy(organisation)
    session = begin(bay, factories.vehicle(organisation, soc_percent=60))
    asked.failure = RuntimeError("unheard of")
    services.sweep_breaches(now=SOON + timedelta(seconds=61))
    ChargingSession.objects.filter(pk=session.pk).update(state="ended")
    services.sweep_breaches(now=SOON + timedelta(seconds=122))
    assert ReservationBreach.objects.get().closed_at is not None


def test_where_nobody_can_stop_the_stranger_is_flagged(promised, bay, organisation, asked):
    stop_policy(organisation)
    asked.capabilities = frozenset({Capability.RESERVE})
    begin(bay, factories.vehicle(organisation, soc_percent=60))
    assert ReservationBreach.objects.get().state == "flagged"


@pytest.mark.parametrize("times", [1, 3])
def test_found_once_however_often_it_is_looked_for(promised, bay, organisation, asked, times):
    session = begin(bay, factories.vehicle(organisation, soc_percent=60))
    for _ in range(times):
        services.enforce(session_id=session.pk, now=SOON)
        services.sweep_breaches(now=SOON)
    assert ReservationBreach.objects.count() == 1
    assert Alert.objects.filter(dedupe_key__startswith="breach").count() == 1
    assert ChargePlan.objects.open().count() == 1


def test_the_sweep_finds_a_stranger_whose_event_was_lost(promised, bay, organisation, asked):
    begin(bay, factories.vehicle(organisation, soc_percent=60), follow=False)
    assert services.sweep_breaches(now=SOON) == 1
    promised.refresh_from_db()
    assert (promised.state, ChargePlan.objects.open().get().trigger) == ("cancelled", "taken")


# --- who has the right --------------------------------------------------------------------------------------------


def test_the_promised_vehicle_breaks_nothing(promised, bay):
    begin(bay, promised.vehicle)
    promised.refresh_from_db()
    assert (promised.state, ReservationBreach.objects.exists()) == ("used", False)
    assert ChargePlan.objects.get().state == "charging"


def test_its_token_in_other_letters_is_its_token(promised, bay):
    begin(bay, token=promised.id_token.lower())
    promised.refresh_from_db()
    assert (promised.state, ReservationBreach.objects.exists()) == ("used", False)


def test_another_token_of_the_vehicle_is_the_vehicle(promised, bay):
    """The same group: OCPP's parentIdTag and groupIdToken."""
    begin(bay, promised.vehicle, token="THE-DRIVERS-OWN")
    assert not ReservationBreach.objects.exists()


def test_an_unknown_token_is_a_stranger(promised, bay):
    begin(bay, token="NOBODY")
    assert "Token NOBODY started to charge" in Alert.objects.get(dedupe_key__startswith="breach").body


def test_who_plugs_in_before_showing_a_token_is_not_judged_yet(promised, bay):
    """OCPP 2.x: cable first, card second. Our own vehicle stands there."""
    site = arrive(promised, bay)
    session = begin(bay)
    assert services.sweep_breaches(now=SOON) == 0
    ChargingSession.objects.update(vehicle=promised.vehicle, id_token_uid=promised.id_token)
    services.session_started(
        session_id=session.pk, vehicle_id=promised.vehicle_id, connector_id=bay.pk, location_id=site.pk, now=SOON
    )
    promised.refresh_from_db()
    assert (promised.state, ChargePlan.objects.get().state) == ("used", "charging")


def test_energy_without_any_token_is_a_stranger(promised, bay):
    arrive(promised, bay)
    begin(bay)
    ChargingSession.objects.update(energy_wh=1)
    assert services.sweep_breaches(now=SOON) == 1


def test_another_plug_of_the_same_evse_is_the_same_place(promised, bay, organisation, asked):
    beside = Connector.objects.create(evse=bay.evse, connector_id=2, plug="type2_socket", max_power_w=22_000)
    begin(beside, factories.vehicle(organisation, soc_percent=60))
    assert ReservationBreach.objects.get().reservation == promised


def test_a_session_that_ran_before_the_promise_breaks_nothing(promised, bay, organisation):
    begin(bay, factories.vehicle(organisation, soc_percent=60), at=NOW - timedelta(minutes=5))
    assert not ReservationBreach.objects.exists()
    assert ChargePlan.objects.open().get().trigger == "taken"  # and still our vehicle drives on


def test_a_promise_that_was_over_is_not_broken(promised, bay, organisation):
    begin(bay, factories.vehicle(organisation, soc_percent=60), at=promised.expires_at)
    assert not ReservationBreach.objects.exists()


def test_a_session_that_has_ended_meanwhile_breaks_nothing(promised, bay, organisation):
    begin(bay, factories.vehicle(organisation, soc_percent=60), state="ended", ended_at=SOON)
    assert not ReservationBreach.objects.exists()


# --- whose charger ------------------------------------------------------------------------------------------------


def test_the_chargers_owner_decides_and_neither_learns_of_the_other(bay, asked, organisation, other_organisation):
    """The stranger's fleet charges at our open charger, on a place promised to us; the owner's policy holds."""
    owner, guest = organisation, other_organisation
    bay.evse.location.organisation = None
    bay.evse.location.save()
    vehicle = factories.vehicle(guest)
    reservation = services.create_reservation(
        vehicle_id=vehicle.pk, connector_id=bay.pk, expires_at=NOW + timedelta(hours=1), actor=None, now=NOW
    )
    stop_policy(owner)
    intruder = factories.vehicle(owner, soc_percent=60)
    session = begin(bay, intruder)
    assert ReservationBreach.objects.get().state == "stopping"
    theirs = Alert.objects.get(organisation=guest, dedupe_key=f"breach:{reservation.number}")
    ours = Alert.objects.get(organisation=owner, dedupe_key=f"breach:{reservation.number}")
    assert intruder.registration not in theirs.title + theirs.body and theirs.session is None
    assert vehicle.registration not in ours.title + ours.body and ours.vehicle is None
    assert (ours.session, theirs.vehicle) == (session, vehicle)


def test_a_reservation_made_by_hand_gets_a_plan(bay, asked, organisation, dispatcher):
    vehicle = factories.vehicle(organisation)
    services.create_reservation(
        vehicle_id=vehicle.pk, connector_id=bay.pk, expires_at=NOW + timedelta(hours=1), actor=dispatcher, now=NOW
    )
    begin(bay, factories.vehicle(organisation, soc_percent=60))
    plan = ChargePlan.objects.open().get()
    assert (plan.vehicle, plan.trigger) == (vehicle, "taken")
    assert plan.connector != bay


@pytest.mark.parametrize("is_by_hand", [True, False])
def test_a_process_that_dies_before_it_plans_again_is_made_good(
    bay, asked, organisation, dispatcher, monkeypatch, is_by_hand, request
):
    """The promise is lost in one transaction, the new plan comes after it."""
    if is_by_hand:
        vehicle = factories.vehicle(organisation)
        reservation = services.create_reservation(
            vehicle_id=vehicle.pk, connector_id=bay.pk, expires_at=NOW + timedelta(hours=1), actor=dispatcher, now=NOW
        )
    else:
        reservation = request.getfixturevalue("promised")
    with monkeypatch.context() as dying:
        dying.setattr(enforcement, "_send_elsewhere", lambda *where: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            begin(bay, factories.vehicle(organisation, soc_percent=60))
    breach = ReservationBreach.objects.get()
    assert (breach.reservation_id, breach.replanned_at) == (reservation.pk, None)
    services.sweep_breaches(now=SOON + timedelta(seconds=5))  # it may be about to be done
    assert not ChargePlan.objects.filter(trigger="taken").exists()
    for _ in range(2):
        services.sweep_breaches(now=SOON + timedelta(seconds=30))
    plan = ChargePlan.objects.get(trigger="taken")
    assert (plan.vehicle_id, plan.connector_id != bay.pk) == (reservation.vehicle_id, True)
    breach.refresh_from_db()
    assert breach.replanned_at == SOON + timedelta(seconds=30)


# --- chargers forget ----------------------------------------------------------------------------------------------


def test_a_charger_that_restarted_is_told_again(promised, bay, asked, monkeypatch, django_capture_on_commit_callbacks):
    told = []
    monkeypatch.setattr(tasks.send_reservations_again, "apply_async", lambda args, **how: told.append(args))
    boot = ChargerBooted(bay.evse.charger_id, bay.evse.location_id, promised.organisation_id, "Accepted", SOON)
    with django_capture_on_commit_callbacks(execute=True):
        handlers.remind_restarted_chargers((boot,))
    assert told == [(bay.evse.charger_id, SOON.isoformat())]
    assert services.send_again(charger_id=bay.evse.charger_id, booted_at=SOON, now=SOON) == 1
    assert asked.reserved[-1] == (promised.number, f"{SOON:%Y%m%d%H%M%S}", f"VEHICLE-{promised.vehicle_id}")
    Reservation.objects.update(state="used")
    with django_capture_on_commit_callbacks(execute=True):
        handlers.remind_restarted_chargers((boot,))
    assert len(told) == 1


def test_a_restarted_charger_is_told_also_when_the_hint_was_lost(promised, bay, asked):
    charger, later = Charger.objects.filter(pk=bay.evse.charger_id), SOON + timedelta(seconds=31)
    charger.update(last_boot_at=SOON, is_online=False)
    asked.reserved.clear()
    assert services.remind(now=later) == 0  # it hears nothing yet
    charger.update(is_online=True)
    assert services.remind(now=SOON + timedelta(seconds=5)) == 0  # the hint has its time
    assert [services.remind(now=later) for _ in range(2)] == [1, 0]
    assert asked.reserved == [(promised.number, f"{SOON:%Y%m%d%H%M%S}", f"VEHICLE-{promised.vehicle_id}")]
    charger.update(last_boot_at=later + timedelta(seconds=1))  # and again
    assert services.remind(now=later + timedelta(minutes=1)) == 1
    Reservation.objects.update(state="used", reminded_at=None)
    assert services.remind(now=later + timedelta(minutes=1)) == 0


def test_one_charger_that_cannot_be_reminded_keeps_no_other_waiting(promised, bay, asked, organisation, caplog):
    other = factories.connector(bay.evse.location, charger=factories.charger(bay.evse.location, organisation))
    wish = {"connector_id": other.pk, "expires_at": promised.expires_at, "actor": None, "now": NOW}
    second = services.create_reservation(vehicle_id=factories.vehicle(organisation).pk, **wish)
    services.send_reservation(second.number, NOW)
    services.answer_reservation(reservation_key=str(second.key), state="accepted", reason="", at=NOW)
    Charger.objects.update(last_boot_at=SOON, is_online=True)
    asked.reserved.clear()
    honest = type(asked).reserve

    def broken(request):
        if request.reservation_number == promised.number:
            raise RuntimeError("a bug")
        return honest(asked, request)

    asked.reserve = broken
    assert services.remind(now=SOON + timedelta(minutes=1)) == 1
    assert [number for number, _, _ in asked.reserved] == [second.number]
    assert f"could not work on reservation {promised.number}" in caplog.text


def test_silence_after_a_restart_keeps_the_promise_and_a_refusal_ends_it(promised, bay, asked):
    key = str(promised.key)
    assert not services.answer_reservation(reservation_key=key, state="timed_out", reason="", at=SOON)
    promised.refresh_from_db()
    assert promised.state == "confirmed"
    assert services.answer_reservation(reservation_key=key, state="rejected", reason="Occupied", at=SOON)
    promised.refresh_from_db()
    assert promised.state == "rejected"
    assert ChargePlan.objects.open().get().connector != bay


def test_a_restarted_charger_that_says_occupied_by_our_own_vehicle_keeps_the_promise(promised, bay, asked):
    arrive(promised, bay)
    key = str(promised.key)
    assert not services.answer_reservation(reservation_key=key, state="rejected", reason="Occupied", at=SOON)
    promised.refresh_from_db()
    assert promised.state == "confirmed"


def test_our_clock_ends_a_promise_not_the_chargers(promised, bay, asked):
    """OCPP 2.x ReservationStatusUpdate Expired from a charger whose clock is ahead."""
    key = str(promised.key)
    asked.reserved.clear()
    assert services.answer_reservation(reservation_key=key, state="expired", reason="", at=SOON)
    promised.refresh_from_db()
    assert (promised.state, len(asked.reserved)) == ("confirmed", 1)
    nearly = promised.expires_at - timedelta(seconds=30)
    assert not services.answer_reservation(reservation_key=key, state="expired", reason="", at=nearly)
    assert services.expire_reservations(now=promised.expires_at) == 1


def test_a_promise_the_charger_took_back_is_lost(promised, bay, asked):
    """OCPP 2.x ReservationStatusUpdate Removed."""
    assert services.answer_reservation(reservation_key=str(promised.key), state="cancelled", reason="Removed", at=SOON)
    assert ChargePlan.objects.open().get().connector != bay


def test_a_real_stop_closes_the_breach(promised, bay, organisation, asked, django_capture_on_commit_callbacks):
    stop_policy(organisation)
    session = begin(bay, factories.vehicle(organisation, soc_percent=60))
    services.ask_to_stop(breach_id=ReservationBreach.objects.get().pk, now=SOON)
    with django_capture_on_commit_callbacks(execute=True):
        end_session(
            charger_id=bay.evse.charger_id, transaction_ref=session.transaction_ref, ended_at=SOON, received_at=SOON,
            meter_stop_wh=None, reason="Remote",
        )  # fmt: skip
    assert ReservationBreach.objects.get().state == "stopped"
