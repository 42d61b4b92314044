"""Links for screens: signed with their end, counted, taken back by their row."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse

from dispatch.wall.models import WallLink
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit

LONGEST_TOKEN = 200
MOST_LINKS = 20
DAYS = (7, 30, 90, 365)
_signer = signing.Signer(salt="dispatch.wall", sep=".")


class NoSuchLink(Exception):
    """Nobody of ours signed it."""


class LinkOver(Exception):
    """It was good once: its time is over, or it was taken back."""


class TooManyLinks(Exception):
    """The fleet has MOST_LINKS that work."""


@transaction.atomic
def make(
    *, organisation_id: int, name: str, days: int, actor: User | None, actor_label: str = "", now: datetime
) -> WallLink:
    """A link for one screen. Raises TooManyLinks."""
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)
    if WallLink.objects.for_organisation(organisation).open(now).count() >= MOST_LINKS:
        raise TooManyLinks
    link = WallLink.objects.create(
        organisation=organisation, name=name, created_by=actor, created_at=now,
        expires_at=now.replace(microsecond=0) + timedelta(days=days),
    )  # fmt: skip
    audit(
        action="wall_link.make", target=link, actor=actor, actor_label=actor_label, after={"name": name, "days": days}
    )
    return link


@transaction.atomic
def revoke(*, link_id: int, actor: User | None, actor_label: str = "", now: datetime) -> bool:
    """Screens that show it go dark within a minute; False when it was over before."""
    if WallLink.objects.open(now).filter(pk=link_id).update(revoked_at=now) != 1:
        return False
    audit(action="wall_link.revoke", target=WallLink.objects.get(pk=link_id), actor=actor, actor_label=actor_label)
    return True


def path_of(link: WallLink) -> str:
    return reverse("tv", args=[token_of(link)])


def url_of(link: WallLink) -> str:
    return settings.PUBLIC_BASE_URL + path_of(link)


def token_of(link: WallLink) -> str:
    """Row and end, signed: nobody makes one up, and an old one needs no row to be refused."""
    return _signer.sign_object([link.pk, int(link.expires_at.timestamp())])


def follow(token: str, *, now: datetime) -> WallLink:
    """Whose live page a token shows. Raises NoSuchLink, LinkOver."""
    number, ends_at = _read(token)
    link = WallLink.objects.select_related("organisation").filter(pk=number).first()
    if link is None:
        raise NoSuchLink
    if now >= link.expires_at or now.timestamp() >= ends_at or link.revoked_at is not None:
        raise LinkOver
    if link.opened_at is None:
        WallLink.objects.filter(pk=link.pk, opened_at=None).update(opened_at=now)
    return link


def _read(token: str) -> tuple[int, int]:
    if len(token) > LONGEST_TOKEN:
        raise NoSuchLink
    try:
        number, ends_at = _signer.unsign_object(token)
    except (signing.BadSignature, ValueError):
        raise NoSuchLink from None
    return int(number), int(ends_at)
