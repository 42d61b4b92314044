"""A party that its hub has lost: the hub's pushes and polls vouch for it no more, and what was said grows old."""

from datetime import datetime, timedelta

import orjson
import pytest
from django.utils import timezone

from dispatch import plug_rows
from fleetcharge.accounts.models import Organisation
from stations import belief, reads, services
from stations.models import EVSE, Connector, Location, Party, Source, StatusClaim
from stations.nearest import Near, nearest
from stations.tests.factories import give_access, make_public_connector, make_source

pytestmark = pytest.mark.django_db
FIELDS = "evse__location__source", "evse__location__party", "evse__charger"


@pytest.fixture
def hub() -> Source:
    """A hub that pushes all day, with a party that it may lose and one that it keeps."""
    source = make_source(slug="hub", kind="ocpi-2.2.1")
    Source.objects.filter(pk=source.pk).update(last_push_at=timezone.now())
    return source


def plug_of(hub: Source, name: str, heard_at: datetime) -> Connector:
    party, _ = Party.objects.get_or_create(source=hub, country_code="IN", party_id=name, defaults={"name": name})
    plug = make_public_connector(hub, name=name, status="available", status_at=heard_at, heard_at=heard_at)
    Location.objects.filter(pk=plug.evse.location_id).update(party=party)
    return Connector.objects.select_related(*FIELDS).get(pk=plug.pk)


def hub_says(hub: Source, name: str, word: str) -> None:
    services.note_client(source=hub, country_code="IN", party_id=name, role="CPO", status=word, at=timezone.now())


def freshness(plug: Connector, now: datetime) -> str:
    """As every way of asking has it, which must be one."""
    plug = Connector.objects.select_related(*FIELDS).get(pk=plug.pk)
    said = belief.freshness_of(plug, now)
    [row] = orjson.loads(reads.connectors_json([plug.pk], now))
    is_believed = Connector.objects.filter(belief.is_believed(now), pk=plug.pk).exists()
    site = Location.objects.filter(belief.has_believed_connector(now), pk=plug.evse.location_id).exists()
    near = {pk for pk, _ in nearest(Near(12.9, 77.7, 0, is_available=True), now)}
    assert row["freshness"] == said
    assert is_believed is site is (plug.evse.location_id in near) is (said in belief.BELIEVED)
    return said


@pytest.mark.parametrize("word", ["OFFLINE", "SUSPENDED", "PLANNED"])
def test_what_a_lost_party_said_grows_old_while_its_hub_pushes(hub: Source, word: str) -> None:
    now = timezone.now()
    ages = [timedelta(minutes=1), timedelta(minutes=20), timedelta(hours=2), timedelta(days=2)]
    lost = [plug_of(hub, "AWY", now - age) for age in ages]
    kept = plug_of(hub, "STY", now - timedelta(hours=2))
    assert {freshness(plug, now) for plug in [*lost, kept]} == {"live"}
    hub_says(hub, "AWY", word)
    assert [freshness(plug, now) for plug in lost] == ["live", "recent", "stale", "none"]
    assert freshness(kept, now) == "live"
    hub_says(hub, "AWY", "CONNECTED")
    assert freshness(lost[2], now) == "live"


def test_a_poll_of_the_hub_does_not_stand_by_a_lost_party(hub: Source) -> None:
    now, then = timezone.now(), timezone.now() - timedelta(hours=3)
    lost, kept = plug_of(hub, "AWY", then), plug_of(hub, "STY", then)
    hub_says(hub, "AWY", "OFFLINE")
    services.source_polled(source_id=hub.pk, at=now)
    heard = dict(Connector.objects.values_list("pk", "heard_at"))
    assert heard == {lost.pk: then, kept.pk: now}
    hub_says(hub, "AWY", "CONNECTED")
    services.source_polled(source_id=hub.pk, at=now)
    assert Connector.objects.get(pk=lost.pk).heard_at == now


def test_dispatch_takes_its_plugs_for_those_of_a_network_that_fails(hub: Source, organisation: Organisation) -> None:
    give_access(organisation, hub)
    plugs = [plug_of(hub, name, timezone.now()) for name in ("AWY", "STY")]
    hub_says(hub, "AWY", "OFFLINE")
    found = plug_rows.at_sites([plug.evse.location_id for plug in plugs], organisation_id=organisation.pk, vehicle_id=0)
    assert {row.connector_id: row.is_network_failing for row in found} == {plugs[0].pk: True, plugs[1].pk: False}


def test_the_counts_on_the_desk_say_it(hub: Source) -> None:
    plug_of(hub, "AWY", timezone.now() - timedelta(hours=2))
    plug_of(hub, "STY", timezone.now() - timedelta(hours=2))
    hub_says(hub, "AWY", "OFFLINE")
    assert belief.freshness_of_network(hub.pk, timezone.now()) == {"live": 1, "stale": 1}


def test_neither_does_it_stand_by_its_word_about_a_unit_that_others_speak_of(hub: Source) -> None:
    now, then = timezone.now(), timezone.now() - timedelta(hours=3)
    plugs = [plug_of(hub, name, then) for name in ("AWY", "STY")]
    for plug in plugs:
        EVSE.objects.filter(pk=plug.evse_id).update(is_shared=True)
        StatusClaim.objects.create(
            evse=plug.evse, source=hub, status="available", status_at=then, heard_at=then, is_shown=True
        )
    hub_says(hub, "AWY", "OFFLINE")
    services.source_polled(source_id=hub.pk, at=now)
    heard = [StatusClaim.objects.get(evse=plug.evse).heard_at for plug in plugs]
    assert heard == [then, now]
