"""Many pairs at once: as many statements for a dozen as for two, and the same rows as one after the other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from fleetcharge.lib.db import conninfo
from fleetcharge.lib.tests.crossing import PATIENCE, crossed, until, waiters
from stations import dedupe
from stations.models import EVSE, Connector, ExternalRef, Location, Source
from stations.registry_models import Claim, Duplicate, StatusClaim
from stations.services import duplicates, merging, report_evse_status, report_from_source
from stations.services.bulk import EvseReport, report_evses
from stations.services.networks import source_polled
from stations.services.statuses import locked_with_site
from stations.tests.factories import make_source

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def tell(source: Source, number: int, *, metres: float = 0.0, plugs: int = 1) -> Location:
    """A site of a street of sites, 5 km apart, as one network tells it."""
    site = Location.objects.create(
        source=source, name=f"Sector {number} Mall", address=f"{number} Ring Road", postal_code="560037",
        latitude=12 + number / 20 + metres / 111_195, longitude=77,
    )  # fmt: skip
    evse = EVSE.objects.create(location=site, uid="E1")
    rows = [
        Connector.objects.create(
            evse=evse, connector_id=each, plug="ccs2", max_power_w=60_000, raw_status="AVAILABLE", status="available",
            reported_status="available", status_at=NOON, heard_at=NOON,
        )
        for each in range(1, plugs + 1)
    ]  # fmt: skip
    for kind, row in (("location", site), ("evse", evse), *(("connector", row) for row in rows)):
        ExternalRef.objects.create(source=source, kind=kind, external_key=f"{kind}{row.pk}", object_id=row.pk)
    return site


def networks(*slugs: str) -> list[Source]:
    return [make_source(slug=slug, kind="import") for slug in slugs]


def statements(pairs: int, start: int) -> int:
    one, two = networks("one", "two")
    for number in range(start, start + pairs):
        tell(one, number)
        tell(two, number, metres=10)
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert duplicates.find_duplicates(at=NOON) == {"found": pairs, "merged": pairs}
    return len(seen)


@pytest.mark.django_db
def test_a_dozen_pairs_cost_as_many_statements_as_two() -> None:
    assert statements(12, start=10) == statements(2, start=0)
    assert Location.objects.filter(is_removed=False).count() == 14
    assert Claim.objects.filter(kind="location").count() == 28
    assert StatusClaim.objects.filter(is_shown=True).count() == 14


@pytest.mark.django_db
def test_what_many_batches_merge_is_merged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "AT_ONCE", 3)
    assert statements(7, start=0) > 0
    assert duplicates.find_duplicates(at=NOON) == {"found": 0, "merged": 0}
    assert Duplicate.objects.filter(state="merged").count() == 7


@pytest.mark.django_db(transaction=True)
def test_two_looks_at_once_merge_each_pair_once() -> None:
    one, two = networks("one", "two")
    for number in range(12):
        tell(one, number)
        tell(two, number, metres=10)
    together = threading.Barrier(2)

    def look(_: int) -> dict[str, int]:
        together.wait(30)
        try:
            return duplicates.find_duplicates(at=NOON)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(look, range(2)))
    assert [sum(each[name] for each in done) for name in ("found", "merged")] == [12, 12]
    assert Duplicate.objects.filter(state="merged").count() == 12
    assert Claim.objects.filter(kind="location").count() == 24


@pytest.mark.django_db(transaction=True)
def test_while_sites_are_merged_their_networks_push_and_only_their_lists_wait() -> None:
    (one,) = networks("one")
    site = tell(one, 1)
    with transaction.atomic():
        merging.lock_sites([site.pk])
        with psycopg.connect(conninfo(), autocommit=True) as other:
            other.execute("SET lock_timeout = '500ms'")
            other.execute("UPDATE stations_source SET last_push_at = now() WHERE id = %s", [one.pk])
            for statement in (
                "SELECT 1 FROM stations_source WHERE id = %s FOR UPDATE",
                "UPDATE stations_location SET name = '' WHERE source_id = %s",
            ):
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    other.execute(statement, [one.pk])
    one.refresh_from_db()
    assert one.last_push_at is not None


def push(source: Source, key: str, evse_id: int, way: str) -> object:
    """A word of two days later, by one of the ways in which words come, in a thread of its own."""
    at = NOON + timedelta(days=2)
    word: dict[str, Any] = {
        "raw_status": "CHARGING",
        "status": "charging",
        "at": at,
        "received_at": at,
        "source_id": source.pk,
    }
    try:
        if way == "many":
            return report_evses([EvseReport(external_key=key, **word)])
        if way == "one":
            return report_evse_status(external_key=key, **word)
        return report_from_source(evse_id=evse_id, **word)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("who", "way"), [(who, way) for who in ("one", "two") for way in ("many", "one", "of this EVSE")]
)
def test_a_push_that_waited_for_the_merge_is_a_word_about_the_kept_plug(who: str, way: str) -> None:
    """Without looking again it would be written to the hidden twin, or past the words that are weighed."""
    one, two = networks("one", "two")
    kept, other = tell(one, 1).evses.get(), tell(two, 1, metres=10).evses.get()
    source, evse = (one, kept) if who == "one" else (two, other)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert duplicates.find_duplicates(at=NOON) == {"found": 1, "merged": 1}
            done = pool.submit(push, source, f"evse{evse.pk}", evse.pk, way)
            until(lambda: waiters() == 1)
        assert done.result(PATIENCE) in (True, ["applied"])
    plugs = dict(Connector.objects.values_list("evse_id", "status"))
    assert plugs == {kept.pk: "charging", other.pk: "available"}
    words = StatusClaim.objects.filter(evse=kept).values_list("source__slug", "status", "is_shown")
    silent = "two" if who == "one" else "one"
    assert set(words) == {(who, "charging", True), (silent, "available", False)}


@pytest.mark.django_db(transaction=True)
def test_a_push_that_waited_for_the_split_is_a_word_of_its_own_network_again() -> None:
    one, two = networks("one", "two")
    kept, other = tell(one, 1).evses.get(), tell(two, 1, metres=10).evses.get()
    duplicates.find_duplicates(at=NOON)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            duplicates.keep_apart(duplicate_id=Duplicate.objects.get().pk, actor=None, at=NOON)
            done = pool.submit(push, two, f"evse{other.pk}", other.pk, "many")
            until(lambda: waiters() == 1)
        assert done.result(PATIENCE) == ["applied"]
    assert dict(Connector.objects.values_list("evse_id", "status")) == {kept.pk: "available", other.pk: "charging"}


@pytest.mark.django_db(transaction=True)
def test_a_push_that_waited_while_its_unit_was_deleted_changes_nothing() -> None:
    (one,) = networks("one")
    site = tell(one, 1)
    evse = site.evses.get()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            site.delete()
            done = pool.submit(push, one, f"evse{evse.pk}", evse.pk, "of this EVSE")
            until(lambda: waiters() == 1)
        assert done.result(PATIENCE) is False


def poll(source: Source) -> None:
    try:
        source_polled(source_id=source.pk, at=NOON + timedelta(minutes=1))
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_poll_that_waits_for_a_plug_keeps_nobody_from_the_words_about_it() -> None:
    """Who holds the plug weighs them next."""
    one, two = networks("one", "two")
    kept, _ = tell(one, 1).evses.get(), tell(two, 1, metres=10)
    duplicates.find_duplicates(at=NOON)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            plugs = list(locked_with_site(evse_id=kept.pk))
            done = pool.submit(poll, one)
            until(lambda: waiters() == 1)
            with psycopg.connect(conninfo()) as other:
                other.execute("SET lock_timeout = '500ms'")
                words = other.execute("SELECT 1 FROM stations_statusclaim WHERE evse_id = %s FOR UPDATE", [kept.pk])
                assert len(words.fetchall()) == 2
        done.result(PATIENCE)
    assert Connector.objects.get(pk=plugs[0].pk).heard_at == NOON + timedelta(minutes=1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["batch", "admin"])
def test_a_merge_that_crosses_a_push_is_begun_once_more(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A unit that is taken down: its plugs are locked before its site, by a merge after it."""
    one, two = networks("one", "two")
    kept, _ = tell(one, 1), tell(two, 1, metres=10)
    if way == "admin":
        with monkeypatch.context() as asked:
            asked.setattr(dedupe, "MERGE_FROM", 2.0)
            assert duplicates.find_duplicates(at=NOON) == {"found": 1, "merged": 0}
    plug = f"SELECT 1 FROM stations_connector WHERE evse_id = {kept.evses.get().pk} FOR NO KEY UPDATE"
    site = f"UPDATE stations_location SET updated_at = now() WHERE id = {kept.pk}"
    with crossed(monkeypatch, merging, "lock_units", plug, site) as calls:
        if way == "batch":
            assert duplicates.find_duplicates(at=NOON) == {"found": 1, "merged": 1}
        else:
            assert duplicates.merge(duplicate_id=Duplicate.objects.get().pk, actor=None, at=NOON)
    assert len(calls) >= 2
    assert Duplicate.objects.get().state == "merged"


@pytest.mark.django_db
def test_one_site_in_three_networks_becomes_one_row_in_one_look() -> None:
    sources = networks("one", "two", "three")
    kept, *others = (tell(source, 1, metres=5 * n) for n, source in enumerate(sources))
    assert duplicates.find_duplicates(at=NOON)["merged"] == 2
    assert [Location.objects.get(pk=site.pk).merged_into for site in others] == [kept, kept]
    assert set(ExternalRef.objects.filter(kind="location").values_list("object_id", flat=True)) == {kept.pk}
    assert set(Claim.objects.filter(kind="location", object_id=kept.pk).values_list("source__slug", flat=True)) == {
        "one", "two", "three",
    }  # fmt: skip


@pytest.mark.django_db
def test_units_whose_plugs_nobody_told_are_joined_and_split() -> None:
    one, two = networks("one", "two")
    kept, other = tell(one, 1, plugs=0), tell(two, 1, metres=10, plugs=0)
    assert duplicates.find_duplicates(at=NOON) == {"found": 1, "merged": 1}
    pair = Duplicate.objects.get()
    assert pair.moved["twins"] == [[kept.evses.get().pk, other.evses.get().pk]]
    assert duplicates.keep_apart(duplicate_id=pair.pk, actor=None, at=NOON)
    for site, source in ((kept, one), (other, two)):
        site.refresh_from_db()
        refs = ExternalRef.objects.filter(source=source)
        assert (site.is_removed, site.is_shared) == (False, False)
        assert dict(refs.values_list("kind", "object_id")) == {"location": site.pk, "evse": site.evses.get().pk}


@pytest.mark.django_db
def test_a_namesake_is_the_twin_of_one_unit_only() -> None:
    one, two = networks("one", "two")
    kept, other = tell(one, 1), tell(two, 1, metres=10)
    again = EVSE.objects.create(location=kept, uid="e-1")
    Connector.objects.create(evse=again, plug="ccs2", max_power_w=60_000)
    assert duplicates.find_duplicates(at=NOON)["merged"] == 1
    first = kept.evses.order_by("pk")[0]
    assert Duplicate.objects.get().moved["twins"] == [[first.pk, other.evses.get().pk]]
    assert not EVSE.objects.get(pk=again.pk).is_shared


def test_a_batch_names_no_site_twice_and_keeps_the_order_of_each() -> None:
    sites = {n: dedupe.Site(n, n, "", "", "", "", 0.0, 0.0) for n in range(6)}
    found = [dedupe.Pair(sites[a], sites[b], 1.0, {}) for a, b in ((0, 1), (2, 3), (0, 2), (4, 5), (1, 2), (3, 4))]
    batches = [[(pair.one.pk, pair.two.pk) for pair in batch] for batch in dedupe.batches(found, most=2)]
    assert batches == [[(0, 1), (2, 3)], [(4, 5)], [(0, 2), (3, 4)], [(1, 2)]]


# --- questions that are still open ---------------------------------------------------------------------------------
def question(kept: Location, other: Location) -> Duplicate:
    return Duplicate.objects.create(kept=kept, other=other, score=0.5, found_at=NOON)


def asked_about() -> list[tuple[int, int]]:
    return list(Duplicate.objects.waiting().order_by("pk").values_list("kept_id", "other_id"))


@pytest.mark.django_db
def test_a_question_about_a_site_that_became_another_is_asked_of_that() -> None:
    one, two, three = networks("one", "two", "three")
    kept, other = tell(one, 1), tell(two, 1, metres=10)
    third, again = tell(three, 2), tell(one, 3)
    question(third, other)  # led on
    question(other, again)  # two sites of one network are no question
    question(third, again)  # none of theirs
    assert duplicates.find_duplicates(at=NOON)["merged"] == 1
    assert Location.objects.get(pk=other.pk).merged_into == kept
    assert asked_about() == [(third.pk, kept.pk), (third.pk, again.pk)]


@pytest.mark.django_db
def test_a_question_that_is_asked_or_answered_already_is_not_asked_twice() -> None:
    one, two, three = networks("one", "two", "three")
    kept, other = tell(one, 1), tell(two, 1, metres=10)
    third = tell(three, 2)
    Duplicate.objects.create(kept=third, other=kept, score=0.5, state="different")
    question(other, third)
    pair = question(kept, other)
    assert duplicates.merge(duplicate_id=pair.pk, actor=None, at=NOON)
    assert asked_about() == []
    assert Duplicate.objects.filter(state="different").count() == 1


@pytest.mark.django_db
def test_questions_left_over_from_earlier_merges_are_led_on_by_the_next_look() -> None:
    one, two, three = networks("one", "two", "three")
    kept, other, third = tell(one, 1), tell(two, 2), tell(three, 3)
    Location.objects.filter(pk=other.pk).update(is_removed=True, removed_because="merged", merged_into=kept)
    question(third, other)
    duplicates.find_duplicates(at=NOON)
    assert asked_about() == [(third.pk, kept.pk)]
