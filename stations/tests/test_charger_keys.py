"""Keys and security profiles at the desk: the next key beside the present one, and no way down."""

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, User
from fleetcharge.lib import crypto
from stations.models import Charger, Location, Source


@pytest.fixture
def charger(organisation: Organisation) -> Charger:
    source = Source.objects.create(slug="own", name="Own", kind=Source.Kind.OWN_OCPP, organisation=organisation)
    place = Location.objects.create(
        source=source, organisation=organisation, name="Depot", latitude=12.97, longitude=77.59
    )
    return Charger.objects.create(
        organisation=organisation, location=place, ocpp_identity="BLR-017", auth_key_hash="0" * 64
    )


@pytest.fixture
def desk(organisation: Organisation) -> Client:
    owner = User.objects.create_user(email="owner@example.com", password="x", is_staff=True)
    Membership.objects.create(user=owner, organisation=organisation, role=Membership.Role.OWNER)
    client = Client()
    client.force_login(owner)
    return client


@pytest.mark.django_db
def test_the_next_key_is_shown_once_and_leaves_the_present_one(desk: Client, charger: Charger) -> None:
    page = reverse("admin:stations_charger_prepare_key", args=[charger.pk])
    answer = desk.post(page, {"reason": "yearly"}, follow=True)
    shown = [str(message) for message in answer.context["messages"]]
    charger.refresh_from_db()
    assert charger.auth_key_hash == "0" * 64
    key = shown[0].split(": ", 1)[1].split(" - ")[0]
    assert crypto.matches(key, charger.next_auth_key_hash, purpose=Charger.KEY_PURPOSE)
    assert AuditEntry.objects.filter(action="stage_key").count() == 1


@pytest.mark.django_db
def test_a_security_profile_goes_up_at_the_desk_and_never_down(charger: Charger) -> None:
    charger.min_security_profile = Charger.SecurityProfile.TLS
    charger.clean()
    charger.save()
    charger.min_security_profile = Charger.SecurityProfile.BASIC
    with pytest.raises(ValidationError):
        charger.clean()
