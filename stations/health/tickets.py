"""Maintenance tickets: opened by rule, planned and worked on by people, closed by either."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Membership, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish
from fleetcharge.lib.sweeps import survived
from stations.events import ChargerMatterSettled, ChargerNeedsAttention
from stations.health import evidence
from stations.health.models import Cause, EvseHealth, MaintenanceTicket, TicketNote
from stations.health.score import TICKET_FROM, TICKET_UNTIL
from stations.models.chargers import Charger

State = MaintenanceTicket.State
MATTER = "health"
LEFT_ALONE = {State.DONE: timedelta(hours=1), State.DISMISSED: timedelta(days=7), State.HEALED: timedelta(hours=1)}
"""For so long after its end no ticket is opened for the same cause again. After *done* that is until the units are
judged by what came after the repair; after the others what happened before still counts."""
SLOT = timedelta(hours=2)
SOONEST, DAYS_AHEAD = timedelta(hours=12), 7
WORK_FROM, WORK_UNTIL = 8, 18
"""Hours of the day, where the charger is, at which somebody can be sent."""


class Author(NamedTuple):
    """Who it was: a person, or a machine by the name of its key."""

    actor: User | None
    label: str = ""


class TicketRefused(ValidationError):
    """What was asked of a ticket cannot be; nothing changed."""


def follow_health(*, now: datetime) -> int:
    """Open tickets for chargers that call for somebody, close those of chargers that work again, propose times."""
    trouble = _trouble()
    changed = sum(_follow(charger_id, causes, now) for charger_id, causes in trouble.items())
    stale = MaintenanceTicket.objects.open().exclude(charger__in=trouble.keys())
    for ticket in stale.select_related("charger"):
        with survived("ticket", ticket.pk):
            changed += _heal(ticket, {}, now)
    for ticket in MaintenanceTicket.objects.without_slot(now).select_related("charger__location"):
        with survived("ticket", ticket.pk):
            propose_slot(ticket, now=now)
    return changed


def _trouble() -> dict[int, dict[str, dict[str, Any]]]:
    """By charger and cause: the heaviest penalty of its units, with the score of that unit."""
    rows = EvseHealth.objects.filter(evse__charger__isnull=False, evse__is_removed=False)
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for charger_id, score, is_failing, penalties in rows.values_list(
        "evse__charger_id", "score", "is_failing", "penalties"
    ):
        causes = found.setdefault(charger_id, {})
        for penalty in penalties:
            heaviest = causes.get(penalty["cause"], {"points": 0})
            if penalty["points"] > heaviest["points"]:
                causes[penalty["cause"]] = {**penalty, "score": score, "is_failing": is_failing}
    return found


def _follow(charger_id: int, causes: dict[str, dict[str, Any]], now: datetime) -> int:
    changed = 0
    with survived("charger", charger_id):
        known = {one.cause: one for one in MaintenanceTicket.objects.open().filter(charger=charger_id)}
        for ticket in known.values():
            changed += _heal(ticket, causes.get(ticket.cause, {}), now)
        for cause, found in causes.items():
            if found["points"] >= TICKET_FROM and cause not in known and not _is_left_alone(charger_id, cause, now):
                changed += open_ticket(charger_id=charger_id, cause=cause, found=found, now=now) is not None
    return changed


def _is_left_alone(charger_id: int, cause: str, now: datetime) -> bool:
    last = MaintenanceTicket.objects.filter(charger=charger_id, cause=cause).order_by("-opened_at").first()
    return last is not None and last.closed_at is not None and now < last.closed_at + LEFT_ALONE[State(last.state)]


def open_ticket(*, charger_id: int, cause: str, found: dict[str, Any], now: datetime) -> MaintenanceTicket | None:
    """None: there is an open one of this cause already."""
    charger = Charger.objects.select_related("location").get(pk=charger_id)
    try:
        with transaction.atomic():
            ticket = MaintenanceTicket.objects.create(
                organisation_id=charger.organisation_id, charger=charger, cause=cause, score=found["score"],
                evidence=found, opened_at=now,
            )  # fmt: skip
            audit(action="ticket.open", target=ticket, actor_label="health", after=found)
            publish(_attention(ticket, bool(found.get("is_failing")), now))
    except IntegrityError:
        return None
    return ticket


def _attention(ticket: MaintenanceTicket, is_bad: bool, now: datetime) -> ChargerNeedsAttention:
    charger = ticket.charger
    return ChargerNeedsAttention(
        charger.pk, charger.location_id, charger.organisation_id, MATTER, ticket.cause,
        f"{charger.ocpp_identity}: {str(Cause(ticket.cause).label).lower()}",
        f"Health {ticket.score} of 100. Maintenance ticket {ticket.pk} is open.", is_bad, now,
    )  # fmt: skip


def _heal(ticket: MaintenanceTicket, found: dict[str, Any], now: datetime) -> int:
    """Closed when next to nothing of its cause is left; until then its score is kept up to date."""
    if found.get("points", 0) >= TICKET_UNTIL:
        MaintenanceTicket.objects.open().filter(pk=ticket.pk).exclude(score=found["score"]).update(score=found["score"])
        return 0
    reason = f"works again: {found.get('points', 0)} points of this cause are left"
    return int(_close(ticket, State.HEALED, reason, None, now))


@transaction.atomic
def _close(
    ticket: MaintenanceTicket, state: str, reason: str, actor: User | None, now: datetime, actor_label: str = ""
) -> bool:
    closed = MaintenanceTicket.objects.open().filter(pk=ticket.pk).update(
        state=state, closed_at=now, closed_by=actor, close_reason=reason[:200]
    )  # fmt: skip
    if closed:
        TicketNote.objects.create(ticket=ticket, author=actor, text=reason[:1000], at=now)
        label = actor_label or ("" if actor else "health")
        audit(action=f"ticket.{state}", target=ticket, actor=actor, reason=reason, actor_label=label)
        publish(ChargerMatterSettled(ticket.charger_id, ticket.organisation_id, MATTER, ticket.cause, now))
    return bool(closed)


@transaction.atomic
def change_ticket(
    *, ticket_id: int, actor: User | None, actor_label: str = "", note: str = "", now: datetime, **fields: Any
) -> MaintenanceTicket:
    """Plan it, work on it, hand it over, close it; `fields`: state, assignee, slot_starts_at, slot_ends_at."""
    ticket = MaintenanceTicket.objects.select_for_update(of=("self",)).select_related("charger").get(pk=ticket_id)
    state = fields.pop("state", ticket.state)
    if ticket.closed_at is not None and (fields or state != ticket.state):
        raise TicketRefused(_("The ticket is closed."))
    if state == State.HEALED or (state in (State.DONE, State.DISMISSED) and not note.strip()):
        raise TicketRefused(_("Say in a note what was done, or why nothing is to be done."))
    _check(ticket, fields)
    before = {name: str(getattr(ticket, name)) for name in fields} | {"state": ticket.state}
    for name, value in fields.items():
        setattr(ticket, name, value)
    if state not in MaintenanceTicket.CLOSED_STATES:
        ticket.state = state
    ticket.save()
    _tell(ticket, state, note, Author(actor, actor_label), before, fields, now)
    ticket.refresh_from_db()
    return ticket


def _check(ticket: MaintenanceTicket, fields: dict[str, Any]) -> None:
    """An assignee of the same fleet; a slot that lasts."""
    assignee = fields.get("assignee")
    if assignee and not Membership.objects.filter(user=assignee, organisation=ticket.organisation_id).exists():
        raise TicketRefused(_("The assignee is no member of this fleet."))
    begins, ends = (fields.get(name, getattr(ticket, name)) for name in ("slot_starts_at", "slot_ends_at"))
    if (begins is None) != (ends is None) or (begins and ends and ends <= begins):
        raise TicketRefused(_("A slot has a beginning, and an end after it."))


def _tell(
    ticket: MaintenanceTicket, state: str, note: str, author: Author, before: dict[str, str],
    fields: dict[str, Any], now: datetime,
) -> None:  # fmt: skip
    if state in MaintenanceTicket.CLOSED_STATES and ticket.closed_at is None:
        _close(ticket, state, note, author.actor, now, author.label)
        return
    if note.strip():
        TicketNote.objects.create(ticket=ticket, author=author.actor, text=note.strip()[:1000], at=now)
    after = {name: str(value) for name, value in fields.items()} | {"state": ticket.state}
    if note.strip() or before != after:
        audit(
            action="ticket.change", target=ticket, actor=author.actor, actor_label=author.label, before=before,
            after=after, reason=note.strip(),
        )  # fmt: skip


def propose_slot(ticket: MaintenanceTicket, *, now: datetime) -> None:
    """Two working hours of the next week when least use is expected; the soonest of equals."""
    zone, usual = ZoneInfo(ticket.charger.location.time_zone), evidence.usage_of(ticket.charger_id)
    begins = min(_slots(now, zone), key=lambda at: (round(_busy(at, zone, usual), 3), at))
    MaintenanceTicket.objects.open().filter(pk=ticket.pk).update(
        slot_starts_at=begins, slot_ends_at=begins + SLOT,
        slot_busy_share=None if usual is None else round(_busy(begins, zone, usual), 3),
    )  # fmt: skip


def _slots(now: datetime, zone: ZoneInfo) -> list[datetime]:
    hour = (now + SOONEST).astimezone(zone).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    ahead = [hour + timedelta(hours=number) for number in range(24 * DAYS_AHEAD)]
    return [at for at in ahead if WORK_FROM <= at.hour <= WORK_UNTIL - SLOT // timedelta(hours=1)]


def _busy(at: datetime, zone: ZoneInfo, usual: Sequence[float] | None) -> float:
    """Expected share of the slot with a vehicle."""
    if usual is None:
        return 0.0
    local = at.astimezone(zone)
    first, hours = local.weekday() * 24 + local.hour, SLOT // timedelta(hours=1)
    return sum(usual[(first + number) % len(usual)] for number in range(hours)) / hours
