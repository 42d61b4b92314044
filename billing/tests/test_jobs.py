"""Jobs are done once, by whoever comes; a dead worker costs a lease, a bad row nobody else's time."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from billing import tasks
from billing.jobs import engine, kinds
from billing.jobs.engine import LEASE, LONG_LEASE, MOST_ATTEMPTS, Lease
from billing.models import CDR, BillingException, Job
from billing.services import rating
from billing.tests.factories import NOON, make_fleet, start, stop
from fleetcharge.accounts.models import Organisation, User

HOUR = timedelta(hours=1)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs of the kind "test": what they did; a key with "bad" fails."""
    seen: list[str] = []

    def work(key: str, now: Any) -> None:
        if "bad" in key:
            raise RuntimeError(f"cannot do {key}")
        seen.append(key)

    monkeypatch.setitem(engine._kinds, "test", work)
    return seen


def add(*keys: str, organisation: int | None = None) -> int:
    return engine.add(kind="test", keys=[(key, organisation) for key in keys], now=NOON)


@pytest.mark.django_db
def test_a_job_is_there_once_and_gone_when_it_is_done(done: list[str]) -> None:
    assert [add("a", "b"), add("b", "c")] == [2, 1]
    assert [engine.work(now=NOON), engine.work(now=NOON)] == [3, 0]
    assert (sorted(done), Job.objects.count()) == (["a", "b", "c"], 0)


@pytest.mark.django_db
def test_what_fails_waits_longer_and_longer_then_is_given_up_and_tried_again(
    done: list[str], organisation: Organisation, finance: User, client: Client
) -> None:
    add("bad", "good", organisation=organisation.pk)
    now, waits = NOON, []
    for _ in range(MOST_ATTEMPTS):
        assert engine.work(now=now) > 0
        job = Job.objects.get()
        waits.append(job.next_try_at - now)
        now = job.next_try_at
    assert done == ["good"]
    assert waits[:3] == [timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=120)]
    assert max(waits[:-1]) == HOUR
    assert (job.state, job.attempts, job.error) == ("dead", MOST_ATTEMPTS, "RuntimeError: cannot do bad")
    assert BillingException.objects.get().kind == BillingException.Kind.JOB_DEAD
    assert engine.work(now=now + HOUR) == 0

    client.force_login(finance)
    page = client.get("/admin/billing/job/")
    assert b"cannot do bad" in page.content
    engine._kinds["test"] = lambda key, now: done.append(key)
    client.post("/admin/billing/job/", {"action": "try_again", "_selected_action": [job.pk]})
    assert tasks.work_jobs() == 1
    assert done == ["good", "bad"]
    assert (Job.objects.count(), BillingException.objects.open().count()) == (0, 0)


@pytest.mark.django_db
def test_a_worker_that_died_loses_its_part_after_the_lease(done: list[str]) -> None:
    add("a")
    Job.objects.update(attempts=1, next_try_at=NOON + LEASE)  # claimed, and killed
    assert engine.work(now=NOON + LEASE - timedelta(seconds=1)) == 0
    assert engine.work(now=NOON + LEASE) == 1
    assert done == ["a"]


@pytest.mark.django_db
def test_who_was_slower_than_its_lease_settles_nothing(done: list[str]) -> None:
    add("bad")
    Job.objects.update(attempts=2)
    engine._do(Job.objects.get().pk, "test", "bad", 1, NOON)
    assert (Job.objects.get().error, Job.objects.get().attempts) == ("", 2)


@pytest.mark.django_db
def test_who_comes_back_after_anothers_slice_settles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other gave its attempt back, so that the number is the same again."""
    leases: list[Lease] = []

    def work(key: str, lease: Lease) -> Iterator[None]:
        leases.append(lease)
        if len(leases) == 1:
            assert engine.work_long(kind="long", now=NOON + LONG_LEASE, slice_s=0)
            assert Job.objects.get().attempts == lease.attempts
            for goes_on in (True, False):
                with pytest.raises(engine.LeaseLost):
                    lease.keep(goes_on)
            raise RuntimeError("too late")
        lease.keep()
        yield

    monkeypatch.setitem(engine._long, "long", work)
    engine.add(kind="long", keys=[("a", None)], now=NOON)
    assert engine.work_long(kind="long", now=NOON, slice_s=0)
    assert (len(leases), Job.objects.get().attempts, Job.objects.get().error) == (2, 1, "")


@pytest.mark.django_db
def test_a_portion_that_was_undone_leaves_the_lease_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(key: str, lease: Lease) -> Iterator[None]:
        lease.keep()
        yield
        with transaction.atomic():
            lease.keep()
            raise RuntimeError("undone")

    monkeypatch.setitem(engine._long, "long", work)
    engine.add(kind="long", keys=[("a", None)], now=NOON)
    assert engine.work_long(kind="long", now=NOON, slice_s=60)
    assert Job.objects.get().error == "RuntimeError: undone"


def test_the_lease_of_a_long_job_is_longer_than_its_task_may_run() -> None:
    assert LONG_LEASE.total_seconds() > tasks.work_network_bills.time_limit


class Killed(BaseException):
    """As if the process were gone: nothing of the engine's comes after it."""


@pytest.mark.django_db
def test_a_job_that_kills_its_worker_is_given_up_and_costs_the_others_no_attempt(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(key: str, now: Any) -> None:
        if key == "deadly":
            raise Killed
        done.append(key)

    monkeypatch.setitem(engine._kinds, "test", deadly)
    add("a", "deadly", "z")
    now = NOON
    with pytest.raises(Killed):
        engine.work(now=now)
    assert (done, dict(Job.objects.values_list("key", "attempts"))) == (["a"], {"deadly": 1, "z": 0})
    for _ in range(MOST_ATTEMPTS - 1):
        now += 2 * LEASE
        with pytest.raises(Killed):
            engine.work(now=now)
        assert done == ["a", "z"]  # at once, and before the one that kills
    assert engine.work(now=now + 2 * LEASE) == 1
    job = Job.objects.get()
    assert (job.key, job.state, job.attempts, job.error) == ("deadly", "dead", MOST_ATTEMPTS, engine.KILLED)
    assert BillingException.objects.get().kind == BillingException.Kind.JOB_DEAD


@pytest.mark.django_db
def test_what_another_worker_has_by_now_is_not_begun(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first job took longer than the lease of the second."""
    add("a", "b")

    def slow(key: str, now: Any) -> None:
        done.append(key)
        Job.objects.filter(key="b").update(next_try_at=NOON + 2 * LEASE)

    monkeypatch.setitem(engine._kinds, "test", slow)
    assert engine.work(now=NOON) == 2
    assert (done, Job.objects.get().attempts) == (["a"], 0)


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_take_the_same_job(done: list[str]) -> None:
    """The other one's rows are locked, not waited for."""
    import psycopg

    from fleetcharge.lib.db import conninfo

    add("a", "b", "c")
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT 1 FROM billing_job WHERE key IN ('a', 'b') FOR UPDATE")
        assert engine.work(now=NOON) == 1
        assert done == ["c"]
    assert engine.work(now=NOON) == 2
    connection.close()


@pytest.mark.django_db
def test_a_record_that_cannot_be_charged_never_keeps_the_others_waiting(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = make_fleet(organisation)
    for number in range(3):
        at = NOON + number * HOUR
        began = start(fleet, started_at=at, received_at=at)
        stop(fleet, began.transaction_ref, ended_at=at + HOUR / 2, received_at=at + HOUR / 2)
    first = CDR.objects.order_by("pk").first()
    assert first is not None
    charge = rating.rate_and_capture

    def unlucky(*, cdr_id: int, now: Any = None) -> bool:
        if cdr_id == first.pk:
            raise RuntimeError("no luck")
        return charge(cdr_id=cdr_id, now=now)

    monkeypatch.setattr(rating, "rate_and_capture", unlucky)
    monkeypatch.setattr(tasks, "CHUNK", 1)
    assert kinds.find_unrated(now=NOON, limit=1) == 1
    for _ in range(4):
        tasks.sweep_unrated()
    assert set(CDR.objects.uncaptured()) == {first}
    assert Job.objects.get().error == "RuntimeError: no luck"
