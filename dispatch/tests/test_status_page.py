"""The public status page: only of operators who want it, only of public sites, nothing that belongs to a fleet."""

import pytest
from django.utils import timezone

from dispatch import status_page
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation
from stations.models import Connector

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_is_kept(monkeypatch):
    monkeypatch.setattr(status_page, "_standings", {})


@pytest.fixture
def shown(organisation):
    Organisation.objects.filter(pk=organisation.pk).update(shows_status=True)
    return organisation


def plug_at(operator, **place):
    site = factories.location(factories.source(operator), **place)
    return factories.connector(site, charger=factories.charger(site, operator), at=timezone.now())


def test_it_is_not_there_unless_the_operator_wants_it(client, organisation):
    plug_at(organisation, name="Hoodi Plaza")
    assert client.get("/status/namma/").status_code == 404
    assert client.get("/status/nobody/").status_code == 404


def test_everybody_sees_how_public_sites_do(client, shown):
    plug_at(shown, name="Hoodi Plaza", city="Bengaluru")
    answer = client.get("/status/namma/")
    assert answer.status_code == 200
    (site,) = answer.context["standing"].sites
    assert (site.name, site.free, site.working, site.total, site.tone) == ("Hoodi Plaza", 1, 1, 1, "ok")


def test_depots_and_other_operators_are_not_on_it(client, shown, other_organisation):
    plug_at(shown, name="Secret Depot", organisation=shown)
    plug_at(other_organisation, name="Strangers")
    factories.vehicle(shown)
    text = client.get("/status/namma/").content.decode()
    assert "Secret Depot" not in text
    assert "Strangers" not in text
    assert "KA 03 MX" not in text


def test_a_faulted_plug_does_not_work(client, shown):
    plug = plug_at(shown)
    Connector.objects.filter(pk=plug.pk).update(status="faulted")
    (site,) = client.get("/status/namma/").context["standing"].sites
    assert (site.free, site.working, site.tone) == (0, 0, "bad")


def test_the_database_is_asked_once_a_minute(client, shown, django_assert_max_num_queries):
    plug_at(shown)
    client.get("/status/namma/")
    plug_at(shown)
    with django_assert_max_num_queries(2):
        assert len(client.get("/status/namma/").context["standing"].sites) == 1


def test_a_site_of_two_operators_shows_each_only_their_plugs(client, shown, other_organisation, monkeypatch):
    own = plug_at(shown, name="Hoodi Plaza")
    site = own.evse.location
    strange = factories.connector(site, charger=factories.charger(site, other_organisation), at=timezone.now())
    Connector.objects.filter(pk=strange.pk).update(status="faulted")
    (place,) = client.get("/status/namma/").context["standing"].sites
    assert (place.free, place.working, place.total, place.tone) == (1, 1, 1, "ok")
    Organisation.objects.filter(pk=other_organisation.pk).update(shows_status=True)
    (place,) = client.get("/status/stranger/").context["standing"].sites
    assert (place.free, place.working, place.total, place.tone) == (0, 0, 1, "bad")
