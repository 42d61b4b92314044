"""What an owner sets, who may not, a copy of one's own data, and the wish to be erased."""

import json

import pytest

from fleetcharge.accounts.models import AuditEntry, Organisation
from fleetcharge.accounts.privacy import ERASURE

pytestmark = pytest.mark.django_db
ASKED = {
    "time_zone": "Asia/Dubai", "dispatch_mode": "automatic", "soc_low_percent": 22, "soc_clear_percent": 30,
    "reserve_soc_percent": 8, "target_soc_percent": 85, "rupees_per_minute": "4.25", "shows_status": "on",
}  # fmt: skip


def test_an_owner_sets_how_the_fleet_works(client, owner, organisation):
    client.force_login(owner)
    assert client.post("/settings/", ASKED, follow=True).status_code == 200
    organisation.refresh_from_db()
    assert (organisation.time_zone, organisation.soc_low_percent, organisation.cost_per_minute_paise) == (
        "Asia/Dubai", 22, 425,
    )  # fmt: skip
    assert organisation.shows_status
    entry = AuditEntry.objects.get(organisation=organisation, action="change")
    assert (entry.before["soc_low_percent"], entry.after["soc_low_percent"], entry.actor) == (20, 22, owner)
    client.post("/settings/", ASKED)
    assert AuditEntry.objects.filter(organisation=organisation, action="change").count() == 1


@pytest.mark.parametrize(
    "wrong",
    [{"soc_clear_percent": 22}, {"target_soc_percent": 5}, {"time_zone": "Mars/Olympus"}, {"rupees_per_minute": "-1"},
     {"soc_low_percent": 101}, {"dispatch_mode": ""}],
)  # fmt: skip
def test_what_cannot_be_is_said_and_changes_nothing(client, owner, organisation, wrong):
    client.force_login(owner)
    answer = client.post("/settings/", {**ASKED, **wrong})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    organisation.refresh_from_db()
    assert (organisation.soc_low_percent, organisation.shows_status) == (20, False)


def test_others_look_and_do_not_change(client, dispatcher, stranger, organisation):
    client.force_login(dispatcher)
    assert client.get("/settings/").status_code == 200
    assert client.post("/settings/", ASKED).status_code == 403
    client.force_login(stranger)
    client.post("/settings/", ASKED)
    assert Organisation.objects.get(slug="stranger").soc_low_percent == 22
    organisation.refresh_from_db()
    assert organisation.soc_low_percent == 20


def test_the_notice_is_open_to_everybody_and_names_our_days(client, settings, owner):
    settings.POSITION_RETENTION_DAYS = 17
    assert "17 days" in client.get("/privacy/").content.decode()
    client.force_login(owner)
    assert "/privacy/mine/" in client.get("/privacy/").content.decode()


def test_a_person_gets_a_copy_of_their_own_and_of_nobody_elses(client, owner, dispatcher, stranger):
    client.force_login(owner)
    held = json.loads(client.get("/privacy/mine/").content)
    assert (held["email"], held["memberships"][0]["role"]) == (owner.email, "owner")
    assert stranger.email not in json.dumps(held)
    client.logout()
    assert client.get("/privacy/mine/").status_code == 302


def test_the_wish_to_be_erased_is_in_the_trail_once(client, dispatcher, organisation):
    client.force_login(dispatcher)
    assert client.get("/privacy/erasure/").status_code == 405
    for _time in range(2):
        client.post("/privacy/erasure/")
    entry = AuditEntry.objects.get(action=ERASURE)
    assert (entry.actor, entry.organisation) == (dispatcher, organisation)


def test_the_styleguide_is_there_in_debug_only(client, settings):
    assert client.get("/styleguide/").status_code == 404
    settings.DEBUG = True
    answer = client.get("/styleguide/")
    assert answer.status_code == 200
    assert "Reconnecting" in answer.content.decode()
