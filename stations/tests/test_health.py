"""A network that stops: its silence is noticed, its status grows old, one alert is raised, and all of it heals."""

from datetime import UTC, datetime, timedelta

import pytest

from fleetcharge.accounts.models import Organisation
from stations import services, tasks
from stations.belief import freshness_of, has_believed_connector, is_believed
from stations.models import Connector, Location, Source
from stations.nearest import Near, nearest
from stations.services.networks import SILENT
from stations.tests.factories import make_public_connector, make_source

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def volt() -> Source:
    return make_source(slug="volt", kind="ocpi-2.2.1")


@pytest.fixture
def plug(volt: Source) -> Connector:
    return make_public_connector(volt, status="available", status_at=NOON, heard_at=NOON)


def pushes(source: Source, *seconds: int) -> None:
    for each in seconds:
        services.push_received(source_id=source.pk, at=NOON + timedelta(seconds=each))
    source.refresh_from_db()


def fails(source: Source, *seconds: int) -> None:
    for each in seconds:
        services.source_failed(source_id=source.pk, error="connect timeout", at=NOON + timedelta(seconds=each))
    source.refresh_from_db()


def test_its_longest_pause_of_late_is_what_it_is_judged_by(volt: Source) -> None:
    pushes(volt, 0, 10, 40, 45)
    assert volt.usual_push_seconds == pytest.approx(30, rel=0.01)
    assert not services.is_silent(volt, can_pull=True, now=NOON + timedelta(seconds=45 + 89))
    assert services.is_silent(volt, can_pull=True, now=NOON + timedelta(seconds=45 + 91))


def test_an_outage_hardly_stretches_its_usual_pause(volt: Source) -> None:
    pushes(volt, 0, 10, 20, 20 + 7200)
    assert volt.usual_push_seconds == pytest.approx(90, rel=0.01)  # three pauses and a minute, not two hours


def test_a_known_outage_is_no_pause(volt: Source) -> None:
    """Not even when a poll has healed it before its next push."""
    pushes(volt, 0, 10, 20)
    fails(volt, 60, 75, 105)
    services.source_polled(source_id=volt.pk, at=NOON + timedelta(seconds=7000))
    pushes(volt, 7200)
    assert (volt.usual_push_seconds, volt.state) == (10, "connected")
    assert services.is_silent(volt, can_pull=True, now=NOON + timedelta(seconds=7200 + 61))
    pushes(volt, 7240)  # an outage that is over counts no more
    assert volt.usual_push_seconds == 40


def test_a_push_that_is_older_than_the_last_changes_nothing(volt: Source) -> None:
    pushes(volt, 0, 10)
    pushes(volt, 5)
    assert (volt.last_push_at, volt.usual_push_seconds) == (NOON + timedelta(seconds=10), 10)


def test_a_quiet_network_is_asked_once_and_believed_when_it_answers(volt: Source) -> None:
    pushes(volt, 0, 10)
    later = NOON + timedelta(seconds=80)
    Source.objects.filter(pk=volt.pk).update(next_poll_at=NOON + timedelta(hours=1))
    assert tasks.watch_silence(later) == 1
    volt.refresh_from_db()
    assert (volt.next_poll_at, volt.state) == (later, "connected")
    services.source_polled(source_id=volt.pk, at=later)
    assert tasks.watch_silence(later + timedelta(minutes=10)) == 0


def test_a_network_nobody_can_ask_fails_by_its_silence_and_heals_with_its_next_word(volt: Source) -> None:
    Source.objects.filter(pk=volt.pk).update(kind="import")  # no adapter that pulls
    pushes(volt, 0, 10)
    assert tasks.watch_silence(NOON + timedelta(seconds=300)) == 0
    assert tasks.watch_silence(NOON + timedelta(seconds=320)) == 1
    volt.refresh_from_db()
    assert (volt.state, volt.last_error) == ("failing", SILENT)
    assert tasks.watch_silence(NOON + timedelta(seconds=400)) == 0
    pushes(volt, 500)
    assert (volt.state, volt.last_error, volt.failures_in_row) == ("connected", "", 0)


def test_a_push_of_a_failing_network_brings_its_next_poll_forward(volt: Source) -> None:
    fails(volt, 0, 15, 45, 105)
    assert (volt.state, volt.next_poll_at) == ("failing", NOON + timedelta(seconds=225))
    pushes(volt, 120)
    assert (volt.state, volt.next_poll_at) == ("failing", NOON + timedelta(seconds=120))  # a poll is the proof


def free_nearby(organisation: Organisation, seconds: int) -> int:
    near = Near(12.9595, 77.7, organisation.pk, is_available=True)
    return len(nearest(near, NOON + timedelta(seconds=seconds)))


def words(plug: Connector, seconds: int) -> str:
    """The freshness everybody shows; each way of asking agrees on whether to believe it."""
    now, row = NOON + timedelta(seconds=seconds), Connector.objects.get(pk=plug.pk)
    fresh = freshness_of(row, now)
    is_trusted = Connector.objects.filter(is_believed(now), pk=plug.pk).exists()
    site = Location.objects.filter(has_believed_connector(now), pk=plug.evse.location_id).exists()
    assert is_trusted == site == (fresh in {"live", "recent"})
    return fresh


def test_the_status_of_a_network_that_stopped_decays_step_by_step(
    volt: Source, plug: Connector, organisation: Organisation
) -> None:
    pushes(volt, 0, 400)
    assert [words(plug, 400), free_nearby(organisation, 400)] == ["live", 1]
    fails(volt, 401, 416, 446)
    assert [words(plug, 450), free_nearby(organisation, 450)] == ["recent", 1]  # nothing vouches for it any more
    assert [words(plug, 1700), free_nearby(organisation, 1700)] == ["recent", 1]
    assert [words(plug, 1801), free_nearby(organisation, 1801)] == ["stale", 0]
    assert words(plug, 86_401) == "none"
    services.source_polled(source_id=volt.pk, at=NOON + timedelta(seconds=90_000))
    assert [words(plug, 90_001), free_nearby(organisation, 90_001)] == ["live", 1]
