"""What the driver's page shows: the next step in a sentence, the plug as it is now, and what can be done."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise

from billing.models import ChargingSession
from dispatch.driving import drives, eta, links, texts
from dispatch.driving.models import DriverLink
from dispatch.driving.telling import bay_of
from dispatch.models import ChargePlan, Reservation, SessionCommand
from stations.belief import freshness_of
from stations.cpo import registry
from stations.models import Connector
from vehicles.models import Stop

State, Commands = ChargePlan.State, SessionCommand.State
STEPS = {
    State.PROPOSED: "decide", State.ACCEPTED: "go", State.RESERVED: "go", State.CHARGING: "charge",
    State.COMPLETED: "done", State.EXPIRED: "missed", State.INFEASIBLE: "nowhere", State.DISMISSED: "none",
    State.REPLACED: "decide",
}  # fmt: skip
SAID_FOR = timedelta(minutes=10)
DONE_FOR = timedelta(hours=2)
TONES = {
    Connector.Status.AVAILABLE: "ok", Connector.Status.RESERVED: "warn", Connector.Status.CHARGING: "chg",
    Connector.Status.OCCUPIED: "chg", Connector.Status.FAULTED: "bad", Connector.Status.UNAVAILABLE: "bad",
}  # fmt: skip


@dataclass(frozen=True)
class OtherWay:
    """How to charge where we start nothing, and where to go if that fails."""

    words: str
    otherwise: str
    network: str
    phone: str
    app_url: str


@dataclass(frozen=True)
class Page:
    """`map`: what the script draws. `plan_id` goes back with every button, so that a stale page changes nothing new."""

    step: str
    plan: ChargePlan
    headline: str
    sentences: list[str]
    plug: Connector | None = None
    tone: str = "off"
    freshness: str = ""
    session: ChargingSession | None = None
    command: str | Promise = ""
    is_pending: bool = False
    can_start: bool = False
    can_stop: bool = False
    other_way: OtherWay | None = None
    expected: eta.Expected = field(default_factory=eta.Expected)
    stop: Stop | None = None
    map: dict[str, Any] = field(default_factory=dict)

    @property
    def is_under_way(self) -> bool:
        return self.step in ("go", "here")

    @property
    def is_held_for_it(self) -> bool:
        """A plug that says reserved is reserved for this vehicle."""
        return self.plug is not None and self.plug.is_held and self.plan.state == State.RESERVED


def page_of(link: DriverLink, now: datetime) -> Page:
    plan, stop = links.plan_of(link), eta.next_stop(link.vehicle)
    session = _session(plan)
    step, when = _step(plan, session, now), eta.expected(link.vehicle, plan, stop, now)
    command, is_pending = _last_command(link, now)
    plug = plan.connector if step in ("go", "here", "charge", "full") else None
    is_idle, is_coming = session is None and not is_pending, step in ("go", "here")
    other_way = _other_way(plug, plan) if plug and is_coming and is_idle and not _can_start(plug) else None
    return Page(
        step=step, plan=plan, headline=_headline(step, plan),
        sentences=_sentences(step, plan, stop, when, now, can_scan=other_way is None), other_way=other_way,
        plug=plug, tone=TONES.get(Connector.Status(plug.status), "off") if plug else "off",
        freshness=freshness_of(plug, now) if plug else "", session=session, command=command, is_pending=is_pending,
        can_start=is_idle and _can_start(plug), expected=when, stop=stop,
        can_stop=session is not None and not is_pending and registry.stopper_for(session.source) is not None,
        map=_map(link, plan) if plug else {},
    )  # fmt: skip


def _session(plan: ChargePlan) -> ChargingSession | None:
    running = plan.session is not None and plan.session.state == ChargingSession.State.ACTIVE
    return plan.session if running else None


def _step(plan: ChargePlan, session: ChargingSession | None, now: datetime) -> str:
    step = STEPS[State(plan.state)]
    if step == "missed" and not plan.reservations.filter(state=Reservation.State.EXPIRED).exists():
        return "none"  # it is full enough, or charges elsewhere
    if step == "go" and plan.arrived_at is not None:
        return "here"
    if step == "charge" and session is not None and drives.is_full(session, now):
        return "full"
    is_old = plan.closed_at is not None and plan.closed_at < now - DONE_FOR
    return "none" if is_old and step in ("done", "missed") else step


def _headline(step: str, plan: ChargePlan) -> str:
    return str(texts.HEADLINES[step]) % _place(plan)


def _place(plan: ChargePlan) -> dict[str, str]:
    plug = plan.connector
    return {"site": plug.evse.location.name if plug else "–", "bay": bay_of(plug) if plug else "–"}


def _sentences(
    step: str, plan: ChargePlan, stop: Stop | None, when: eta.Expected, now: datetime, *, can_scan: bool
) -> list[str]:
    """What stands under the headline, in the order it matters."""
    said: list[str] = [str(texts.ADVICE[step])] if step in texts.ADVICE and (can_scan or step != "here") else []
    if step in ("go", "here"):
        said += _hold(plan, when, now)
    if step == "go" and plan.arrival_soc_percent is not None:
        said.append(str(texts.ARRIVE) % {"arrival": round(plan.arrival_soc_percent)})
    if step in ("go", "here", "charge") and plan.target_soc_percent is not None:
        minutes = max(1, round(plan.charge_seconds / 60))
        said.append(str(texts.CHARGE) % {"target": round(plan.target_soc_percent), "minutes": minutes})
    if step == "charge" and when.done_at is not None:
        said.append(str(texts.UNTIL) % {"time": clock(when.done_at)})
    if step in ("charge", "full", "done") and stop is not None:
        said.append(str(texts.NEXT) % {"stop": stop.name})
    return said


def _hold(plan: ChargePlan, when: eta.Expected, now: datetime) -> list[str]:
    row = plan.reservations.order_by("-pk").first()
    if row is None or row.state not in Reservation.ACTIVE_STATES:
        return [str(texts.HOLDS["open"])]
    if row.state == Reservation.State.REQUESTED:
        return [str(texts.HOLDS["asked"])]
    is_soft = row.way == Reservation.Way.SOFT
    words = texts.HOLDS["later" if is_soft and row.starts_at > now else "soft" if is_soft else "network"]
    said = [str(words) % {"from": clock(row.starts_at), "until": clock(row.expires_at)}]
    is_late = plan.arrived_at is None and when.plug_at is not None and when.plug_at > row.expires_at
    return [*said, str(texts.LATE)] if is_late else said


def clock(at: datetime) -> str:
    """In the fleet's zone, which is the active one."""
    return date_format(timezone.localtime(at), "H:i")


def _last_command(link: DriverLink, now: datetime) -> tuple[str | Promise, bool]:
    """What the last start or stop of this vehicle came to, and whether its answer is still awaited."""
    mine = SessionCommand.objects.filter(
        organisation_id=link.organisation_id, vehicle_id=link.vehicle_id, kind__in=("start", "stop"),
        created_at__gt=now - SAID_FOR,
    )  # fmt: skip
    row = mine.order_by("-pk").first()
    if row is None or row.state == Commands.DONE:
        return "", False
    is_pending = row.state in SessionCommand.OPEN_STATES
    known = "asked" if is_pending else str(row.state)
    words = texts.COMMANDS.get((row.kind, known)) or texts.COMMANDS[row.kind, "refused"]
    return words, is_pending


def _can_start(plug: Connector | None) -> bool:
    return plug is not None and plug.evse.takes_starts and registry.starter_for(plug.evse.location.source) is not None


def _other_way(plug: Connector, plan: ChargePlan) -> OtherWay:
    network = plug.evse.location.source
    return OtherWay(
        str(texts.NOT_FROM_HERE) % {"network": network.name}, _otherwise(plan), network.name, network.help_phone,
        network.app_url,
    )  # fmt: skip


def _otherwise(plan: ChargePlan) -> str:
    known = plan.explanation.get("plan_b") or {}
    if not known.get("station"):
        return str(texts.NO_PLAN_B)
    minutes = max(1, round(known["drive_seconds"] / 60))
    return str(texts.PLAN_B) % {"station": known["station"], "minutes": minutes}


def _map(link: DriverLink, plan: ChargePlan) -> dict[str, Any]:
    assert plan.connector is not None  # noqa: S101 (it has a plug)
    site, state = plan.connector.evse.location, getattr(link.vehicle, "state", None)
    has_place = state is not None and state.latitude is not None and state.longitude is not None
    is_driving = plan.state in (State.ACCEPTED, State.RESERVED) and plan.arrived_at is None
    return {
        "plug": [site.latitude, site.longitude],
        "vehicle": [state.latitude, state.longitude] if has_place and state else None,
        "route": plan.route.get("new", []) if is_driving else [],
    }
