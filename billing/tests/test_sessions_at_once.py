"""Stops, sweeps and pricing that meet in the same second: one session, one record, books that add up."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connections

from billing.models import CDR, CDRAdjustment, ChargingSession, Hold
from billing.services import adjustments, ending, overdue, rating, verification
from billing.tests.factories import NOON, Fleet, make_fleet, sample, start, stop
from fleetcharge.accounts.models import Organisation

pytestmark = pytest.mark.django_db(transaction=True)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=100_000_00)


def together(*works: Callable[[], object]) -> None:
    """Run in threads that begin at the same moment; what one raises is raised here."""
    barrier, errors = threading.Barrier(len(works)), []

    def run(work: Callable[[], object]) -> None:
        barrier.wait(60)
        try:
            work()
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not errors


def begin(fleet: Fleet) -> ChargingSession:
    started = start(fleet)
    sample(fleet, started.transaction_ref, 10, 7_000)
    ChargingSession.objects.filter(pk=started.session_id).update(suspect_reason="left")
    return ChargingSession.objects.get(pk=started.session_id)


def price(session: ChargingSession) -> None:
    for pk in CDR.objects.filter(session=session).values_list("pk", flat=True):
        rating.rate_and_capture(cdr_id=pk, now=NOON + 60 * MINUTE)


def late_stop(fleet: Fleet, session: ChargingSession) -> None:
    stop(fleet, session.transaction_ref, ended_at=NOON + 12 * MINUTE, meter_stop_wh=7_500)


@pytest.mark.parametrize("_round", range(6))
def test_a_late_stop_meets_the_sweep_and_the_pricing(fleet: Fleet, _round: int) -> None:
    session = begin(fleet)
    now = NOON + 30 * MINUTE
    together(
        lambda: ending.end_as_estimated(session_id=session.pk, why="left", not_after=None, now=now),
        lambda: late_stop(fleet, session),
        lambda: price(session),
    )
    together(lambda: late_stop(fleet, session), lambda: price(session), lambda: overdue.sweep(now=now))
    price(session)
    session.refresh_from_db()
    cdr = CDR.objects.get(session=session)
    assert (session.state, session.energy_wh, session.quality) == ("ended", 6_500, "billable")
    assert adjustments.figures_of(cdr).energy_wh == 6_500
    assert cdr.total_paise + session.adjusted_paise == 6_500 * 2124 // 1000
    assert CDRAdjustment.objects.count() <= 1
    assert Hold.objects.get().state == Hold.State.CAPTURED
    assert not verification.differences()


def test_the_same_end_on_four_sockets_ends_it_once(fleet: Fleet) -> None:
    session = begin(fleet)
    together(*[lambda: late_stop(fleet, session) for _ in range(4)])
    assert CDR.objects.get().energy_wh == 6_500
    assert not session.exceptions.exists()


def test_events_of_one_unknown_transaction_on_four_sockets_are_one_session(fleet: Fleet) -> None:
    def tell(is_reported: bool, token: str) -> None:
        start(
            fleet, evse_number=1, transaction_ref="tx-1", start_key="tx-1", is_reported=is_reported, id_token=token,
            meter_start_wh=1_000 if is_reported else None,
        )  # fmt: skip

    token = fleet.token.uid
    together(lambda: tell(True, ""), lambda: tell(False, token), lambda: tell(False, ""), lambda: tell(True, token))
    session = ChargingSession.objects.get()
    assert (session.is_start_reported, session.id_token_uid, session.meter_start_wh) == (True, token, 1_000)
    assert (session.authorisation_reason, Hold.objects.count()) == ("accepted", 1)
