"""Keeps the local list of every charger as it should be: compared after a restart, sent as a difference, retried.

One row per charger is the whole state. `advance` takes the next step whenever the last one is answered: read the
charger's limits, ask for its version, send what is missing, message by message (OCPP 1.6 section 5.15, OCPP 2.0.1 part
2 D01 and D02).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from billing.services.rosters import Listed, Rosters, fleets_with_lists
from fleetcharge.lib.sweeps import survived
from ocpp_bridge import commands, list_answers
from ocpp_bridge.instants import to_wire
from ocpp_bridge.list_pushes import MAX_ID_TAG, Entry, Push, after, digest, pushes
from ocpp_bridge.models import Command, ConfigurationValue, LocalList
from stations.models import Charger

A, S = Command.Action, LocalList.State
Roster = tuple[Listed, ...]
SETTLED = (S.CURRENT, S.DISABLED)
ACTOR = "local list"
ASKS = frozenset({A.GET_CONFIGURATION, A.GET_LOCAL_LIST_VERSION, A.SEND_LOCAL_LIST})
DEFAULT_PER_MESSAGE = 20
"""Entries per message for a charger that does not say; every one that we know takes as many."""
RETRY_AFTER = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
UNDER_WAY = 100
"""So many chargers are asked at one time, the others by later sweeps: after a storm they have sessions to tell,
and we have those to take."""
LIMITS_KEPT = timedelta(days=1)
"""Over restarts, unless something went wrong with the list."""
HEAVY = ("entries", "entries_there", "pending")
"""Whole lists: only read and written by the steps that need them."""
KEYS_16 = ("LocalAuthListEnabled", "LocalAuthListMaxLength", "SendLocalListMaxLength")
KEYS_2 = ("LocalAuthListCtrlr.Enabled", "LocalAuthListCtrlr.ItemsPerMessage")


def sweep(*, now: datetime) -> int:
    """Compare every list with who may charge there now, and take every step that is due; how many lists changed."""
    chargers = list(
        Charger.objects.online()
        .filter(registration=Charger.Registration.ACCEPTED)
        .exclude(protocol="")
        .select_related("location__source")
        .order_by("pk")
    )
    fleets = fleets_with_lists({charger.organisation_id for charger in chargers})
    kept = [charger for charger in chargers if charger.organisation_id in fleets]
    changed = refresh(kept, now=now)
    _hear_of_switches(kept)
    for charger_id in list(_due(now).filter(charger__in=kept).values_list("pk", flat=True)):
        if not _has_room():
            break
        with survived("local list", charger_id):
            advance(charger_id=charger_id, now=now)
    return changed


def _due(now: datetime) -> QuerySet[LocalList]:
    """Lists with a step to take, those first whose chargers answered longest ago: nothing waits for its answer."""
    is_idle = Q(command=None) | ~Q(command__state__in=Command.OPEN_STATES)
    rows = LocalList.objects.exclude(state__in=(*SETTLED, S.UNSUPPORTED))
    due = rows.filter(Q(retry_at=None) | Q(retry_at__lte=now), is_idle)
    return due.order_by(F("last_result_at").asc(nulls_first=True), "pk")


def _advance_next(now: datetime) -> None:
    """One charger needs nothing more for now: its place is the next one's."""
    due = _due(now).filter(charger__is_online=True, charger__registration=Charger.Registration.ACCEPTED)
    due = due.exclude(charger__protocol="")
    owners = fleets_with_lists(due.order_by().values_list("charger__organisation_id", flat=True).distinct())
    charger_id = due.filter(charger__organisation_id__in=owners).values_list("pk", flat=True).first()
    if charger_id is not None and _has_room():
        with survived("local list", charger_id):
            advance(charger_id=charger_id, now=now)


def _has_room() -> bool:
    """What a charger was asked before it went away waits for it for a day, and keeps nobody else waiting."""
    asked = Command.objects.filter(state__in=Command.OPEN_STATES, action__in=ASKS, actor=ACTOR, charger__is_online=True)
    return asked.order_by().values("pk")[:UNDER_WAY].count() < UNDER_WAY


def _hear_of_switches(chargers: Sequence[Charger]) -> None:
    """LocalAuthListEnabled may be changed at any time: what the charger said last decides what its list is worth."""
    news = ConfigurationValue.objects.filter(
        charger=OuterRef("pk"), key=KEYS_16[0], reported_at__gt=OuterRef("limits_read_at")
    )
    rows = LocalList.objects.filter(charger__in=chargers)
    rows.filter(Exists(news.filter(value__iexact="true")), state=S.DISABLED).update(is_enabled=True, state=S.CURRENT)
    rows.filter(Exists(news.filter(value__iexact="false")), state=S.CURRENT).update(is_enabled=False, state=S.DISABLED)


def refresh(chargers: Sequence[Charger], *, now: datetime) -> int:
    """Write down what each list should be; how many differ from before. Chargers need `location__source`."""
    rosters, made = Rosters(now=now), Wanted()
    known = LocalList.objects.filter(charger__in=chargers).only("pk", "content_hash", "left_out", "capacity")
    rows = {row.pk: row for row in known}
    return sum(_want(one, rows.get(one.pk), made, rosters.at(one.location), now) for one in chargers)


def advance(*, charger_id: int, now: datetime) -> LocalList | None:
    """Take in what the charger answered, and ask the next thing. None: no list is kept for it."""
    with transaction.atomic():
        rows = LocalList.objects.select_for_update(of=("self",))
        rows = rows.select_related("charger__location__source", "command").defer(*HEAVY)
        row = rows.filter(pk=charger_id).first()
        if row is None or (row.command is not None and row.command.state in Command.OPEN_STATES):
            return row
        if row.command is not None:
            _take_answer(row, row.command, now)
        if row.charger.is_online and not (row.retry_at and row.retry_at > now):
            _ask_next(row, now)
        row.save()  # without what was neither read nor written
    return row


def command_finished(*, command_id: str, now: datetime) -> None:
    """One of our questions may have been answered."""
    charger_id = LocalList.objects.filter(command_id=command_id).values_list("pk", flat=True).first()
    row = None if charger_id is None else advance(charger_id=charger_id, now=now)
    if row is not None and row.command is None:
        _advance_next(now)


def chargers_booted(*, charger_ids: Collection[int], now: datetime) -> None:
    """They may have forgotten the list, or learned to keep one: they are asked again, at once as long as few are asked.

    The others are asked as lists are done with and by the sweep, those first that were asked longest ago.
    """
    kept = LocalList.objects.filter(pk__in=charger_ids)
    known = kept.exclude(state=S.UNSUPPORTED).filter(limits_read_at__gt=now - LIMITS_KEPT, failures=0)
    kept.exclude(pk__in=known.values("pk")).update(limits_read_at=None)
    kept.update(compared_at=None, state=S.WAITING, retry_at=None, failures=0)
    for charger_id in list(kept.order_by("pk").values_list("pk", flat=True)):
        if not _has_room():
            break
        with survived("local list", charger_id):
            advance(charger_id=charger_id, now=now)


@transaction.atomic
def send_anew(*, charger_id: int, now: datetime) -> None:
    """A person does not believe the charger: everything is said again."""
    LocalList.objects.filter(pk=charger_id).update(
        entries_there=None,
        compared_at=None,
        limits_read_at=None,
        state=S.WAITING,
        retry_at=None,
        failures=0,
        pending=[],
    )


# --- what it should be --------------------------------------------------------------------------------------------


class Wanted:
    """Lists in the chargers' terms, each made once for all chargers that want the same."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, bool, int | None], tuple[dict[str, Entry], int, str]] = {}

    def of(self, charger: Charger, roster: Roster, capacity: int | None) -> tuple[dict[str, Entry], int, str]:
        """(entries, how many tokens are not among them, fingerprint): too long for OCPP 1.6, or too many."""
        is_16 = charger.protocol == "ocpp1.6"
        key = (id(roster), is_16, capacity)
        if key not in self._made:
            fitting = [one for one in roster if not is_16 or len(one.uid) <= MAX_ID_TAG]
            kept = fitting if capacity is None else fitting[:capacity]
            entries = {one.uid.lower(): _entry(one) for one in kept}
            self._made[key] = entries, len(roster) - len(kept), digest(entries)
        return self._made[key]


def _want(charger: Charger, row: LocalList | None, made: Wanted, roster: Roster, now: datetime) -> bool:
    entries, left_out, content_hash = made.of(charger, roster, row.capacity if row else None)
    if row is not None and (row.content_hash, row.left_out) == (content_hash, left_out):
        return False
    values = {"entries": entries, "content_hash": content_hash, "left_out": left_out, "changed_at": now}
    if row is None:
        first = {"organisation_id": charger.organisation_id, **values}
        LocalList.objects.get_or_create(charger=charger, defaults=first)
    else:  # what is on its way is finished first: its answer says where the charger then stands
        LocalList.objects.filter(pk=row.pk).update(**values)
        LocalList.objects.filter(pk=row.pk, state__in=SETTLED).update(state=S.WAITING)
    return True


def _entry(listed: Listed) -> Entry:
    return {
        "id_token": listed.uid,
        "token_type": listed.kind,
        "status": "accepted",
        "expires_at": to_wire(listed.expires_at) if listed.expires_at else None,
        "group_id": listed.group_id,
    }


# --- the next question --------------------------------------------------------------------------------------------


def _ask_next(row: LocalList, now: datetime) -> None:
    if row.state == S.UNSUPPORTED:
        return
    if row.limits_read_at is None:
        is_16 = row.charger.protocol == "ocpp1.6"
        _ask(row, A.GET_CONFIGURATION, {"keys": list(KEYS_16 if is_16 else KEYS_2)}, now)
    elif row.compared_at is None:
        _ask(row, A.GET_LOCAL_LIST_VERSION, {}, now)
    elif row.pending or _plan(row):
        row.state = S.SENDING
        _ask(row, A.SEND_LOCAL_LIST, row.pending[0], now)
    else:
        row.state = S.DISABLED if row.is_enabled is False else S.CURRENT
        row.failures, row.retry_at = 0, None


def _plan(row: LocalList) -> bool:
    """Fill `pending` with the messages that are missing; False when there are none."""
    is_read = not row.get_deferred_fields().issuperset(("entries", "entries_there"))
    if not is_read and LocalList.objects.filter(pk=row.pk, entries_there=F("entries")).exists():
        return False
    version = max(row.version_there or 0, row.version_wanted)
    limit = row.max_per_message or DEFAULT_PER_MESSAGE
    planned = pushes(row.entries, row.entries_there, version=version, limit=limit)
    row.pending = [asdict(push) for push in planned]
    row.version_wanted = planned[-1].version if planned else row.version_wanted
    return bool(planned)


def _ask(row: LocalList, action: str, parameters: Mapping[str, Any], now: datetime) -> None:
    row.asked, row.retry_at = row.asked + 1, None
    row.command = commands.enqueue(
        charger_id=row.pk,
        action=action,
        parameters=dict(parameters),
        idempotency_key=f"local-list:{row.pk}:{row.asked}",
        actor=ACTOR,
        now=now,
    )


# --- the last answer ----------------------------------------------------------------------------------------------


def _take_answer(row: LocalList, command: Command, now: datetime) -> None:
    row.command, row.last_result_at = None, now
    row.last_result = f"{command.action}: {command.reason or command.state}"[:120]
    if list_answers.is_unheard(command):
        row.compared_at, row.pending = None, []  # it may have been taken all the same: ask what is there
        _later(row, now)
    elif list_answers.is_not_supported(command) and command.action != A.GET_CONFIGURATION:
        row.state, row.pending = S.UNSUPPORTED, []
    elif command.action == A.GET_CONFIGURATION:
        _take_limits(row, command, now)
    elif command.action == A.GET_LOCAL_LIST_VERSION:
        _take_version(row, command, now)
    else:
        _take_push(row, command, now)


def _take_limits(row: LocalList, command: Command, now: datetime) -> None:
    """A charger that says nothing of them gets the defaults; whether it keeps lists, the next question tells."""
    limits = list_answers.limits_of(command.response)
    row.limits_read_at, row.is_enabled = now, limits.is_enabled
    before, row.max_per_message, row.capacity = row.capacity, limits.per_message, limits.capacity
    if row.is_enabled is False:
        row.last_result = "LocalAuthListEnabled is false: the charger keeps the list and does not use it"
    if row.capacity is not None and row.capacity != before and len(row.entries) > row.capacity:
        roster = Rosters(now=now).at(row.charger.location)
        row.entries, row.left_out, row.content_hash = Wanted().of(row.charger, roster, row.capacity)


def _take_version(row: LocalList, command: Command, now: datetime) -> None:
    version = list_answers.version_of(command.response)
    if version is None:
        _fail(row, now)
        return
    if version == -1:  # OCPP 1.6 section 6.28
        row.state = S.UNSUPPORTED
        return
    row.compared_at = now
    if version == 0:
        row.version_there, row.entries_there = 0, {}
    elif version != row.version_there:  # somebody else wrote it, or it is older than what we sent
        row.version_there, row.entries_there = version, None


def _take_push(row: LocalList, command: Command, now: datetime) -> None:
    push = Push(command.parameters["version"], command.parameters["update"], command.parameters["entries"])
    if command.state == Command.State.ACCEPTED:
        row.version_there, row.entries_there = push.version, after(row.entries_there, push)
        row.pending, row.confirmed_at, row.failures = row.pending[1:], now, 0
        return
    row.pending, row.entries_there = [], None  # Failed or VersionMismatch: all is said anew
    row.compared_at = None
    _fail(row, now)


def _fail(row: LocalList, now: datetime) -> None:
    """The first failure is answered at once, by a full list; from the second on we wait."""
    row.failures += 1
    if row.failures > 1:
        row.state, row.retry_at = S.FAILED, now + RETRY_AFTER[min(row.failures - 2, len(RETRY_AFTER) - 1)]


def _later(row: LocalList, now: datetime) -> None:
    row.failures += 1
    row.state, row.retry_at = S.FAILED, now + RETRY_AFTER[min(row.failures - 1, len(RETRY_AFTER) - 1)]
