"""Sites that a CPO's full list leaves out without a word, over a real socket; and how they come back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from stations import services
from stations.models import Connector, ExternalRef, Location, Source
from stations.services.tombstones import full_pull_done
from stations.tasks import poll_source
from stations.tests.cpo_peer import LATER, CPOPeer, location
from stations.tests.factories import make_source

pytestmark = pytest.mark.django_db(transaction=True)


def shown() -> set[str]:
    return set(Location.objects.filter(is_removed=False).values_list("name", flat=True))


def poll_fully(source: Source) -> None:
    Source.objects.filter(pk=source.pk).update(full_synced_at=None)
    poll_source(source.pk)
    source.refresh_from_db()


def test_a_site_that_three_full_lists_leave_out_is_hidden_and_its_history_kept(
    connected: Source, peer: CPOPeer
) -> None:
    gone = peer.locations.pop(1)
    for _ in range(2):
        poll_fully(connected)
        assert shown() == {"Volt 1", "Volt 2", "Volt 3"}
        assert connected.full_synced_at is None  # the next list is a full one too
    poll_fully(connected)
    assert shown() == {"Volt 1", "Volt 3"}
    assert connected.full_synced_at is not None
    row = Location.objects.get(name="Volt 2")
    assert (row.removed_because, row.evses.count()) == ("vanished", len(gone["evses"]))


def test_a_missing_site_is_no_longer_vouched_for_from_the_first_list_on(connected: Source, peer: CPOPeer) -> None:
    peer.locations.pop(1)
    long_ago = timezone.now() - timedelta(hours=3)
    Connector.objects.update(heard_at=long_ago)
    poll_fully(connected)
    assert set(Connector.objects.filter(heard_at=long_ago).values_list("evse__location__name", flat=True)) == {"Volt 2"}


def test_an_incremental_list_says_nothing_about_what_it_leaves_out(connected: Source, peer: CPOPeer) -> None:
    peer.locations = []
    for _ in range(5):
        poll_source(connected.pk)
    assert not ExternalRef.objects.exclude(missed_syncs=0).exists()
    assert len(shown()) == 3


def test_a_list_that_names_nothing_at_all_is_a_mistake_of_the_network(connected: Source, peer: CPOPeer) -> None:
    peer.locations = []
    for _ in range(4):
        poll_fully(connected)
    assert len(shown()) == 3


def test_a_site_that_cannot_be_read_any_more_is_named_all_the_same(connected: Source, peer: CPOPeer) -> None:
    peer.locations[1] = {**peer.locations[1], "coordinates": {"latitude": "x", "longitude": "y"}, "last_updated": LATER}
    for _ in range(4):
        poll_fully(connected)
    assert len(shown()) == 3


def test_a_site_that_is_listed_again_comes_back_word_for_word(connected: Source, peer: CPOPeer) -> None:
    gone = peer.locations.pop(1)
    public_id = Location.objects.get(name="Volt 2").public_id
    for _ in range(3):
        poll_fully(connected)
    peer.locations.append(gone)
    poll_fully(connected)
    row = Location.objects.get(name="Volt 2")
    assert (row.is_removed, row.removed_because, row.public_id) == (False, "", public_id)
    assert not row.evses.filter(is_removed=True).exists()
    peer.locations.pop()
    poll_fully(connected)
    assert "Volt 2" in shown()  # three lists again, not the rest of the old count


def test_a_push_for_a_vanished_site_brings_it_back_and_one_for_a_withdrawn_site_does_not(
    connected: Source, peer: CPOPeer
) -> None:
    keys = {row.object_id: row.external_key for row in ExternalRef.objects.filter(kind="evse")}
    for name, why in (("Volt 1", "vanished"), ("Volt 2", "withdrawn")):
        Location.objects.filter(name=name).update(is_removed=True, removed_because=why)
        evse = Location.objects.get(name=name).evses.earliest("pk")
        now = timezone.now()
        assert services.report_evse_status(
            source_id=connected.pk, external_key=keys[evse.pk], raw_status="CHARGING", status="charging", at=now,
            received_at=now,
        )  # fmt: skip
    assert shown() == {"Volt 1", "Volt 3"}


def test_a_page_that_breaks_off_counts_for_nothing(connected: Source, peer: CPOPeer) -> None:
    peer.locations = [location(number) for number in range(1, 7)]
    poll_fully(connected)
    peer.locations.pop(0)
    pages = iter(range(1))

    def breaks() -> None:
        if next(pages, None) is None:
            peer.locations = "nothing of the kind"  # type: ignore[assignment]

    peer.on_page = breaks
    before = list(ExternalRef.objects.filter(kind="location").values_list("missed_syncs", flat=True))
    poll_fully(connected)
    assert connected.failures_in_row == 1
    assert list(ExternalRef.objects.filter(kind="location").values_list("missed_syncs", flat=True)) == before


def test_another_networks_sites_are_not_missed(connected: Source) -> None:
    other = make_source(slug="hub", kind="ocpi-2.2.1")
    assert full_pull_done(source=other, began=timezone.now(), at=timezone.now()) == []
    assert len(shown()) == 3
