"""Every API error is {"detail", "code"}, also those that Django answers before a view is found."""

import pytest
from django.test import Client
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from fleetcharge.accounts.models import User
from fleetcharge.accounts.permissions import HasScope


def test_a_wrong_host_name_is_told_in_json(client: Client) -> None:
    answer = client.get("/api/v1/stations/", headers={"Host": "evil.example"})
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")
    assert answer.json()["code"] == "bad_request"
    page = client.get("/login/", headers={"Host": "evil.example"})
    assert (page.status_code, page["Content-Type"].split(";")[0]) != (400, "application/json")


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_view_that_names_no_scope_is_for_nobody(owner: User, method: str) -> None:
    request = Request(getattr(APIRequestFactory(), method)("/"))
    request.user = owner
    assert HasScope().has_permission(request, object()) is False
