"""The index of sites is built again beside the questions, and not for every site that comes in."""

import threading
from types import SimpleNamespace

import pytest

from dispatch import site_index
from dispatch.site_index import SiteIndex
from dispatch.tests import factories
from dispatch.tests.factories import HERE

pytestmark = pytest.mark.django_db


def site(source):
    return factories.connector(factories.location(source)).evse.location_id


@pytest.fixture
def source(organisation):
    return factories.public_network(organisation)


def test_while_one_builds_others_are_answered_from_what_there_was(source, monkeypatch):
    monkeypatch.setattr(site_index, "CHECK_SECONDS", 0.0)
    index, answers, honest = SiteIndex(), [], site_index._Sites
    first = site(source)
    assert index.nearest(*HERE, 9) == [first]
    second = site(source)

    def built_while_another_asks(rows):
        other = threading.Thread(target=lambda: answers.append(index.nearest(*HERE, 9)), daemon=True)
        other.start()
        other.join(timeout=5)
        return honest(rows)

    monkeypatch.setattr(site_index, "_Sites", built_while_another_asks)
    assert index.nearest(*HERE, 9) == [first, second]
    assert answers == [[first]]


def test_sites_that_come_in_one_by_one_are_taken_up_every_ten_seconds(source, monkeypatch):
    clock = {"now": 1_000.0}
    monkeypatch.setattr(site_index, "SETTLE_SECONDS", 10.0)
    monkeypatch.setattr(site_index, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
    index = SiteIndex()
    first = site(source)
    assert index.nearest(*HERE, 9) == [first]
    second = site(source)
    clock["now"] += 9
    assert index.nearest(*HERE, 9) == [first]
    clock["now"] += 1
    assert index.nearest(*HERE, 9) == [first, second]
    third = site(source)
    index.forget()
    assert index.nearest(*HERE, 9) == [first, second, third]
