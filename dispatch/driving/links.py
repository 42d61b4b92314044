"""Links to a drive: signed with their end, one per plan and kind, taken back by their row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse

from dispatch.driving import eta
from dispatch.driving.models import DriverLink
from dispatch.events import DriverLinkMade
from dispatch.models import ChargePlan
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish, publish_together
from vehicles.models import Stop

Kind, State = DriverLink.Kind, ChargePlan.State
LONGEST_TOKEN = 200
PAGES = {Kind.DRIVE: "drive", Kind.ETA: "eta"}
LIVE_STATES = (State.ACCEPTED, State.RESERVED, State.CHARGING)
RELATED = ("organisation", "vehicle__state", "vehicle__default_driver", "vehicle__model", "plan", "driver", "stop")


class NoSuchLink(Exception):
    """Nobody of ours signed it, or it is for another page."""


class LinkOver(Exception):
    """It was good once: its time is over, or it was taken back."""


class NothingToShow(Exception):
    """The plan is not one to drive to."""


@dataclass(frozen=True)
class Made:
    """A link as its maker hands it on."""

    url: str
    expires_at: datetime


def make(*, plan_id: int, actor: User | None, actor_label: str = "", now: datetime, kind: str = Kind.DRIVE) -> Made:
    """The plan's link: the one there is, or a new one. Raises NothingToShow while nobody decided, and afterwards.

    An arrival is the one at the vehicle's next stop, and stays so when that is done.
    """
    plan = _plans().get(pk=plan_id)
    if plan.state not in LIVE_STATES:
        raise NothingToShow
    stop = eta.next_stop(plan.vehicle) if kind == Kind.ETA else None
    alike = DriverLink.objects.filter(plan=plan, kind=kind, stop=stop, revoked_at=None)
    known = alike.select_related("vehicle", "driver")
    link = known.first()
    if link is not None and (link.expires_at <= now or _is_of_another_driver(link)):
        known.filter(pk=link.pk).update(revoked_at=now)  # make room for one that works
        link = None
    what = (plan, kind, stop, actor, actor_label, now)
    link = link or _create(*what) or known.first() or _create(*what)
    if link is None:  # others made one and took it back, twice in this moment
        raise NothingToShow
    return Made(url_of(link), link.expires_at)


def make_each(*, plan_ids: Sequence[int], now: datetime) -> None:
    """The drivers' links of plans that were accepted at once, by nobody in person; those there are stay."""
    try:
        _make_first(plan_ids, now)
    except IntegrityError:  # somebody else was quicker with one of them
        for plan_id in plan_ids:
            make(plan_id=plan_id, actor=None, now=now)


@transaction.atomic
def _make_first(plan_ids: Sequence[int], now: datetime) -> None:
    there = DriverLink.objects.filter(plan=OuterRef("pk"), kind=Kind.DRIVE, revoked_at=None)
    plans = _plans().filter(pk__in=plan_ids, state__in=LIVE_STATES).annotate(is_linked=Exists(there))
    new = DriverLink.objects.bulk_create(
        _link_of(plan, Kind.DRIVE, None, None, now) for plan in plans if not plan.is_linked
    )
    publish_together(DriverLinkMade(link.pk, link.plan_id, link.organisation_id, now) for link in new)
    for plan in plans:
        if plan.is_linked:
            make(plan_id=plan.pk, actor=None, now=now)


def _plans() -> QuerySet[ChargePlan]:
    """With who drives, without how they were decided."""
    return ChargePlan.objects.select_related("vehicle__default_driver").defer("snapshot", "explanation", "route")


def known(plan: ChargePlan, now: datetime) -> Made | None:
    """The driver's link of a plan that leads somewhere, while it lets somebody in."""
    if plan.state not in LIVE_STATES:
        return None
    link = DriverLink.objects.open(now).filter(plan=plan, kind=Kind.DRIVE).select_related("vehicle", "driver").first()
    return None if link is None or _is_out(link) else Made(url_of(link), link.expires_at)


def _create(
    plan: ChargePlan, kind: str, stop: Stop | None, actor: User | None, actor_label: str, now: datetime
) -> DriverLink | None:
    """None when somebody else was quicker."""
    try:
        with transaction.atomic():
            link = _link_of(plan, kind, stop, actor, now)
            link.save(force_insert=True)
            if actor or actor_label:  # nobody: it came with the acceptance, which is in the trail itself
                audit(
                    action="driver_link.make", target=link, actor=actor, actor_label=actor_label, after={"kind": kind}
                )
            if kind == Kind.DRIVE:
                publish(DriverLinkMade(link.pk, plan.pk, plan.organisation_id, now))
    except IntegrityError:
        return None
    return link


def _link_of(plan: ChargePlan, kind: str, stop: Stop | None, actor: User | None, now: datetime) -> DriverLink:
    """As it would be stored."""
    driver = plan.vehicle.default_driver
    return DriverLink(
        organisation_id=plan.organisation_id, vehicle=plan.vehicle, kind=kind, stop=stop, plan=plan,
        driver=driver if driver and driver.is_active else None, created_by=actor, created_at=now,
        expires_at=now.replace(microsecond=0) + timedelta(hours=settings.DRIVER_LINK_HOURS),
    )  # fmt: skip


@transaction.atomic
def revoke(*, plan_id: int, actor: User | None, actor_label: str = "", now: datetime) -> int:
    """Take every link of the plan's vehicle back; how many. Who has one open sees nothing new any more."""
    vehicle_id = ChargePlan.objects.values_list("vehicle_id", flat=True).get(pk=plan_id)
    links = list(DriverLink.objects.select_for_update(of=("self",)).open(now).filter(vehicle_id=vehicle_id))
    for link in links:
        link.revoked_at = now
        link.save(update_fields=["revoked_at"])
        audit(action="driver_link.revoke", target=link, actor=actor, actor_label=actor_label)
    return len(links)


def url_of(link: DriverLink) -> str:
    return settings.PUBLIC_BASE_URL + path_of(link)


def path_of(link: DriverLink) -> str:
    return reverse(PAGES[Kind(link.kind)], args=[token_of(link)])


def token_of(link: DriverLink) -> str:
    """Row and end, signed: nobody makes one up, and an old one needs no row to be refused."""
    return _signer(link.kind).sign_object([link.pk, int(link.expires_at.timestamp())])


def follow(token: str, *, kind: str, now: datetime) -> DriverLink:
    """Whom a token lets in. Raises NoSuchLink, LinkOver."""
    number, ends_at = _read(token, kind)
    link = DriverLink.objects.select_related(*RELATED).filter(pk=number, kind=kind).first()
    if link is None:
        raise NoSuchLink
    is_late = now >= link.expires_at or now.timestamp() >= ends_at
    if is_late or link.revoked_at is not None or _is_out(link):
        raise LinkOver
    if link.opened_at is None:
        DriverLink.objects.filter(pk=link.pk, opened_at=None).update(opened_at=now)
    return link


def _is_out(link: DriverLink) -> bool:
    """The vehicle has left the fleet, or was handed over."""
    is_moved = link.vehicle.organisation_id != link.organisation_id or not link.vehicle.is_active
    return is_moved or _is_of_another_driver(link)


def _is_of_another_driver(link: DriverLink) -> bool:
    """Who has handed the vehicle over, or drives for the fleet no more, sees and starts nothing any more."""
    if link.kind != Kind.DRIVE or link.driver is None:
        return False
    return not link.driver.is_active or link.driver_id != link.vehicle.default_driver_id


def _read(token: str, kind: str) -> tuple[int, int]:
    if len(token) > LONGEST_TOKEN:
        raise NoSuchLink
    try:
        number, ends_at = _signer(kind).unsign_object(token)
    except (signing.BadSignature, ValueError):
        raise NoSuchLink from None
    return int(number), int(ends_at)


def _signer(kind: str) -> signing.Signer:
    """The salt keeps a customer's link from opening the driver's page."""
    return signing.Signer(salt=f"dispatch.driving:{kind}", sep=".")


def plan_of(link: DriverLink) -> ChargePlan:
    """What the vehicle is to do now: its newest plan since the link's own, which it may have been replaced by."""
    related = ("connector__evse__location__source", "connector__evse__charger", "connector__evse__location__party",
               "connector__tariff", "session__connector__evse__location", "session__source")  # fmt: skip
    newer = ChargePlan.objects.filter(
        organisation_id=link.organisation_id, vehicle_id=link.vehicle_id, pk__gte=link.plan_id
    )
    return newer.select_related(*related).order_by("-pk")[0]
