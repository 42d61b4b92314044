"""Views that a person keeps: under a name, for one page of one fleet, for nobody else."""

import pytest

from dispatch.saved.models import SavedView
from fleetcharge.accounts.models import Membership

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, dispatcher):
    client.force_login(dispatcher)
    return client


def keep(client, name="Low vans", page="fleet-list", query="state=low&sort=plate", **more):
    return client.post("/dispatch/views/", {"name": name, "page": page, "query": query, **more}, follow=True)


def test_a_view_is_kept_shown_opened_and_removed(desk):
    answer = keep(desk, name="  Low   vans ", query="state=low&sort=plate&after=X&export=csv")
    assert answer.request["QUERY_STRING"] == "state=low&sort=plate"
    assert "“Low vans” is kept." in answer.text
    (row,) = desk.get("/fleet/").context["kept"]
    assert (row["name"], row["address"]) == ("Low vans", "/fleet/?state=low&sort=plate")
    assert desk.get("/alerts/").context["kept"] == []
    answer = desk.post(f"/dispatch/views/{row['id']}/remove/", follow=True)
    assert answer.request["PATH_INFO"] == "/fleet/" and answer.context["kept"] == []


def test_a_copy_of_ones_own_data_has_the_views_and_nobody_elses(desk, client, stranger):
    keep(desk)
    (held,) = desk.get("/privacy/mine/").json()["saved_views"]
    assert (held["name"], held["page"], held["query"]) == ("Low vans", "fleet-list", "state=low&sort=plate")
    client.force_login(stranger)
    assert client.get("/privacy/mine/").json()["saved_views"] == []


def test_the_same_name_again_means_the_newer_view(desk):
    keep(desk)
    keep(desk, query="state=charging")
    assert SavedView.objects.get().query == "state=charging"


def test_a_part_of_the_map_stands_behind_the_hash(desk):
    answer = desk.post("/dispatch/views/", {"name": "South", "page": "dispatch", "query": "view=12.9,77.6,13&list=low"})
    assert answer["Location"] == "/dispatch/#view=12.9%2C77.6%2C13&list=low"
    (row,) = desk.get("/dispatch/").context["kept"]
    assert row["address"] == answer["Location"]


def test_nobody_else_sees_or_removes_it(desk, client, stranger, finance, dispatcher, organisation, other_organisation):
    keep(desk)
    row = SavedView.objects.get()
    for person in (stranger, finance):
        client.force_login(person)
        assert client.get("/fleet/").context["kept"] == []
        assert client.post(f"/dispatch/views/{row.pk}/remove/").status_code == 404
    Membership.objects.create(user=dispatcher, organisation=other_organisation, role="dispatcher")
    client.force_login(dispatcher)
    client.post("/switch-fleet/", {"organisation": other_organisation.pk})
    assert client.get("/fleet/").context["kept"] == []
    assert SavedView.objects.exists()


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "x" * 61}, {"page": "admin:index"}, {"query": "x" * 501}])
def test_what_cannot_be_kept_is_said(wrong, desk):
    assert "could not be kept" in keep(desk, **wrong).text
    assert not SavedView.objects.exists()


def test_there_is_an_end_to_it(desk, monkeypatch):
    monkeypatch.setattr("dispatch.saved.views.MOST", 1)
    keep(desk)
    assert "1 views already" in keep(desk, name="Another").text
    assert "is kept" in keep(desk, query="state=parked").text
    assert SavedView.objects.get().query == "state=parked"


def test_it_takes_a_person_and_a_post(client, desk):
    assert desk.get("/dispatch/views/").status_code == 405
    client.logout()
    assert client.post("/dispatch/views/", {}).status_code == 302
    assert not SavedView.objects.exists()
