"""A charger that fell silent is told of, also when the event about it was lost."""

from datetime import UTC, datetime, timedelta

import pytest

from dispatch import services
from dispatch.models import Alert
from stations.models import Charger
from stations.tests.factories import make_charger

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def silent(organisation):
    charger = make_charger(organisation)
    Charger.objects.filter(pk=charger.pk).update(
        is_online=False, disconnected_at=NOON, silent_shown_at=NOON + timedelta(minutes=1), last_seen_at=NOON
    )
    return charger


def test_silence_nobody_was_told_of_is_found_once(silent):
    assert services.silence_unnoticed(now=NOON + timedelta(seconds=70)) == []  # the event has its time
    later = NOON + timedelta(minutes=2)
    assert services.silence_unnoticed(now=later) == [silent.pk]
    services.charger_lost(charger_id=silent.pk, now=later)
    assert services.silence_unnoticed(now=later) == []


def test_what_a_person_closed_stays_closed_until_the_next_silence(silent, dispatcher):
    services.charger_lost(charger_id=silent.pk, now=NOON + timedelta(minutes=2))
    services.close_alert(
        alert_id=Alert.objects.get().pk, actor=dispatcher, reason="known", now=NOON + timedelta(minutes=3)
    )
    assert services.silence_unnoticed(now=NOON + timedelta(hours=1)) == []
    again = NOON + timedelta(hours=2)
    Charger.objects.filter(pk=silent.pk).update(disconnected_at=again, silent_shown_at=again)
    assert services.silence_unnoticed(now=again + timedelta(minutes=1)) == [silent.pk]


def test_a_charger_that_came_back_is_not_silent(silent):
    Charger.objects.filter(pk=silent.pk).update(is_online=True, disconnected_at=None)
    assert services.silence_unnoticed(now=NOON + timedelta(hours=1)) == []


def test_a_silence_whose_end_nobody_was_told_of_is_over_too(silent):
    later = NOON + timedelta(minutes=2)
    services.charger_lost(charger_id=silent.pk, now=later)
    assert services.silence_over(now=later + timedelta(hours=1)) == 0
    back = NOON + timedelta(minutes=5)
    Charger.objects.filter(pk=silent.pk).update(is_online=True, disconnected_at=None, connected_at=back)
    assert services.silence_over(now=back + timedelta(seconds=5)) == 0  # the event has its time
    assert [services.silence_over(now=back + timedelta(minutes=1)) for _ in range(2)] == [1, 0]
    assert Alert.objects.get().closed_at == back + timedelta(minutes=1)


def test_chargers_that_came_back_together_close_their_own_alerts_alone(silent, organisation):
    other = make_charger(organisation, "BLR-018")
    Charger.objects.filter(pk=other.pk).update(last_seen_at=NOON)
    for charger in (silent, other):
        services.charger_lost(charger_id=charger.pk, now=NOON)
    causes = [(organisation.pk, f"charger:{pk}", NOON) for pk in (silent.pk, 0)]
    assert services.close_alerts_by_key(causes=causes, reason="came back") == 1
    assert Alert.objects.open().get().dedupe_key == f"charger:{other.pk}"
