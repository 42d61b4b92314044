"""Two sources, one site: what each says, what is shown and why, merging, second thoughts, and people."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from fleetcharge.accounts.models import Organisation, User
from stations import services
from stations.claims import Word, winners
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.models import EVSE, Connector, ExternalRef, Location, Source
from stations.registry_models import Claim, Duplicate, StatusClaim
from stations.services import claims, duplicates
from stations.services.bulk import EvseReport, report_evses
from stations.services.shared import unit_now
from stations.services.tombstones import full_pull_done
from stations.tests.factories import give_access, make_source

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


@pytest.fixture
def volt() -> Source:
    source = make_source(slug="volt", kind="ocpi-2.2.1")
    Source.objects.filter(pk=source.pk).update(trust=70)
    return Source.objects.get(pk=source.pk)


@pytest.fixture
def listing() -> Source:
    source = make_source(slug="open-list", kind="import")
    Source.objects.filter(pk=source.pk).update(trust=40)
    return Source.objects.get(pk=source.pk)


def plug(watts: int = 60_000, kind: str = "ccs2") -> ConnectorDoc:
    return ConnectorDoc("1", kind, kind, "CABLE", "DC", watts)


def doc(key: str, *units: EvseDoc, minutes: int = 0, **said: object) -> LocationDoc:
    facts = {"name": "Forum Mall", "latitude": 12.9345, "longitude": 77.6113, "address": "21, Hosur Road"}
    return LocationDoc(external_key=key, evses=units, updated_at=at(minutes), **{**facts, **said})  # type: ignore[arg-type]


VOLT_UNIT = EvseDoc("E1", (plug(),), raw_status="AVAILABLE", status="available", updated_at=NOON)
HUB_UNIT = EvseDoc(
    "IN-VLT-E1", (plug(),), raw_status="CHARGING", status="charging", updated_at=NOON + timedelta(minutes=1)
)
OPEN_UNIT = EvseDoc("1.1", (plug(62_000),))


@pytest.fixture
def pair(volt: Source, listing: Source) -> tuple[Location, Location]:
    """The CPO's site, and the one of an open list 15 m away with a longer address."""
    known = doc("IN*VLT*L1", VOLT_UNIT)
    told = doc("ocm:77", OPEN_UNIT, name="Forum Mall EV", latitude=12.9346, address="21 Hosur Rd", postal_code="560029")
    return tuple(
        services.upsert_location(source=source, doc=each, at=NOON)[0]
        for source, each in ((volt, known), (listing, told))
    )  # type: ignore[return-value]


@pytest.fixture
def merged(pair: tuple[Location, Location]) -> Location:
    assert duplicates.find_duplicates(at=NOON) == {"found": 1, "merged": 1}
    return Location.objects.get(pk=pair[0].pk)


def test_words_are_weighed_by_trust_then_age_and_the_reason_is_told() -> None:
    words = [
        Word("list", 40, at(60), {"name": "Forum EV", "postal_code": "560029", "latitude": 12.9346}),
        Word("volt", 70, NOON, {"name": "Forum Mall", "latitude": 12.9345, "longitude": 77.6113}),
        Word("hub", 70, at(5), {"name": "Forum Mall, Gate 2"}),
    ]
    found = winners(words, ("name", "postal_code", "latitude", "longitude", "city"))
    assert (found["name"].value, found["name"].why) == (
        "Forum Mall, Gate 2", "newer (21 Nov 2026 12:05 UTC), trust 70 both",
    )  # fmt: skip
    assert found["name"].others == (("volt", "Forum Mall"), ("list", "Forum EV"))
    assert (found["postal_code"].source, found["postal_code"].why) == ("list", "nobody else says")
    assert (found["latitude"].value, found["latitude"].why) == (12.9345, "trust 70 against 40")
    assert "city" not in found


def test_a_point_is_taken_from_one_source_never_mixed() -> None:
    words = [Word("a", 90, NOON, {"latitude": 1.0}), Word("b", 10, NOON, {"latitude": 2.0, "longitude": 3.0})]
    found = winners(words, ("latitude", "longitude"))
    assert (found["latitude"].value, found["longitude"].value) == (2.0, 3.0)


def test_a_plain_double_is_merged_by_itself_and_its_old_id_leads_to_the_kept_site(
    merged: Location, pair: tuple[Location, Location], volt: Source, listing: Source
) -> None:
    other = Location.objects.get(pk=pair[1].pk)
    assert (other.is_removed, other.removed_because, other.merged_into) == (True, "merged", merged)
    assert (merged.name, merged.latitude, merged.postal_code) == ("Forum Mall", 12.9345, "560029")
    assert services.find_location(listing, "OCM:77") == services.find_location(volt, "IN*VLT*L1") == merged
    assert services.find_evse(listing, "ocm:77*1.1") == services.find_evse(volt, "IN*VLT*L1*E1")
    assert duplicates.find_duplicates(at=at(1)) == {"found": 0, "merged": 0}
    assert duplicates.merge(duplicate_id=Duplicate.objects.get().pk, actor=None, at=at(1)) is False


def test_the_second_source_adds_facts_but_neither_units_nor_what_it_is_trusted_less_with(
    merged: Location, listing: Source
) -> None:
    again = doc("ocm:77", OPEN_UNIT, EvseDoc("2.1", (plug(),)), minutes=5, name="Elsewhere", city="Bengaluru")
    assert services.upsert_location(source=listing, doc=again, at=at(5)) == (merged, True)
    merged.refresh_from_db()
    assert (merged.name, merged.city, merged.evses.count()) == ("Forum Mall", "Bengaluru", 1)
    old = replace(again, updated_at=at(1), city="Old Town")
    assert services.upsert_location(source=listing, doc=old, at=at(6)) == (merged, False)
    merged.refresh_from_db()
    assert merged.city == "Bengaluru"


def test_the_owner_may_change_its_mind_and_the_more_trusted_word_stays(
    merged: Location, volt: Source, listing: Source
) -> None:
    services.upsert_location(source=volt, doc=doc("IN*VLT*L1", VOLT_UNIT, minutes=9, name="Forum 2"), at=at(9))
    merged.refresh_from_db()
    assert (merged.name, merged.postal_code) == ("Forum 2", "560029")
    Source.objects.filter(pk=listing.pk).update(trust=95)
    services.upsert_location(source=volt, doc=doc("IN*VLT*L1", VOLT_UNIT, minutes=10, name="Forum 3"), at=at(10))
    merged.refresh_from_db()
    assert merged.name == "Forum Mall EV"
    assert claims.verdicts_of("location", merged.pk)["name"].why == "trust 95 against 70"


def test_the_power_of_a_plug_is_a_claim_too(merged: Location) -> None:
    connector = Connector.objects.get(evse__location=merged)
    verdict = claims.verdicts_of("connector", connector.pk)["max_power_w"]
    assert (connector.max_power_w, verdict.value, verdict.source, verdict.others) == (
        60_000, 60_000, "Volt", (("Open-List", 62_000),),
    )  # fmt: skip


def test_what_a_person_corrects_no_poll_takes_back(pair: tuple[Location, Location], volt: Source) -> None:
    site = Location.objects.get(pk=pair[0].pk)
    site.name = "Forum Mall, basement 2"
    claims.say_by_hand(location=site, fields=["name"])
    services.upsert_location(
        source=volt, doc=doc("IN*VLT*L1", VOLT_UNIT, minutes=9, name="Forum", city="Bengaluru"), at=at(9)
    )
    site.refresh_from_db()
    assert (site.name, site.city) == ("Forum Mall, basement 2", "Bengaluru")
    verdict = claims.verdicts_of("location", site.pk)["name"]
    assert (verdict.why, verdict.others) == ("a person said so", (("Volt", "Forum"),))
    site.name = ""
    claims.say_by_hand(location=site, fields=["name"])
    site.refresh_from_db()
    assert site.name == "Forum"


def test_a_link_to_the_site_that_went_away_still_leads_somewhere(
    client: Client, dispatcher: User, merged: Location, pair: tuple[Location, Location]
) -> None:
    client.force_login(dispatcher)
    answer = client.get(f"/api/v1/stations/{pair[1].public_id}/")
    assert (answer.status_code, answer.json()["public_id"]) == (200, merged.public_id)
    merged.organisation = Organisation.objects.create(slug="stranger", name="Stranger")
    merged.save()
    assert client.get(f"/api/v1/stations/{pair[1].public_id}/").status_code == 404


# --- status -----------------------------------------------------------------------------------------------------
@pytest.fixture
def hub(merged: Location, volt: Source) -> Source:
    """A second network that sells the same unit, less trusted; a person merged the two."""
    source = make_source(slug="hub", kind="ocpi-2.2.1")
    services.upsert_location(source=source, doc=doc("IN*HUB*9", HUB_UNIT, minutes=1), at=at(1))
    duplicates.find_duplicates(at=at(1))
    waiting = Duplicate.objects.waiting().first()
    if waiting:
        duplicates.merge(duplicate_id=waiting.pk, actor=None, at=at(1))
    assert services.find_location(source, "IN*HUB*9") == merged
    return source


def push(source: Source, key: str, word: str, minutes: int) -> str:
    status = {"AVAILABLE": "available", "CHARGING": "charging", "OUTOFORDER": "faulted"}[word]
    [outcome] = report_evses([EvseReport(source.pk, key, word, status, at(minutes), at(minutes))])
    return outcome


def shown(site: Location) -> tuple[str, str]:
    connector = Connector.objects.get(evse__location=site)
    return connector.status, connector.raw_status


def test_of_two_fresh_words_the_more_trusted_is_shown_and_of_an_old_one_the_fresher(
    merged: Location, hub: Source, volt: Source
) -> None:
    push(volt, "IN*VLT*L1*E1", "AVAILABLE", 2)
    push(hub, "IN*HUB*9*IN-VLT-E1", "OUTOFORDER", 3)
    assert shown(merged) == ("available", "AVAILABLE")  # 70 against 50
    push(hub, "IN*HUB*9*IN-VLT-E1", "CHARGING", 40)  # Volt has been silent for 38 minutes: its word is stale
    assert shown(merged) == ("charging", "CHARGING")
    assert StatusClaim.objects.get(is_shown=True).source == hub
    push(volt, "IN*VLT*L1*E1", "OUTOFORDER", 41)
    assert shown(merged) == ("faulted", "OUTOFORDER")
    assert push(hub, "IN*HUB*9*IN-VLT-E1", "AVAILABLE", 39) == "stale"
    assert shown(merged) == ("faulted", "OUTOFORDER")


def test_what_a_list_repeats_confirms_the_word_of_its_own_network_alone(
    merged: Location, hub: Source, volt: Source
) -> None:
    """The other one polls and tells nothing new: its word stays fresh, the plug shows whose word is shown."""
    push(volt, "IN*VLT*L1*E1", "AVAILABLE", 38)
    services.source_polled(source_id=hub.pk, at=at(40))
    heard = dict(StatusClaim.objects.values_list("source__slug", "heard_at"))
    assert heard == {"volt": at(38), "hub": at(40)}
    assert Connector.objects.get(evse__location=merged).heard_at == at(38)  # shown is Volt's word
    services.source_polled(source_id=volt.pk, at=at(41))
    assert Connector.objects.get(evse__location=merged).heard_at == at(41)
    same = doc("IN*HUB*9", EvseDoc("IN-VLT-E1", (plug(),), raw_status="CHARGING", status="charging"), minutes=1)
    services.upsert_location(source=hub, doc=same, at=at(44))
    services.source_polled(source_id=hub.pk, at=at(44))
    assert Connector.objects.get(evse__location=merged).heard_at == at(41)


def test_a_word_that_is_confirmed_takes_over_from_one_that_grew_old(
    merged: Location, hub: Source, volt: Source
) -> None:
    """The other network pushed last, and has been silent since; this one polls, and says the same as ever."""
    push(hub, "IN*HUB*9*IN-VLT-E1", "CHARGING", 40)
    assert shown(merged) == ("charging", "CHARGING")
    services.source_polled(source_id=volt.pk, at=at(44))
    assert shown(merged) == ("charging", "CHARGING")  # heard of four minutes ago
    services.source_polled(source_id=volt.pk, at=at(46))
    assert shown(merged) == ("available", "AVAILABLE")
    assert Connector.objects.get(evse__location=merged).heard_at == at(46)


@pytest.mark.parametrize(("trust", "word"), [(50, "unknown"), (90, "available")])
def test_words_that_cannot_win_keep_none_from_being_weighed(
    merged: Location, hub: Source, volt: Source, trust: int, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that says nothing, and one beside the word of a more trusted network that pushes."""
    monkeypatch.setattr(claims, "WEIGHED_AT_ONCE", 1)
    push(hub, "IN*HUB*9*IN-VLT-E1", "CHARGING", 40)
    sure = make_source(slug="sure", kind="ocpi-2.2.1")
    Source.objects.filter(pk=sure.pk).update(trust=trust, last_push_at=at(46) if trust > 70 else None)
    first = EVSE.objects.create(pk=-1, location=Location.objects.get(source=hub), is_shared=True)
    Connector.objects.create(evse=first, connector_id=1)
    for source, status, is_shown in ((sure, "charging", True), (volt, word, False)):
        StatusClaim.objects.create(
            evse=first, source=source, status=status, status_at=NOON, heard_at=NOON, is_shown=is_shown
        )
    services.source_polled(source_id=volt.pk, at=at(46))
    assert shown(merged) == ("available", "AVAILABLE")


def test_a_unit_told_to_a_site_that_was_merged_meanwhile_is_a_second_opinion(merged: Location, hub: Source) -> None:
    """An OCPI PUT that waited for the merge, with the site as it was before."""
    before = Location.objects.get(source=hub)
    unit = EvseDoc("IN-VLT-E1", (plug(),), raw_status="OUTOFORDER", status="faulted", updated_at=at(60))
    services.upsert_evse(source=hub, location=before, doc=unit, key="IN*HUB*9", at=at(60))
    new = EvseDoc("NEW", (plug(),), raw_status="AVAILABLE", status="available", updated_at=at(60))
    services.upsert_evse(source=hub, location=before, doc=new, key="IN*HUB*9", at=at(60))
    assert shown(merged) == ("faulted", "OUTOFORDER")
    assert list(EVSE.objects.filter(location=before).values_list("uid", flat=True)) == ["IN-VLT-E1"]


def test_a_unit_merged_twice_is_found_where_it_is_shown(merged: Location, hub: Source) -> None:
    hidden = EVSE.objects.get(location__source=hub)
    assert unit_now(hidden.pk) == merged.evses.get().pk
    first = EVSE.objects.get(location__source__slug="open-list")
    assert unit_now(first.pk) == merged.evses.get().pk
    assert unit_now(merged.evses.get().pk) == merged.evses.get().pk


def test_a_source_that_withdraws_takes_its_words_along_and_the_site_stays(
    merged: Location, hub: Source, volt: Source
) -> None:
    push(hub, "IN*HUB*9*IN-VLT-E1", "CHARGING", 40)
    services.remove_location(source=hub, external_key="IN*HUB*9", at=at(41))
    merged.refresh_from_db()
    assert not merged.is_removed
    assert not StatusClaim.objects.filter(source=hub).exists()
    assert shown(merged) == ("available", "AVAILABLE")
    assert not Claim.objects.filter(source=hub).exists()


def test_a_site_that_a_list_leaves_out_is_not_vouched_for_by_it_though_it_belongs_to_another(
    merged: Location, hub: Source, volt: Source
) -> None:
    """The owner's word is shown and then falls silent: the old word of the other must not come up as a fresh one."""
    services.upsert_location(source=hub, doc=doc("IN*HUB*10", replace(VOLT_UNIT, uid="X"), latitude=13.5), at=at(39))
    push(volt, "IN*VLT*L1*E1", "OUTOFORDER", 38)
    for missed in range(1, 4):
        refs = ExternalRef.objects.filter(source=hub, kind="location")
        refs.filter(external_key="IN*HUB*9").update(last_seen_at=at(1))
        refs.filter(external_key="IN*HUB*10").update(last_seen_at=at(40))
        assert full_pull_done(source=hub, began=at(39), at=at(40)) == []
        assert refs.get(external_key="IN*HUB*9").missed_syncs == missed
        services.source_polled(source_id=hub.pk, at=at(90))
        words = StatusClaim.objects.filter(source=hub, evse__location=merged)
        assert [word.heard_at for word in words] == ([at(1)] if missed < 3 else [])
        assert shown(merged) == ("faulted", "OUTOFORDER")
    assert not Claim.objects.filter(source=hub).exists()
    assert full_pull_done(source=hub, began=at(39), at=at(91)) == []
    hub.refresh_from_db()
    merged.refresh_from_db()
    assert (hub.full_synced_at, merged.is_removed) == (at(91), False)
    again = doc("IN*HUB*9", replace(HUB_UNIT, updated_at=at(92)), minutes=92)
    services.upsert_location(source=hub, doc=again, at=at(92))
    assert shown(merged) == ("charging", "CHARGING")


def test_a_unit_that_a_list_leaves_out_is_spoken_of_by_the_others_alone(
    merged: Location, hub: Source, volt: Source
) -> None:
    push(hub, "IN*HUB*9*IN-VLT-E1", "CHARGING", 40)
    assert shown(merged) == ("charging", "CHARGING")
    services.update_location(source=hub, doc=doc("IN*HUB*9", minutes=41, city="Bengaluru"), at=at(41))
    assert shown(merged) == ("charging", "CHARGING")  # of the site alone
    services.upsert_location(source=hub, doc=doc("IN*HUB*9"), at=at(42))
    assert shown(merged) == ("charging", "CHARGING")  # old news
    services.upsert_location(source=hub, doc=doc("IN*HUB*9", minutes=43), at=at(43))
    assert shown(merged) == ("available", "AVAILABLE")
    connector = Connector.objects.get(evse__location=merged)
    assert connector.heard_at == NOON  # as old as the word that is shown
    assert not Claim.objects.filter(source=hub, kind="connector").exists()
    services.source_polled(source_id=hub.pk, at=at(44))
    assert list(StatusClaim.objects.values_list("source__slug", flat=True)) == ["volt"]
    push(hub, "IN*HUB*9*IN-VLT-E1", "CHARGING", 45)
    assert shown(merged) == ("charging", "CHARGING")


# --- review -----------------------------------------------------------------------------------------------------
def two_networks(volt: Source) -> Duplicate:
    hub = make_source(slug="hub", kind="ocpi-2.2.1")
    for source, key in ((volt, "IN*VLT*L1"), (hub, "IN*HUB*9")):
        services.upsert_location(source=source, doc=doc(key, VOLT_UNIT), at=NOON)
    return Duplicate.objects.filter(other__source=hub).first() or Duplicate(other=Location.objects.get(source=hub))


def test_no_merge_takes_a_fleet_its_access_away(volt: Source, organisation: Organisation, dispatcher: User) -> None:
    give_access(organisation, two_networks(volt).other.source)
    assert duplicates.find_duplicates(at=NOON) == {"found": 1, "merged": 0}
    waiting = Duplicate.objects.waiting().get()
    assert waiting.why["against"] == "1 of the fleets that may charge at Hub may not at Volt"
    with pytest.raises(duplicates.NotMergeable):
        duplicates.merge(duplicate_id=waiting.pk, actor=dispatcher, at=at(1))
    assert Location.objects.filter(is_removed=False).count() == 2
    give_access(organisation, volt)
    assert duplicates.find_duplicates(at=at(2)) == {"found": 0, "merged": 1}


def test_nobody_loses_the_plug_they_are_charging_at(volt: Source) -> None:
    two_networks(volt)
    Connector.objects.filter(evse__location__source__slug="hub").update(has_session=True)
    assert duplicates.find_duplicates(at=NOON) == {"found": 1, "merged": 0}


def test_a_merge_is_taken_back_whole(
    merged: Location, pair: tuple[Location, Location], listing: Source, dispatcher: User
) -> None:
    duplicate = Duplicate.objects.get()
    assert duplicates.keep_apart(duplicate_id=duplicate.pk, actor=dispatcher, at=at(3))
    kept, other = (Location.objects.get(pk=row.pk) for row in pair)
    assert (other.is_removed, other.removed_because, other.merged_into) == (False, "", None)
    assert (kept.is_shared, kept.postal_code, other.postal_code) == (False, "", "560029")
    assert services.find_location(listing, "ocm:77") == other
    assert services.find_evse(listing, "ocm:77*1.1").location == other  # type: ignore[union-attr]
    assert not (Claim.objects.exists() or StatusClaim.objects.exists() or EVSE.objects.filter(is_shared=True).exists())
    assert duplicates.find_duplicates(at=at(4)) == {"found": 0, "merged": 0}  # nobody asks again
    duplicate.refresh_from_db()
    assert (duplicate.state, duplicate.decided_by) == ("different", dispatcher)


def test_a_depot_of_a_fleet_is_nobodys_duplicate(pair: tuple[Location, Location], organisation: Organisation) -> None:
    Location.objects.filter(pk=pair[1].pk).update(organisation=organisation)
    assert duplicates.find_duplicates(at=NOON) == {"found": 0, "merged": 0}
