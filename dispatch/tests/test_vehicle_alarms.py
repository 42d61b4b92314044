"""A vehicle calls for help: one alert at once, closed when it is over, found again when its event was lost."""

from datetime import UTC, datetime, timedelta

import pytest

from dispatch.models import Alert
from dispatch.services import alarms_unnoticed, close_alert
from dispatch.tasks import sweep_alerts
from vehicles.alarms import clear_alarm, raise_alarm
from vehicles.models import TrackerAlarm
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def van(organisation):
    return make_vehicle(organisation, device_id="861359030000001", registration="KA 03 MX 4471")


def call(kind: str = "emergency", at: datetime = NOW, received_at: datetime = NOW):
    return raise_alarm(device_id="861359030000001", kind=kind, at=at, received_at=received_at, place=(12.97, 77.59))


def test_an_emergency_is_one_alert_until_it_is_over(van, organisation, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert call() is not None
        assert call() is None  # the same again
        assert call(at=NOW + timedelta(seconds=5), received_at=NOW + timedelta(seconds=5)) is None  # still held down
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.vehicle, alert.organisation) == (
        "vehicle_alarm",
        "bad",
        van,
        organisation,
    )
    assert alert.title == "KA 03 MX 4471: Emergency button"
    assert alert.data["latitude"] == 12.97
    with django_capture_on_commit_callbacks(execute=True):
        assert clear_alarm(device_id="861359030000001", kind="emergency", at=NOW + timedelta(minutes=1))
    alert.refresh_from_db()
    assert alert.closed_at == NOW + timedelta(minutes=1)
    with django_capture_on_commit_callbacks(execute=True):
        assert call(at=NOW + timedelta(minutes=2), received_at=NOW + timedelta(minutes=2)) is not None
    assert Alert.objects.open().count() == 1


def later(seconds: int, kind: str = "emergency"):
    at = NOW + timedelta(seconds=seconds)
    return call(kind, at=at, received_at=at)


def test_the_button_pressed_again_is_told_again_though_nobody_said_it_was_over(
    van, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        call()
        assert [later(seconds) for seconds in (20, 40, 60, 80)] == [None] * 4  # held down
    Alert.objects.update(snoozed_until=NOW + timedelta(hours=1))
    with django_capture_on_commit_callbacks(execute=True):
        assert later(141) is not None
    alert = Alert.objects.open().get()
    assert (alert.opened_at, alert.snoozed_until) == (NOW + timedelta(seconds=141), None)
    assert Alert.objects.count() == 2
    assert TrackerAlarm.objects.standing().get().raised_at == NOW + timedelta(seconds=141)


def test_the_button_pressed_again_after_a_dispatcher_closed_the_alert_is_told(
    van, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        call()
    close_alert(alert_id=Alert.objects.get().pk, actor=None, reason="Spoke to the driver", now=NOW)
    with django_capture_on_commit_callbacks(execute=True):
        assert later(30) is None  # the same press, still repeated
    assert not Alert.objects.open().exists()
    with django_capture_on_commit_callbacks(execute=True):
        assert later(120) is not None
    assert Alert.objects.open().get().opened_at == NOW + timedelta(seconds=120)


def test_a_repetition_that_comes_after_the_end_is_no_new_call(van, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        call()
    with django_capture_on_commit_callbacks(execute=True):
        clear_alarm(device_id="861359030000001", kind="emergency", at=NOW + timedelta(seconds=30))
    with django_capture_on_commit_callbacks(execute=True):
        assert call(at=NOW + timedelta(seconds=20), received_at=NOW + timedelta(seconds=40)) is None
    assert not Alert.objects.open().exists()
    with django_capture_on_commit_callbacks(execute=True):
        assert later(45) is not None
    assert Alert.objects.open().get().opened_at == NOW + timedelta(seconds=45)


def test_a_wire_that_stays_cut_is_told_once_an_hour_at_most(van, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert [later(minutes * 60, "wire_cut") is not None for minutes in (0, 30, 80, 141)] == [
            True,
            False,
            False,
            True,
        ]
    assert Alert.objects.open().count() == 1


def test_late_alarms_and_strangers_trackers_raise_nothing(van, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        late = call(at=NOW - timedelta(minutes=11))
        assert late is not None
        assert late.is_late
        assert raise_alarm(device_id="nobody", kind="tamper", at=NOW, received_at=NOW) is None
    assert not Alert.objects.exists()
    assert alarms_unnoticed(now=NOW + timedelta(minutes=1)) == []


def test_an_alarm_whose_event_was_lost_is_found(van) -> None:
    now = datetime.now(UTC)
    call("tamper", at=now - timedelta(minutes=1), received_at=now - timedelta(minutes=1))  # nobody runs the callbacks
    assert not Alert.objects.exists()
    sweep_alerts()
    assert Alert.objects.get().severity == "warn"
    assert alarms_unnoticed(now=now) == []
    assert TrackerAlarm.objects.standing().count() == 1
