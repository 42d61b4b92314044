"""How far a poll is, seen while it runs: on the desk, in the API, and how the last one went."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.demo.peers import objects
from stations import services, tasks
from stations.admin import polls
from stations.cpo import registry
from stations.cpo.base import CPOUnavailable, PullReport
from stations.models import PollRun, Source
from stations.tasks import poll_source
from stations.tests.factories import make_source
from stations.tests.ocpi_peers import Network


@pytest.fixture
def get(organisation: Organisation) -> Callable[..., Any]:
    _, secret = accounts.create_api_key(organisation=organisation, name="t", scopes=[Scope.STATIONS_READ])
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    return lambda path, **headers: client.get(f"/api/v1/{path}", headers=headers)


@pytest.fixture
def root(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser(email="root@fleet.example", password="root-root-root"))
    return client


class Stepping:
    """An adapter whose pages the test gives out; between two of them it looks at us."""

    kind = "rest-poll"
    capabilities = registry.adapter_for(Source(kind="rest-poll")).capabilities

    def __init__(self, steps: list[PullReport | Exception], look: Callable[[], None]) -> None:
        self.steps, self.look = steps, look

    def poll(self, source: Source) -> Iterator[PullReport]:
        for step in self.steps:
            self.look()
            if isinstance(step, Exception):
                raise step
            yield step
        self.look()


@pytest.fixture
def poll(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    def go(*steps: PullReport | Exception, look: Callable[[], None] = lambda: None) -> Source:
        source = make_source(slug="kaveri", kind="rest-poll")
        monkeypatch.setattr(registry, "adapter_for", lambda _: Stepping(list(steps), look))
        poll_source(source.pk)
        return Source.objects.select_related("poll_run").get(pk=source.pk)

    return go


def page(number: int, **said: Any) -> PullReport:
    return PullReport(**{"part": "locations", "page": number, "pages": 2, "read": 100, "locations": 3, **said})


def test_the_api_says_how_far_a_poll_is_and_how_the_last_one_went(get: Any, poll: Any) -> None:
    seen: list[Any] = []

    def look() -> None:
        [row] = get("networks/").json()
        now = row["poll"]
        seen.append((now["list"], now["page"], now["pages"], now["objects"], now["refused"], row["last_poll"]))

    poll(page(1), page(2, read=40, rejected=[{"id": "L9", "why": "no position"}]), look=look)
    assert seen == [("", 0, None, 0, 0, None), ("locations", 1, 2, 100, 0, None), ("locations", 2, 2, 140, 1, None)]
    [row] = get("networks/").json()
    last = row["last_poll"]
    assert row["poll"] is None
    assert (last["result"], last["objects"], last["written"], last["refused"]) == ("done", 140, 6, 1)
    assert last["is_full"] and last["seconds"] >= 0


def test_a_copy_of_the_networks_is_right_only_until_the_next_page(get: Any, poll: Any) -> None:
    tags: list[str] = []

    def look() -> None:
        answer = get("networks/", **{"If-None-Match": tags[-1]} if tags else {})
        assert answer.status_code == 200
        tags.append(answer["ETag"])

    poll(page(1), page(2), look=look)
    look()
    assert len(set(tags)) == 4


def test_the_desk_shows_it_in_words(root: Client, poll: Any) -> None:
    shown: list[str] = []

    def look() -> None:
        source = Source.objects.get()
        at = reverse("admin:stations_source_change", args=[source.pk])
        assert polls.going_on(source, timezone.now()) in root.get(at).content.decode()
        shown.append(polls.going_on(source, timezone.now()))

    source = poll(page(1, is_full=False), page(2, pages=None, rejected=[{"id": "L9", "why": "x"}]), look=look)
    since = timezone.localtime(source.poll_run.last_began_at)
    assert shown[1] == f"locations: page 1 of 2, 100 objects so far, since {since:%H:%M:%S}"
    assert shown[2] == f"locations: page 2, 200 objects so far, since {since:%H:%M:%S}, 1 refused, the whole list"
    assert polls.going_on(source, timezone.now()) == "–"
    assert "200 objects, 6 sites written, 1 refused, the whole list" in polls.last_run(source)
    assert (
        polls.last_run(source) in root.get(reverse("admin:stations_source_change", args=[source.pk])).content.decode()
    )
    assert root.get(reverse("admin:stations_source_changelist")).status_code == 200


def test_a_poll_that_fails_says_how_far_it_came(poll: Any) -> None:
    run = poll(page(1), CPOUnavailable("gone")).poll_run
    assert (run.last_result, run.last_read, run.last_written, run.began_at) == ("failed", 100, 3, None)
    with pytest.raises(ZeroDivisionError):
        poll(page(1), page(2), ZeroDivisionError("ours"))
    assert PollRun.objects.get().last_read == 200


def test_whoever_polled_and_died_is_not_shown_for_ever(get: Any, poll: Any) -> None:
    poll(page(1))
    source = Source.objects.get()
    services.poll_began(source_id=source.pk, at=timezone.now())
    assert get("networks/").json()[0]["poll"] is not None
    PollRun.objects.update(
        began_at=timezone.now() - timedelta(hours=1), heard_at=timezone.now() - timedelta(minutes=11)
    )
    [row] = get("networks/").json()
    assert (row["poll"], row["last_poll"]["objects"]) == (None, 100)
    services.poll_began(source_id=source.pk, at=timezone.now())
    assert PollRun.objects.get().read == 0


def test_a_page_costs_one_statement(poll: Any, django_assert_num_queries: Any) -> None:
    source = poll(page(1))
    with django_assert_num_queries(1):
        services.poll_went_on(source_id=source.pk, report=page(2), at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_a_cpo_over_ocpi_says_how_many_pages_there_are(usual: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int | None, bool]] = []

    def note(*, source_id: int, report: PullReport, at: Any) -> None:
        seen.append((report.part, report.page, report.pages, report.is_full))

    usual.peer.lists["locations"] = [objects.location("2.2.1", number) for number in range(1, 6)]
    monkeypatch.setattr(tasks.services, "poll_went_on", note)
    Source.objects.update(full_synced_at=None, last_polled_at=None)
    usual.poll()
    assert [each for each in seen if each[0] == "locations"] == [("locations", n, 3, True) for n in (1, 2, 3)]
