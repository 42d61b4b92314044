"""Whose data is shown is said where it is shown: in the API, in the drawer, and on a site's own page."""

from typing import Any

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts.models import Organisation, User
from stations import reads
from stations.credits import credits_of
from stations.models import Connector, ExternalRef, Location, Source
from stations.tests.factories import give_access, make_public_connector, make_source

pytestmark = pytest.mark.django_db
OURS = {"source": "Volt", "licence": "CC BY 4.0", "attribution": "© Volt contributors"}


def source(slug: str, **said: Any) -> Source:
    made = make_source(slug=slug, kind="ocpi-2.2.1", organisation=said.pop("organisation", None))
    Source.objects.filter(pk=made.pk).update(**said)
    made.refresh_from_db()
    return made


@pytest.fixture
def plug() -> Connector:
    volt = source("volt", licence="CC BY 4.0", attribution="© Volt contributors")
    return make_public_connector(volt, name="Forum Mall", status="available", heard_at=timezone.now())


def also_named_by(location: Location, other: Source) -> None:
    ExternalRef.objects.create(source=other, kind="location", external_key=f"L{other.pk}", object_id=location.pk)
    Location.objects.filter(pk=location.pk).update(is_shared=True)


def both(location: Location) -> list[dict[str, str]]:
    """As Python and PostgreSQL say it, which must be the same."""
    location = Location.objects.select_related("source").get(pk=location.pk)
    [row] = orjson.loads(reads.stations_json([location.pk], timezone.now()))
    assert row["attribution"] == credits_of(location)
    return list(row["attribution"])


def test_a_site_names_its_source_and_one_that_asks_for_nothing_is_left_out(plug: Connector) -> None:
    assert both(plug.evse.location) == [OURS]
    assert both(make_public_connector(source("silent")).evse.location) == []
    assert both(make_public_connector(source("terms", licence="ODbL")).evse.location) == [
        {"source": "Terms", "licence": "ODbL", "attribution": ""}
    ]


def test_a_shared_site_names_everybody_who_speaks_of_it_but_no_private_network(
    plug: Connector, organisation: Organisation
) -> None:
    site = plug.evse.location
    for other in (
        source("hub", attribution="From Hub"),
        source("arrow", licence="ODbL"),
        source("silent"),
        source("private", attribution="Secret", organisation=organisation),
    ):
        also_named_by(site, other)
    make_public_connector(source("elsewhere", attribution="Not here"))
    assert [credit["source"] for credit in both(site)] == ["Volt", "Arrow", "Hub"]
    Source.objects.filter(slug="volt").update(licence="", attribution="")
    assert [credit["source"] for credit in both(site)] == ["Arrow", "Hub"]


def test_the_drawer_and_the_page_of_a_site_say_it(
    plug: Connector, organisation: Organisation, owner: User, client: Client
) -> None:
    give_access(organisation, plug.evse.location.source)
    also_named_by(plug.evse.location, source("hub", licence="<ODbL>"))
    client.force_login(owner)
    address = f"/dispatch/stations/{plug.evse.location.public_id}/"
    for headers in ({}, {"X-Requested-With": "drawer"}):
        shown = client.get(address, headers=headers)
        text = shown.content.decode()
        assert shown.status_code == 200
        assert "Data: © Volt contributors · CC BY 4.0" in text
        assert "Data: Hub · &lt;ODbL&gt;" in text
