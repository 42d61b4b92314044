"""How the power of a site is split among its running sessions, from what its chargers hold right now; no queries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ocpp_bridge.charging import allocation
from ocpp_bridge.charging.ceilings import Books, Ceiling
from ocpp_bridge.charging.outlets import Outlet, Picture
from ocpp_bridge.charging.profiles import fewer, held_at, joined, rounded
from ocpp_bridge.charging.windows import limits_over
from ocpp_bridge.models import ChargingSite

PROFILE_SECONDS = 1800
"""How long a session's profile holds without news of us; then the safe share rules."""
HORIZON_HOURS = 24
GRID_SECONDS = 900
RANK_WH = 5_000


@dataclass
class Decision:
    """`held`: the profile wanted for each session, by EVSE; `plan` by EVSE too."""

    books: Books
    plan: allocation.Plan
    held: dict[int, list[list[int | None]]]
    controllable: list[Outlet]


def decide(picture: Picture, *, now: datetime) -> Decision:
    """Split what the others cannot draw. Sets `safe_w` of the outlets."""
    books = books_of(picture, now=now)
    _share_safety(picture, min(watts for _, watts in books.limits))
    ours = [o for o in picture.outlets if o.session and o.is_reachable and not o.is_waiting(now)]
    defiant = [outlet for outlet in ours if books.ceilings[outlet.key].measured_w]
    free = [outlet for outlet in ours if outlet not in defiant]
    fixed = [outlet for outlet in picture.outlets if outlet not in free]
    sessions = [_session(outlet, books.ceilings[outlet.key], now) for outlet in free]
    by_deadline = picture.site.policy == ChargingSite.Policy.DEADLINE
    slots = allocation.slots_of(
        _left_over(books, [books.ceilings[outlet.key] for outlet in fixed], _starts(sessions)),
        [session.leaves_in_seconds for session in sessions],
        horizon_seconds=HORIZON_HOURS * 3600,
        grid_seconds=0 if by_deadline else GRID_SECONDS,
    )
    split = allocation.plan_by_deadline if by_deadline else allocation.plan_fair
    plan = split(slots, _caps(picture, fixed, books), sessions)
    held = {outlet.key: _held(outlet, plan, books) for outlet in free}
    held |= {outlet.key: _the_same_again(outlet, books) for outlet in defiant}
    return Decision(books, plan, held, ours)


def books_of(picture: Picture, *, now: datetime) -> Books:
    site, start = picture.site, int(now.timestamp())
    limits = limits_over(
        limit_w=site.limit_w, windows=site.windows, other_load_w=site.other_load_w,
        time_zone=site.location.time_zone, now=now, hours=HORIZON_HOURS,
    )  # fmt: skip
    return Books(
        limits,
        start,
        start + HORIZON_HOURS * 3600,
        {outlet.key: outlet.ceiling() for outlet in picture.outlets},
        {outlet.key: outlet.charger.pk for outlet in picture.outlets},
        picture.caps(),
    )


def _share_safety(picture: Picture, lowest_w: int) -> None:
    """The part of the lowest limit that every plug may draw whenever we are silent."""
    budget = lowest_w * picture.site.safe_percent // 100
    shares = [allocation.Share(o.key, o.charger.pk, o.min_w, o.max_w) for o in picture.outlets]
    given = allocation.fair_share(budget, picture.caps(), shares)
    for outlet in picture.outlets:
        outlet.safe_w = rounded([[0, None, given[outlet.key]]], outlet.unit, outlet.wiring)[0][2] or 0


def _session(outlet: Outlet, ceiling: Ceiling, now: datetime) -> allocation.Session:
    """Where a default is held, the plug may draw it as soon as the session's profile is over: so it has it anyway."""
    leaves_at, drawn_wh = outlet.want.leaves_at, outlet.session.energy_wh if outlet.session else 0
    safe_w = _without_profile(ceiling, int(now.timestamp()))
    max_w = max(outlet.session_max_w, safe_w)
    return allocation.Session(
        key=outlet.key,
        group=outlet.charger.pk,
        min_w=min(outlet.min_w, max_w),
        max_w=max_w,
        needed_wh=outlet.want.needed_wh,
        leaves_in_seconds=None if leaves_at is None else max(1, int((leaves_at - now).total_seconds())),
        safe_w=safe_w,
        rank=drawn_wh // RANK_WH,
        allowed=_allowed(outlet.want.schedule, int(now.timestamp())),
    )


def _allowed(schedule: Sequence[Sequence[int]], now: int) -> tuple[tuple[int, int], ...]:
    """As steps from now on; between the rows of a schedule, and after them, nothing."""
    if not schedule:
        return ()
    moments = {now, *(moment for since, until, _ in schedule for moment in (since, until) if moment > now)}
    return tuple((moment - now, _scheduled(schedule, moment)) for moment in sorted(moments))


def _scheduled(schedule: Sequence[Sequence[int]], moment: int) -> int:
    return next((watts for since, until, watts in schedule if since <= moment < until), 0)


def _without_profile(ceiling: Ceiling, moment: int) -> int:
    """What is left to a session when its own profile ends; without a default its profile never does."""
    bare = replace(ceiling, session=(), is_session_held=False, measured_w=0)
    return bare.at(moment) if ceiling.is_default_held else 0


def _starts(sessions: Sequence[allocation.Session]) -> set[int]:
    """Seconds from now at which what a session may have changes."""
    return {start for session in sessions for start, _ in session.allowed}


def _left_over(books: Books, fixed: Sequence[Ceiling], more: set[int]) -> list[tuple[int, int]]:
    """(seconds from now, watts) that the plugs we cannot steer leave to the others; cut at `more`, too."""
    edges = {since for since, _ in books.limits}.union(*(ceiling.moments() for ceiling in fixed))
    edges |= {books.now + seconds for seconds in more}
    moments = sorted({books.now} | {moment for moment in edges if books.now < moment < books.until})
    return [(at - books.now, max(0, books.limit_at(at) - sum(c.at(at) for c in fixed))) for at in moments]


def _caps(picture: Picture, fixed: Sequence[Outlet], books: Books) -> dict[int, int]:
    caps = picture.caps()
    for outlet in fixed:
        if outlet.charger.pk in caps:
            caps[outlet.charger.pk] = max(0, caps[outlet.charger.pk] - books.ceilings[outlet.key].at(books.now))
    return caps


def _the_same_again(outlet: Outlet, books: Books) -> list[list[int | None]]:
    """Who draws more than it may is counted with what it draws, and reminded of what it accepted."""
    ceiling = books.ceilings[outlet.key]
    said = held_at(outlet.tx.accepted, books.now) if outlet.tx else None
    watts = _without_profile(ceiling, books.now) if said is None else said
    until = books.now + PROFILE_SECONDS if ceiling.is_default_held else None
    return [[books.now, until, watts]]


def _held(outlet: Outlet, plan: allocation.Plan, books: Books) -> list[list[int | None]]:
    """The plan as this charger's profile. One without a default keeps its profile to the end of the session.

    A vehicle that stays beyond its departure has what is kept for it anyway, until the next plan.
    """
    has_default = books.ceilings[outlet.key].is_default_held
    afterwards = _without_profile(books.ceilings[outlet.key], books.now)
    until = PROFILE_SECONDS if has_default else HORIZON_HOURS * 3600
    rows: list[list[int | None]] = []
    for slot, power in zip(plan.slots, plan.power_w, strict=True):
        if slot.start_seconds < until:
            begin = books.now + slot.start_seconds
            end = books.now + min(until, slot.start_seconds + slot.seconds)
            rows.append([begin, end, power.get(outlet.key, afterwards)])
    rows = fewer(joined(rounded(rows, outlet.unit, outlet.wiring)), outlet.known.max_periods)
    if not has_default:
        rows[-1][1] = None
    return rows
