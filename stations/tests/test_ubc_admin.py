"""UBC on the desk: a network is set up there with a key of its own; what was said is for those whose network it is."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, User
from fleetcharge.demo.peers.ubc import BPP, CDS, SuryaCharge
from stations.cpo.ubc import orders, signing
from stations.cpo.ubc.models import UBCItem, UBCMessage, UBCNetwork, UBCOrder, UBCRefusal
from stations.models import Source
from stations.tests.factories import make_public_connector
from stations.tests.serving import serve

pytestmark = pytest.mark.django_db
FORM = {
    "profile": "ubc-0.9", "subscriber_id": "fleet.example", "key_id": "k1", "gateway_id": "cds.example",
    "registry_url": "https://registry.example/lookup/{subscriber_id}/keys/{key_id}", "gateway_url": "https://cds.example",
    "areas": json.dumps([{"latitude": 12.97, "longitude": 77.59, "radius_m": 25000}]), "buyer": "{}",
    "settlement_account": "{}", "finder_fee_percent": "2.5", "order_kwh": "20",
}  # fmt: skip


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root@house.example", "correct horse"))
    return client


def test_a_network_gets_a_key_when_it_is_saved_and_a_new_one_when_asked(desk: Client) -> None:
    source = Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9")
    assert desk.post("/admin/stations/ubcnetwork/add/", {**FORM, "source": source.pk}).status_code == 302
    network = UBCNetwork.objects.get()
    public = signing.public_of(network.signing_key)
    page = desk.get(f"/admin/stations/ubcnetwork/{network.pk}/change/").content.decode()
    assert public in page
    assert "/ubc/ubc" in page
    assert network.signing_key not in page
    assert network.signing_key not in network.signing_key_encrypted
    asked = desk.post(f"/admin/stations/ubcnetwork/{network.pk}/new-key/", {"reason": "it leaked"}, follow=True)
    network.refresh_from_db()
    assert signing.public_of(network.signing_key) != public
    assert signing.public_of(network.signing_key) in asked.content.decode()


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("registry_url", "https://registry.example", "where they belong"),
        ("areas", '[{"latitude": 12.97}]', "radius_m"),
        ("areas", '[{"latitude": 129, "longitude": 77, "radius_m": 5}]', "circle on earth"),
        ("areas", "7", "radius_m"),
    ],
)
def test_a_network_that_cannot_work_is_not_saved(desk: Client, field: str, value: str, problem: str) -> None:
    source = Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9")
    page = desk.post("/admin/stations/ubcnetwork/add/", {**FORM, "source": source.pk, field: value})
    assert problem in page.content.decode()
    assert not UBCNetwork.objects.exists()


def test_what_was_said_at_a_shared_network_is_for_the_house_only(
    client: Client, desk: Client, owner: User, organisation: Organisation
) -> None:
    source = Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9")
    network = UBCNetwork.objects.create(source=source, subscriber_id="fleet.example", key_id="k", registry_url="r")
    now = timezone.now()
    UBCMessage.objects.create(
        network=network, direction="in", subscriber_id="bpp", action="on_confirm", transaction_id="TX-1",
        message_id="m",
        digest="d", raw='{"word": "₹"}'.encode(), authorization="a", at=now,
    )  # fmt: skip
    UBCRefusal.objects.create(network=network, code="wrong_signature", day=now.date(), count=3, last_at=now)
    assert "TX-1" in desk.get("/admin/stations/ubcmessage/").content.decode()
    message = UBCMessage.objects.get()
    assert "₹" in desk.get(f"/admin/stations/ubcmessage/{message.pk}/change/").content.decode()
    client.force_login(owner)
    assert "TX-1" not in client.get("/admin/stations/ubcmessage/").content.decode()
    source.organisation = organisation
    source.save()
    assert "TX-1" in client.get("/admin/stations/ubcmessage/").content.decode()
    for page in ("ubcnetwork", "ubcitem", "ubcorder", "ubccarry", "ubcrefusal"):
        assert client.get(f"/admin/stations/{page}/").status_code == 200


@pytest.fixture
def order(settings: Any) -> Iterator[tuple[SuryaCharge, UBCOrder]]:
    """An order at a seller that really listens."""
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    surya = SuryaCharge()
    with serve(surya) as base:
        surya.base = base
        seed, surya.registry["fleet.example", "k1"] = signing.new_key_pair()
        network = UBCNetwork(
            source=Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9"), subscriber_id="fleet.example",
            key_id="k1", gateway_id=CDS, gateway_url=f"{base}/cds", registry_url="unused",
        )  # fmt: skip
        network.signing_key = seed
        network.save()
        plug, now = make_public_connector(network.source), timezone.now()
        UBCItem.objects.create(
            connector=plug, network=network, item_id="I1", bpp_id=BPP, bpp_uri=f"{base}/bpp", provider_id="p",
            seen_at=now, offers=[{"beckn:id": "O1"}],
        )  # fmt: skip
        yield (
            surya,
            orders.open_order(
                connector_id=plug.pk, now=now, expires_at=now + timedelta(hours=1), id_token="T", reservation_key="R"
            ),
        )


def test_an_order_is_rated_and_complained_about_from_its_page(
    desk: Client, order: tuple[SuryaCharge, UBCOrder]
) -> None:
    surya, row = order
    page = f"/admin/stations/ubcorder/{row.pk}"
    assert "/rate/" in desk.get(f"{page}/change/").content.decode()
    assert "Stars" in desk.get(f"{page}/rate/").content.decode()
    assert desk.post(f"{page}/rate/", {"stars": "6", "comments": "x"}).status_code == 200  # asked again
    assert surya.heard == []
    desk.post(f"{page}/rate/", {"stars": "4", "comments": "Clean and quick"})
    desk.post(f"{page}/complain/", {"comments": "The invoice lacks our GSTIN"})
    desk.post(f"{page}/complain/", {"comments": "It came", "is_closed": "on"})
    assert [body["context"]["action"] for body in surya.heard] == ["rating", "support", "support"]
    assert "Clean and quick" in str(surya.heard[0])
    assert ["OPEN" in str(body) for body in surya.heard[1:]] == [True, False]
    assert AuditEntry.objects.filter(action__startswith="ubc.").count() == 3


def test_a_seller_that_is_away_is_named_and_nothing_is_said_to_be_sent(
    desk: Client, order: tuple[SuryaCharge, UBCOrder]
) -> None:
    _, row = order
    UBCOrder.objects.update(bpp_uri="http://127.0.0.1:9")
    said = desk.post(f"/admin/stations/ubcorder/{row.pk}/rate/", {"stars": "4", "comments": "x"}, follow=True)
    assert "cannot be reached" in said.content.decode()
    assert not AuditEntry.objects.filter(action="ubc.rate").exists()


def test_strangers_do_not_speak_for_others(
    client: Client, order: tuple[SuryaCharge, UBCOrder], organisation: Organisation
) -> None:
    surya, row = order
    owner = User.objects.create_user("owner@namma.example", "correct horse", is_staff=True)
    Membership.objects.create(user=owner, organisation=organisation, role=Membership.Role.OWNER)
    client.force_login(owner)
    client.post(f"/admin/stations/ubcorder/{row.pk}/rate/", {"stars": "1", "comments": "x"})
    assert surya.heard == []
