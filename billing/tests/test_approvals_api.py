"""Wishes over the API: a fleet reads its own, people decide, keys do not, and nobody sees another's."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.approvals import services, spend_limits
from billing.approvals.models import Approval
from billing.models import SpendLimit, Wallet
from billing.tests import test_four_eyes
from billing.tests.test_api import client_for
from billing.tests.test_four_eyes import top_up
from fleetcharge.accounts.models import Organisation, Scope, User

pytestmark = pytest.mark.django_db
clerk, limit, wallet = test_four_eyes.clerk, test_four_eyes.limit, test_four_eyes.wallet
LIST = "/api/v1/approvals/"


@pytest.fixture
def wish(limit: SpendLimit, finance: User) -> Approval:
    asked = spend_limits.change_or_ask(
        limit=limit, amount_paise=5_000_00, energy_wh=None, reason="season", actor=finance, now=timezone.now()
    )
    assert asked is not None
    return asked


def decide(client: Client, person: User, wish: Approval, deed: str, reason: str = "seen") -> Any:
    client.force_login(person)
    return client.post(f"{LIST}{wish.pk}/{deed}/", {"reason": reason}, content_type="application/json")


def test_a_key_reads_what_waits_and_decides_nothing(
    organisation: Organisation, wish: Approval, wallet: Wallet, clerk: User, django_assert_max_num_queries: Any
) -> None:
    top_up(organisation, clerk, 9_000_00)  # ours: no fleet sees it
    api = client_for(organisation, Scope.BILLING_READ, Scope.BILLING_WRITE)
    with django_assert_max_num_queries(4):
        [row] = api.get(LIST, {"state": "asked", "kind": "spend_limit"}).json()["results"]
    assert (row["id"], row["amount_paise"], row["reason"], row["decided_by"]) == (wish.pk, 4_000_00, "season", None)
    assert row["changes"] == [{"what": "At most", "before": "₹1,000.00", "after": "₹5,000.00"}]
    assert [each["id"] for each in api.get(LIST).json()["results"]] == [wish.pk]
    assert api.get(LIST, {"state": "whatever"}).status_code == 400
    for deed in ("approve", "decline", "withdraw"):
        answer = api.post(f"{LIST}{wish.pk}/{deed}/", {"reason": "seen"}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (409, "person_needed")
    assert client_for(organisation, Scope.BILLING_READ).post(f"{LIST}{wish.pk}/approve/").status_code == 403


def test_the_second_person_decides_over_the_api(
    client: Client, wish: Approval, limit: SpendLimit, finance: User, owner: User
) -> None:
    answer = decide(client, finance, wish, "approve")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_yours")
    assert decide(client, owner, wish, "approve", reason=" ").status_code == 400
    answer = decide(client, owner, wish, "approve")
    assert (answer.status_code, answer.json()["state"], answer.json()["decided_by"]) == (200, "approved", str(owner))
    limit.refresh_from_db()
    assert limit.amount_paise == 5_000_00
    answer = decide(client, owner, wish, "decline")
    assert (answer.status_code, answer.json()["code"]) == (409, "already_decided")


@pytest.mark.parametrize(
    ("who", "deed", "state"), [("owner", "decline", "declined"), ("finance", "withdraw", "withdrawn")]
)
def test_it_is_declined_or_withdrawn(
    client: Client, wish: Approval, limit: SpendLimit, request: Any, who: str, deed: str, state: str
) -> None:
    assert decide(client, request.getfixturevalue(who), wish, deed, "too much").json()["state"] == state
    limit.refresh_from_db()
    assert (limit.amount_paise, Approval.objects.get().decided_because) == (1_000_00, "too much")


def test_nobody_sees_or_decides_anothers_or_ours(
    client: Client, wish: Approval, wallet: Wallet, clerk: User, owner: User, stranger: User, dispatcher: User
) -> None:
    ours = top_up(wallet.organisation, clerk, 9_000_00)
    for person, row in ((stranger, wish), (owner, ours)):
        assert decide(client, person, row, "approve").status_code == 404
        assert client.get(f"{LIST}{row.pk}/").status_code == 404
    assert decide(client, dispatcher, wish, "approve").status_code == 403
    assert services.kinds()["top_up"].is_ours
    assert set(Approval.objects.values_list("state", flat=True)) == {"asked"}
