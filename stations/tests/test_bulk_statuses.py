"""Statuses by the thousand: one update whatever their number, one word to everybody, and no older word ever wins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.db import connection

from stations.events import ConnectorStatusChanged
from stations.models import EVSE, Connector, StatusChange
from stations.services import bulk, statuses
from stations.services.bulk import EvseReport, report_evses
from stations.tests.hooks import make_feed, make_plug

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture
def plug() -> Connector:
    return make_plug(make_feed(), "E1")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[ConnectorStatusChanged]:
    events: list[Any] = []
    monkeypatch.setattr(bulk, "publish_together", events.extend)
    return events


def report(plug: Connector, status: str, seconds: float, key: str = "E1", **more: Any) -> EvseReport:
    source_id = plug.evse.location.source_id
    at = NOW + timedelta(seconds=seconds)
    return EvseReport(source_id, key, more.get("raw", status), status, at, NOW + timedelta(minutes=1))


def test_everybody_is_told_once_of_the_last_word(plug: Connector, told: list[ConnectorStatusChanged]) -> None:
    words = ("available", "charging", "available", "charging")
    assert report_evses([report(plug, word, number) for number, word in enumerate(words)]) == ["applied"] * 4
    (event,) = told
    assert (event.old, event.new, event.at) == ("unknown", "charging", NOW + timedelta(seconds=3))
    assert event.change_id == StatusChange.objects.order_by("-pk")[0].pk
    assert StatusChange.objects.count() == 4


def test_there_and_back_again_is_history_and_no_news(plug: Connector, told: list[ConnectorStatusChanged]) -> None:
    report_evses([report(plug, "available", 0)])
    told.clear()
    report_evses([report(plug, "charging", 1), report(plug, "available", 2)])
    assert told == []
    assert StatusChange.objects.count() == 3


def test_a_word_of_the_same_instant_counts_when_it_differs(plug: Connector) -> None:
    assert report_evses([report(plug, "available", 0)]) == ["applied"]
    assert report_evses([report(plug, "available", 0)]) == ["unchanged"]
    assert report_evses([report(plug, "charging", 0)]) == ["applied"]
    assert report_evses([report(plug, "available", -1)]) == ["stale"]
    plug.refresh_from_db()
    assert plug.status == "charging"


def test_old_news_too_shows_that_the_network_lives(plug: Connector) -> None:
    report_evses([report(plug, "available", 0)])
    Connector.objects.update(heard_at=NOW - timedelta(hours=1))
    assert report_evses([report(plug, "charging", -5)]) == ["stale"]
    plug.refresh_from_db()
    assert (plug.status, plug.heard_at) == ("available", NOW + timedelta(minutes=1))


def test_what_outranks_a_source_outranks_it_here_too(plug: Connector) -> None:
    statuses.switch_connector(connector_id=plug.pk, is_switched_off=True, at=NOW)
    assert report_evses([report(plug, "available", 0)]) == ["applied"]
    plug.refresh_from_db()
    assert (plug.status, plug.reported_status) == ("unavailable", "available")


def test_the_update_itself_refuses_an_older_word(plug: Connector) -> None:
    """Should anything ever write without the lock."""
    report_evses([report(plug, "available", 0)])
    plug.refresh_from_db()
    plug.status, plug.status_at = "charging", NOW - timedelta(seconds=1)
    row = {"pk": plug.pk, **{name: getattr(plug, name) for name in bulk.COLUMNS}}
    with connection.cursor() as cursor:
        cursor.execute(bulk.UPDATE, [orjson.dumps([row]).decode(), [plug.pk]])
        assert cursor.rowcount == 0
    assert Connector.objects.get(pk=plug.pk).status == "available"


def test_taken_down_and_put_up_again(plug: Connector) -> None:
    report_evses([report(plug, "unavailable", 0, raw="REMOVED"), report(plug, "available", -9)])
    assert EVSE.objects.get().is_removed
    report_evses([report(plug, "available", 5)])
    assert not EVSE.objects.get().is_removed


def test_a_thousand_cost_the_statements_of_one(plug: Connector, django_assert_num_queries: Any) -> None:
    for number in range(2, 40):
        make_plug_of(plug, f"E{number}")
    first = [report(plug, "available", 0, f"E{number}") for number in range(1, 40)]
    with django_assert_num_queries(3):
        assert report_evses(first) == ["applied"] * 39
    many = [report(plug, "charging", step, f"e{number}") for step in range(1, 26) for number in range(1, 41)]
    with django_assert_num_queries(3):
        outcomes = report_evses(many)
    assert len(outcomes) == 1000
    assert outcomes.count("unknown_evse") == 25
    assert report_evses([]) == []


def make_plug_of(plug: Connector, name: str) -> None:
    make_plug(plug.evse.location.source.feed, name)
