"""Nobody becomes a member unasked, nobody learns who is known here, and an account stays its person's own."""

import re
from datetime import timedelta

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from fleetcharge.accounts import invitations
from fleetcharge.accounts.models import AuditEntry, Invitation, Membership, Organisation, User

NEW_PASSWORD = "new horse battery"


@pytest.fixture
def desk(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def invite(desk: Client, organisation: Organisation, email: str, role: str = "dispatcher") -> str:
    """Through the page; returns what the owner is told."""
    wanted = {"organisation": organisation.pk, "email": email, "role": role}
    answer = desk.post("/admin/accounts/invitation/add/", wanted, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def link_in(text: str) -> str:
    return "/invitations/" + re.search(r"/invitations/(\S+)", text)[1]


def test_an_owner_cannot_make_anybody_a_member(desk: Client, organisation: Organisation, stranger: User) -> None:
    answer = desk.post(
        "/admin/accounts/membership/add/", {"user": stranger.pk, "organisation": organisation.pk, "role": "driver"}
    )
    assert answer.status_code == 403
    assert not Membership.objects.filter(organisation=organisation, user=stranger).exists()


def test_an_owner_cannot_hand_a_membership_to_somebody_else(
    desk: Client, organisation: Organisation, dispatcher: User, stranger: User
) -> None:
    row = Membership.objects.get(user=dispatcher)
    page = f"/admin/accounts/membership/{row.pk}/change/"
    desk.post(page, {"user": stranger.pk, "organisation": organisation.pk, "role": "finance"})
    row.refresh_from_db()
    assert (row.user, row.role) == (dispatcher, "finance")
    assert stranger.email not in desk.get(page).content.decode()


def test_an_owner_cannot_make_an_account_so_an_address_in_use_is_not_betrayed(desk: Client, stranger: User) -> None:
    wanted = {"email": stranger.email, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert desk.post("/admin/accounts/user/add/", wanted).status_code == 403


def test_inviting_tells_the_same_of_a_known_and_of_an_unknown_address(
    desk: Client, organisation: Organisation, stranger: User
) -> None:
    known, unknown = (invite(desk, organisation, email) for email in (stranger.email, "nobody@stranger.example"))
    told = [re.sub(r"\S+@\S+|/invitations/\S+", "", text) for text in (known, unknown)]
    assert told[0] == told[1]
    pages = [desk.get(link_in(text)).content.decode() for text in (known, unknown)]
    pages = [re.sub(r"\S+@stranger\.example|value=\"\w{64}\"|nonce=\"\S+\"", "", page) for page in pages]
    assert pages[0] == pages[1]
    assert "Eve S" not in desk.get("/admin/accounts/invitation/").content.decode()


def test_only_who_accepts_becomes_a_member(
    desk: Client, organisation: Organisation, other_organisation: Organisation, stranger: User
) -> None:
    link = link_in(invite(desk, organisation, stranger.email, "finance"))
    assert set(stranger.memberships.values_list("organisation", flat=True)) == {other_organisation.pk}
    assert desk.post(link, {"password": "a guess of ten"}).status_code == 200
    assert stranger.memberships.count() == 1
    assert Client().post(link, {"password": "correct horse"}).status_code == 302
    assert stranger.memberships.get(organisation=organisation).role == "finance"
    assert Client().get(link).status_code == 404
    assert AuditEntry.objects.filter(action="accept_invitation", actor=stranger).count() == 1


def test_a_newcomer_chooses_a_password_and_is_this_fleets_account(desk: Client, organisation: Organisation) -> None:
    link = link_in(invite(desk, organisation, "New@Namma.example"))
    assert Client().post(link, {"password": "short"}).status_code == 200
    assert not User.objects.filter(email__iexact="new@namma.example").exists()
    assert Client().post(link, {"password": NEW_PASSWORD, "full_name": "Nia"}).status_code == 302
    person = User.objects.get(email="new@namma.example")
    assert (person.full_name, person.created_for, person.is_staff) == ("Nia", organisation, False)
    assert Client().login(username="new@namma.example", password=NEW_PASSWORD)


def test_a_link_ends_with_its_time_and_with_its_invitation(organisation: Organisation, owner: User) -> None:
    now = timezone.now()
    offer = invitations.invite(organisation=organisation, email="a@b.example", role="driver", actor=owner, now=now)
    token = invitations.link_of(offer).rstrip("/").rsplit("/", 1)[1]
    assert invitations.find(token, now=now) == offer
    assert invitations.find(token, now=now + timedelta(days=8)) is None
    assert invitations.find(token[:-1] + "x", now=now) is None
    offer.delete()
    assert invitations.find(token, now=now) is None


def test_inviting_again_renews_the_first_invitation(desk: Client, organisation: Organisation) -> None:
    first = invite(desk, organisation, "a@b.example", "driver")
    again = invite(desk, organisation, "A@b.example", "dispatcher")
    assert link_in(first).split(":")[0] == link_in(again).split(":")[0]
    assert Invitation.objects.get().role == "dispatcher"


@override_settings(EMAIL_HOST="mail.example")
def test_with_a_mail_server_only_the_mailbox_gets_the_link(
    desk: Client, organisation: Organisation, mailoutbox, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        told = invite(desk, organisation, "a@b.example")
    assert "/invitations/" not in told
    assert mailoutbox[0].to == ["a@b.example"]
    assert Client().get(link_in(mailoutbox[0].body)).status_code == 200


def test_an_account_of_somebody_elses_making_cannot_be_taken_over(
    desk: Client, organisation: Organisation, stranger: User
) -> None:
    Membership.objects.filter(user=stranger).delete()
    Membership.objects.create(user=stranger, organisation=organisation, role="driver")
    before = stranger.password
    page = f"/admin/accounts/user/{stranger.pk}"
    answer = desk.post(f"{page}/password/", {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert answer.status_code == 403
    assert desk.post(f"{page}/change/", {"full_name": "Taken"}).status_code == 403
    stranger.refresh_from_db()
    assert (stranger.password, stranger.full_name) == (before, "Eve S")


def test_an_owner_manages_the_accounts_of_the_fleets_own_making_but_never_their_address(
    desk: Client, organisation: Organisation, dispatcher: User, stranger: User
) -> None:
    User.objects.filter(pk=dispatcher.pk).update(created_for=organisation)
    page = f"/admin/accounts/user/{dispatcher.pk}"
    wanted = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    assert desk.post(f"{page}/password/", wanted).status_code == 302
    rows = {"memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}
    changed = {"email": stranger.email, "full_name": "Asha", "language": "en", "is_active": "on", **rows}
    assert desk.post(f"{page}/change/", changed).status_code == 302
    dispatcher.refresh_from_db()
    assert (dispatcher.email, dispatcher.full_name) == ("asha@namma.example", "Asha")
    assert dispatcher.check_password(NEW_PASSWORD)
