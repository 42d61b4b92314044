"""How somebody becomes a member: invited to an address, by their own consent."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from fleetcharge.accounts.models import Invitation, Membership, Organisation, User
from fleetcharge.accounts.services import audit

LIFETIME = timedelta(days=7)
SALT = "invitation"
AT_THE_DESK = frozenset({Membership.Role.OWNER, Membership.Role.FINANCE})


class Refused(Exception):
    """The invitation cannot be accepted like this; the text is for the person."""


@transaction.atomic
def invite(*, organisation: Organisation, email: str, role: str, actor: User | None, now: datetime) -> Invitation:
    """Offer a role to an address; asking again offers the new role and starts the time anew.

    What happens, and what the caller learns, is the same whether anybody is known under that address or not.
    """
    email = email.strip().lower()
    Organisation.objects.select_for_update().get(pk=organisation.pk)
    invitation, _is_new = Invitation.objects.update_or_create(
        organisation=organisation, email=email, accepted_at=None,
        defaults={"role": role, "invited_by": actor, "expires_at": now + LIFETIME},
    )  # fmt: skip
    audit(action="invite", target=invitation, actor=actor, after={"email": email, "role": role})
    if settings.EMAIL_HOST:
        transaction.on_commit(lambda: _send(invitation))
    return invitation


def link_of(invitation: Invitation) -> str:
    """The signed address where it is accepted; it dies with the invitation."""
    token = signing.dumps([invitation.pk, invitation.email], salt=SALT)
    return f"{settings.PUBLIC_BASE_URL}{reverse('invitation', args=[token])}"


def find(token: str, *, now: datetime) -> Invitation | None:
    """The open invitation behind a link; None when it is forged, over, withdrawn or accepted."""
    try:
        pk, email = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return Invitation.objects.open(now).filter(pk=pk, email=email).select_related("organisation").first()


@transaction.atomic
def accept(*, invitation_id: int, password: str, full_name: str, now: datetime) -> User:
    """Become a member with the password of one's account; at an address nobody has yet, it becomes the password.

    Raises Refused for a wrong password, ValidationError for one that is too weak, both without changing anything.
    """
    invitation = Invitation.objects.select_for_update(of=("self",)).select_related("organisation").get(pk=invitation_id)
    if invitation.accepted_at is not None:
        raise Refused(_("This invitation has been accepted already."))
    person = User.objects.filter(email__iexact=invitation.email).first()
    if person is None:
        validate_password(password, User(email=invitation.email, full_name=full_name))
        person = User.objects.create_user(
            invitation.email, password, full_name=full_name, created_for=invitation.organisation
        )
    elif not person.is_active or not person.check_password(password):
        raise Refused(_("The password is not right for this address."))
    _join(person, invitation)
    invitation.accepted_at = now
    invitation.save(update_fields=["accepted_at"])
    audit(action="accept_invitation", target=invitation, actor=person, after={"role": invitation.role})
    return person


def _join(person: User, invitation: Invitation) -> None:
    """A member already keeps their role: an old link must not change it."""
    Membership.objects.get_or_create(
        user=person, organisation=invitation.organisation, defaults={"role": invitation.role}
    )
    let_to_the_desk(person, invitation.role)


def let_to_the_desk(person: User, role: str) -> None:
    """Owners and finance work in the admin; what they see and may do there comes from the role, per organisation."""
    if role in AT_THE_DESK and not person.is_staff:
        person.is_staff = True
        person.save(update_fields=["is_staff"])


def may_manage(account: User, organisation: Organisation | None) -> bool:
    """May this organisation rename, suspend or give a password to the account? Only if its own invitation made it and
    the person works nowhere else."""
    if organisation is None or account.is_superuser or account.created_for_id != organisation.pk:
        return False
    return not account.memberships.exclude(organisation=organisation).exists()


def _send(invitation: Invitation) -> None:
    context = {"invitation": invitation, "link": link_of(invitation)}
    send_mail(
        subject=_("%(fleet)s invites you to FleetCharge") % {"fleet": invitation.organisation},
        message=render_to_string("emails/invitation.txt", context),
        from_email=None,
        recipient_list=[invitation.email],
    )
