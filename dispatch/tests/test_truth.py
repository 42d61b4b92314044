"""A network whose word proved untrue is a risk on the road, and answers to reservations are the evidence."""

from datetime import timedelta

import pytest

from dispatch import services
from dispatch.core.choose import RISK, RISK_OF_A_LIAR, Candidate, risk_of
from dispatch.models import Reservation
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from stations.registry_models import StatusProof


def test_a_network_that_is_often_wrong_is_a_risk_on_the_road() -> None:
    def risk(percent: int | None, *, is_free: bool = True) -> float:
        way = {"drive_m": 1.0, "drive_seconds": 1.0, "onward_m": None, "onward_seconds": None}
        return risk_of(Candidate(
            1, 1, "x", True, 60_000.0, freshness="live", is_free=is_free, is_reservable=True, wait_seconds=0.0,
            truth_percent=percent, **way,
        ))  # type: ignore[arg-type]  # fmt: skip

    assert risk(None) == RISK["live"]
    assert risk(50) == pytest.approx(RISK["live"] + RISK_OF_A_LIAR / 2)
    assert risk(50, is_free=False) == risk(None, is_free=False)  # a plug shown as busy is no promise


@pytest.mark.django_db
def test_the_answer_to_a_reservation_is_evidence_once(organisation):
    plug = factories.connector(factories.location(factories.public_network(organisation)))
    plug.status_since = NOW - timedelta(hours=1)
    plug.save()
    reservation = Reservation.objects.create(
        organisation=organisation, connector=plug, evse=plug.evse, vehicle=factories.vehicle(organisation),
        state="requested", sent_at=NOW, starts_at=NOW, expires_at=NOW + timedelta(hours=3),
    )  # fmt: skip
    answer = {"reservation_key": str(reservation.key), "state": "rejected", "reason": "EVSE_OCCUPIED", "at": NOW}
    assert services.learn_from_answer(**answer)
    assert not services.learn_from_answer(**answer)
    assert (StatusProof.objects.get().was_true, StatusProof.objects.get().connector) == (False, plug)
    assert not services.learn_from_answer(**{**answer, "reservation_key": "not one of ours"})
    Reservation.objects.update(starts_at=NOW + timedelta(hours=1))
    StatusProof.objects.all().delete()
    assert not services.learn_from_answer(**answer)  # a promise for later
