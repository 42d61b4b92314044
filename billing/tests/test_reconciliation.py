"""Verdicts over real rows: same evidence, same answer; late pings may settle a doubt; a person stays in charge."""

from datetime import timedelta

import pytest

from billing import tasks
from billing.matching import rulesets, unpacked
from billing.models import BillingException, ChargingSession, ReconciliationVerdict
from billing.reconciliation import page
from billing.services import exceptions, reconciliation
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from fleetcharge.accounts.models import Organisation, User
from vehicles.models import Position

END = NOON + timedelta(minutes=30)
HERE, AWAY = 12.9716, 13.05


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation)


@pytest.fixture
def session(fleet: Fleet) -> ChargingSession:
    stop(fleet, start(fleet).transaction_ref)
    return ChargingSession.objects.get()


def send_pings(fleet: Fleet, latitude: float, *, received_after: timedelta = timedelta(0)) -> None:
    for minute in range(-20, 50, 5):
        at = NOON + timedelta(minutes=minute)
        Position.objects.create(
            vehicle=fleet.vehicle, fix_at=at, received_at=at + received_after, latitude_e7=round(latitude * 1e7),
            longitude_e7=775946000, speed_dkmh=0, accuracy_m=8, soc_permille=300 if minute <= 0 else 770,
        )  # fmt: skip


def judge(session: ChargingSession, **after: int) -> ReconciliationVerdict:
    verdict = reconciliation.judge(session_id=session.pk, now=END + timedelta(**after))
    assert verdict is not None
    return verdict


def test_a_vehicle_that_was_there_is_verified(fleet: Fleet, session: ChargingSession) -> None:
    send_pings(fleet, HERE)
    assert judge(session).verdict == "verified"
    session.refresh_from_db()
    assert session.reconciled_at == END
    assert not BillingException.objects.exists()


def test_a_vehicle_elsewhere_is_blocked_and_reported_once(fleet: Fleet, session: ChargingSession) -> None:
    send_pings(fleet, AWAY)
    for _ in range(2):
        assert judge(session).verdict == "blocked"
    doubt = BillingException.objects.get()
    assert (doubt.kind, doubt.details["rule"]) == ("suspicious_session", "L1")


def test_a_running_session_has_no_verdict(fleet: Fleet) -> None:
    assert reconciliation.judge(session_id=start(fleet).session_id, now=END) is None


def test_the_stored_evidence_alone_gives_the_verdict_again(fleet: Fleet, session: ChargingSession) -> None:
    send_pings(fleet, AWAY)
    judge(session)
    Position.objects.filter(vehicle=fleet.vehicle).delete()  # retention
    stored = ReconciliationVerdict.objects.get()
    again = rulesets.rerun(
        version=stored.ruleset_version, evidence=stored.evidence, thresholds=stored.thresholds
    )  # fmt: skip
    first = rulesets.canonical(stored.verdict, stored.points, stored.findings, stored.input_hash)
    assert rulesets.canonical(again.verdict, again.points, again.findings, again.input_hash) == first


@pytest.mark.parametrize(("metres_off", "words"), [(0, "The vehicle stood within the radius."),
                                                   (4_200, "Presence is not proven.")])  # fmt: skip
def test_the_page_says_within_the_radius_only_where_it_was_proven(
    fleet: Fleet, session: ChargingSession, metres_off: int, words: str
) -> None:
    """Two minutes at the station are no presence, though it stood somewhere all the time."""
    for second in range(-1200, 3000, 60):
        at = NOON + timedelta(seconds=second)
        off = 0 if second <= 120 else metres_off
        Position.objects.create(
            vehicle=fleet.vehicle, fix_at=at, received_at=at, latitude_e7=round(HERE * 1e7 + off * 90),
            longitude_e7=775946000, speed_dkmh=0, accuracy_m=8,
        )  # fmt: skip
    assert page.page_of(judge(session))["gap"] == words


def test_late_pings_are_noticed_and_settle_the_doubt(fleet: Fleet, session: ChargingSession) -> None:
    assert judge(session).verdict == "inconclusive"
    assert not _late(hours=1)
    send_pings(fleet, HERE, received_after=timedelta(hours=5))
    assert _late(hours=6) == [session.pk]
    assert judge(session, hours=6).verdict == "verified"
    assert not _late(hours=7)


def test_a_doubt_that_late_pings_settle_is_closed(fleet: Fleet, session: ChargingSession) -> None:
    send_pings(fleet, AWAY)
    assert judge(session).verdict == "blocked"
    Position.objects.filter(vehicle=fleet.vehicle).delete()
    send_pings(fleet, HERE, received_after=timedelta(hours=1))
    assert judge(session, hours=2).verdict == "verified"
    assert BillingException.objects.get().resolution == "Positions that arrived later settle it."


def test_what_a_person_decided_is_not_asked_again(fleet: Fleet, session: ChargingSession, finance: User) -> None:
    send_pings(fleet, AWAY)
    judge(session)
    doubt = BillingException.objects.get()
    exceptions.resolve_exception(exception_id=doubt.pk, actor=finance, reason="tracker swapped", at=END)
    ChargingSession.objects.update(energy_wh=9_999)  # other evidence, the same verdict
    assert judge(session, hours=1).verdict == "blocked"
    assert not BillingException.objects.open().exists()


def test_the_sweep_judges_what_has_no_verdict(fleet: Fleet, session: ChargingSession) -> None:
    tasks.sweep_unreconciled()
    assert ReconciliationVerdict.objects.get().session == session


def test_a_chatty_tracker_is_thinned_evenly(fleet: Fleet, session: ChargingSession) -> None:
    Position.objects.bulk_create(
        Position(
            vehicle=fleet.vehicle, fix_at=NOON + timedelta(seconds=second), received_at=NOON, latitude_e7=129716000,
            longitude_e7=775946000,
        )
        for second in range(1800)
    )  # fmt: skip
    verdict = judge(session)
    assert verdict.verdict == "verified"
    assert 400 <= len(unpacked(verdict.evidence["track"]["seconds"])) <= reconciliation.MOST_PINGS


def _late(**after: int) -> list[int]:
    now = END + timedelta(**after)
    return reconciliation.overtaken(now=now, since=now - timedelta(hours=72), limit=10)
