"""What the admin offers to choose from, in filters and in forms, is what one may see."""

import pytest
from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.test import Client, RequestFactory

from fleetcharge.accounts.admin import TenantRelatedFilter
from fleetcharge.accounts.models import Organisation, User
from stations.models import Source

pytestmark = pytest.mark.django_db
DESKS = sorted(admin.site._registry.values(), key=lambda desk: desk.model._meta.label)


@pytest.mark.parametrize("desk", DESKS, ids=lambda desk: desk.model._meta.label)
def test_no_filter_over_a_relation_lists_every_tenants_rows(desk: admin.ModelAdmin, rf: RequestFactory) -> None:
    """Django lists all rows of a relation, and all values of a column behind one unless it has fixed choices."""
    open_lists = []
    for entry in desk.get_list_filter(rf.get("/")):
        path, made = entry if isinstance(entry, tuple) else (entry, None)
        if not isinstance(path, str):
            continue
        fields = get_fields_from_path(desk.model, path)
        if fields[-1].is_relation:
            is_closed = made is not None and issubclass(made, (TenantRelatedFilter, admin.EmptyFieldListFilter))
        else:
            is_closed = len(fields) == 1 or bool(fields[-1].choices) or fields[-1].get_internal_type() == "BooleanField"
        if not is_closed:
            open_lists.append(path)
    assert open_lists == []


@pytest.mark.parametrize(
    "page", ["stations/location/", "stations/connector/", "stations/tariff/", "stations/location/add/"]
)
def test_networks_of_other_fleets_are_not_offered(
    client: Client, owner: User, organisation: Organisation, other_organisation: Organisation, page: str
) -> None:
    for number in (1, 2):
        Source.objects.create(slug=f"own-{number}", name=f"Own grid {number}", organisation=organisation)
        Source.objects.create(slug=f"their-{number}", name=f"Their grid {number}", organisation=other_organisation)
    client.force_login(owner)
    body = client.get(f"/admin/{page}").content.decode()
    assert "Own grid 1" in body
    assert "Their grid" not in body


def test_nobody_else_is_offered_as_owner_of_exceptions(
    client: Client, owner: User, dispatcher: User, stranger: User
) -> None:
    """They are one's own, or nobody's."""
    client.force_login(owner)
    body = client.get("/admin/billing/billingexception/").content.decode()
    assert "?whose=mine" in body
    assert not [name for name in ("Asha R", "Eve S") if name in body]
