"""Says to the chargers what was decided, reductions first: what is in force or on its way never adds up to too much."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ocpp_bridge import commands
from ocpp_bridge.charging.ceilings import Ceiling
from ocpp_bridge.charging.deciding import PROFILE_SECONDS, Decision
from ocpp_bridge.charging.outlets import Outlet, Picture
from ocpp_bridge.charging.profiles import STATION_MAX, TX, TX_DEFAULT, Held, Wiring, held_at, profile_of, rounded
from ocpp_bridge.models import Command, HeldProfile
from stations.models import Charger

ACTOR = "smart charging"
ANSWER_WITHIN = timedelta(seconds=60)
WORTH_SAYING_W, WORTH_SAYING_PERCENT = 500, 5
OLD_SECONDS = 12 * 3600
NO_PHASES = Wiring(0, 400)

Rows = list[list[int | None]]


def send(picture: Picture, decision: Decision, *, now: datetime) -> int:
    """Enqueue what is worth saying and may be said; returns how many profiles.

    A profile may be sent when at no moment the ceilings would add up to more than the limit, or than before. So
    reductions always go, increases as soon as there is room. Small reductions are left out until an increase needs
    their room.
    """
    sent = sum(_station_max(charger, picture, now) for charger in picture.chargers)
    sent += sum(
        _default(outlet, decision, now)
        for outlet in picture.outlets
        if outlet.is_reachable and TX_DEFAULT in picture.purposes_of(outlet.charger)
    )
    count, is_blocked = _sessions(decision, now, is_thrifty=True)
    if is_blocked or decision.books.excess():
        count += _sessions(decision, now, is_thrifty=False)[0]
    return sent + count


def make_room(picture: Picture, *, now: datetime) -> None:
    """Take back what a charger has no room for (MaxChargingProfilesInstalled): a session's profile needs the place.

    Before anything is decided: from then on the plug counts with all it can draw. The queue is by time, so that what
    goes is said before what comes.
    """
    before = now - timedelta(milliseconds=1)
    for charger in picture.chargers:
        row = picture.station_limits.get(charger.pk)
        if row is not None and not _is_on_its_way(row) and STATION_MAX not in picture.purposes_of(charger):
            list(clear([picture.station_limits.pop(charger.pk)], now=before))
    for outlet in picture.outlets:
        row = outlet.default
        if row is not None and not _is_on_its_way(row) and TX_DEFAULT not in picture.purposes_of(outlet.charger):
            list(clear([row], now=before))
            outlet.default = None


def _sessions(decision: Decision, now: datetime, *, is_thrifty: bool) -> tuple[int, bool]:
    """(profiles sent, somebody has to wait for room)."""
    sent, is_blocked = 0, False
    for outlet in sorted(decision.controllable, key=lambda outlet: _rise(outlet, decision)):
        held, ceiling = decision.held[outlet.key], decision.books.ceilings[outlet.key]
        if _is_on_its_way(outlet.tx) or not (_is_news(outlet, ceiling, held, decision, is_thrifty=is_thrifty)):
            continue
        changed = replace(ceiling, session=(*ceiling.session, held))
        if _may_be_said(decision, outlet, changed):
            outlet.tx = _say(outlet, TX, held, outlet.tx, now)
            decision.books.ceilings[outlet.key] = changed
            sent += 1
        else:
            is_blocked = True
    return sent, is_blocked


def _rise(outlet: Outlet, decision: Decision) -> int:
    """Watts that it would get more: what falls is said first."""
    wanted = decision.held[outlet.key][0][2] or 0
    return wanted - decision.books.ceilings[outlet.key].at(decision.books.now)


def _is_on_its_way(row: HeldProfile | None) -> bool:
    return row is not None and row.asked is not None


def _is_news(outlet: Outlet, ceiling: Ceiling, held: Held, decision: Decision, *, is_thrifty: bool) -> bool:
    """Is there something to say: nothing said yet, soon over, or different enough?"""
    row, now = outlet.tx, decision.books.now
    if row is None or row.accepted is None or row.must_renew:
        return True
    end, has_end = row.accepted[-1][1], held[-1][1] is not None
    is_old = has_end if end is None else end - now < PROFILE_SECONDS // 2
    if is_old or now - row.accepted[0][0] > OLD_SECONDS:
        return True
    edges = {now, *(since for since, _, _ in held if since and since > now)}
    for moment in edges:
        said = held_at(row.accepted, moment)
        new, old = held_at(held, moment) or 0, ceiling.at(moment) if said is None else said
        worth = max(WORTH_SAYING_W, old * WORTH_SAYING_PERCENT // 100) if is_thrifty else 1
        stops_or_starts = (new == 0) != (old == 0)
        if stops_or_starts or abs(new - old) >= worth:
            return True
    return False


def _may_be_said(decision: Decision, outlet: Outlet, changed: Ceiling) -> bool:
    books = decision.books
    moments = books.moments(changed.moments())
    before = {moment: books.total_at(moment) for moment in moments}
    old, books.ceilings[outlet.key] = books.ceilings[outlet.key], changed
    try:
        return all(books.total_at(at) <= max(books.limit_at(at), before[at]) for at in moments)
    finally:
        books.ceilings[outlet.key] = old


def _default(outlet: Outlet, decision: Decision, now: datetime) -> int:
    """What any session may draw while we are silent (a TxDefaultProfile)."""
    row = outlet.default
    if _is_on_its_way(row) or (row is not None and row.retry_at is not None and row.retry_at > now):
        return 0
    held = [[decision.books.now, None, outlet.safe_w]]
    if row is not None and row.accepted is not None and not row.must_renew:
        old = row.accepted[0][2]
        worth = max(WORTH_SAYING_W, old * WORTH_SAYING_PERCENT // 100)
        if old == outlet.safe_w or (old and outlet.safe_w and abs(outlet.safe_w - old) < worth):
            return 0
    ceiling = decision.books.ceilings[outlet.key]
    changed = replace(ceiling, default=(*ceiling.default, held))
    if not _may_be_said(decision, outlet, changed):
        return 0
    outlet.default = _say(outlet, TX_DEFAULT, held, row, now)
    decision.books.ceilings[outlet.key] = changed
    return 1


def _station_max(charger: Charger, picture: Picture, now: datetime) -> int:
    """What the plugs of a charger may draw together, said to the charger itself."""
    outlets = [o for o in picture.outlets if o.charger.pk == charger.pk and o.is_reachable]
    row = picture.station_limits.get(charger.pk)
    is_later = row is not None and row.retry_at is not None and row.retry_at > now
    if not outlets or STATION_MAX not in picture.purposes_of(charger) or _is_on_its_way(row) or is_later:
        return 0
    whole = _whole(outlets[0])
    held = rounded([[int(now.timestamp()), None, charger.max_power_w]], whole.unit, whole.wiring)
    if row is not None and row.accepted and row.accepted[0][2] == held[0][2] and not row.must_renew:
        return 0
    _say(whole, STATION_MAX, held, row, now)
    return 1


def _whole(outlet: Outlet) -> Outlet:
    """The whole charger as an outlet."""
    return replace(outlet, evse_number=0, session=None, default=None, tx=None)


def _say(outlet: Outlet, purpose: str, held: Rows, row: HeldProfile | None, now: datetime) -> HeldProfile:
    """One SetChargingProfile, written down before it goes."""
    row = row or HeldProfile(charger=outlet.charger, evse_number=outlet.evse_number, purpose=purpose)
    row.transaction_ref = outlet.session.transaction_ref if outlet.session and purpose == TX else ""
    row.times_asked += 1
    row.asked, row.must_renew = held, False
    profile = profile_of(
        held, purpose=purpose, evse_number=outlet.evse_number, unit=outlet.unit, wiring=outlet.wiring,
        stack_level=min(1, outlet.known.max_stack_level or 0),
    )  # fmt: skip
    row.command = _enqueue(
        outlet,
        Command.Action.SET_CHARGING_PROFILE,
        {"charging_profile": profile, **({"transaction_ref": row.transaction_ref} if purpose == TX else {})},
        f"charging:{outlet.charger.pk}:{outlet.evse_number}:{purpose}:{row.times_asked}:{now.timestamp():.3f}",
        now,
    )
    row.save()
    return row


def ask_composite(outlet: Outlet, row: HeldProfile, now: datetime) -> None:
    """Let the charger say what it will do (GetCompositeSchedule)."""
    row.check_command = _enqueue(
        outlet,
        Command.Action.GET_COMPOSITE_SCHEDULE,
        {"duration_seconds": PROFILE_SECONDS, "unit": outlet.unit},
        f"charging-check:{outlet.charger.pk}:{outlet.evse_number}:{row.times_asked}:{now.timestamp():.3f}",
        now,
    )


def _enqueue(outlet: Outlet, action: str, parameters: dict[str, Any], key: str, now: datetime) -> Command:
    return commands.enqueue(
        charger_id=outlet.charger.pk,
        action=action,
        parameters={"evse_number": outlet.evse_number, **parameters},
        idempotency_key=key,
        deadline_at=now + ANSWER_WITHIN,
        actor=ACTOR,
        now=now,
    )


def clear(rows: Iterable[HeldProfile], *, now: datetime) -> Iterator[Command]:
    """Take our profiles back (ClearChargingProfile), and forget them."""
    for row in rows:
        profile = profile_of(
            [[0, None, 0]], purpose=row.purpose, evse_number=row.evse_number, unit="W", wiring=NO_PHASES
        )
        yield commands.enqueue(
            charger_id=row.charger_id,
            action=Command.Action.CLEAR_CHARGING_PROFILE,
            parameters={"profile_id": profile["profile_id"]},
            idempotency_key=f"charging-clear:{row.pk}:{now.timestamp():.3f}",
            actor=ACTOR,
            now=now,
        )
        row.delete()
