"""What came of our profiles: accepted or not, reported back or not, kept or not."""

from datetime import datetime, timedelta

from ocpp_bridge.charging.outlets import Outlet, Picture
from ocpp_bridge.charging.profiles import composite_of, exceeds, held_at
from ocpp_bridge.charging.sending import ask_composite
from ocpp_bridge.matters import raise_matter, settle_matter
from ocpp_bridge.models import Command, HeldProfile

S = Command.State
AGAIN_AFTER = (timedelta(minutes=5), timedelta(hours=1), timedelta(hours=6))
UNSURE_AGAIN_AFTER = timedelta(seconds=30)
TOLERANCE_W, TOLERANCE_PERCENT = 500, 10
GRACE = timedelta(seconds=60)  # a vehicle may take its time to slow down
PATIENCE = timedelta(seconds=120)
FAULTS_FORGIVEN = 2
MAX_UNSURE = 4
CAUSE = "charging"


def settle(picture: Picture, *, now: datetime) -> None:
    """Take in every answer that came since."""
    for outlet in picture.outlets:
        outlet.tx = _of_this_session(outlet, now)
        for row in (outlet.default, outlet.tx):
            if row is not None and (row.asked is not None or row.check_command is not None):
                _settle(outlet, row, now)
                row.save()
    for row in picture.station_limits.values():
        if row.asked is not None:
            _take_answer(row, now)
            row.save()


def _of_this_session(outlet: Outlet, now: datetime) -> HeldProfile | None:
    """A session's profile dies with it."""
    row, session = outlet.tx, outlet.session
    if row is None or (session is not None and row.transaction_ref == session.transaction_ref):
        return row
    if row.faults > FAULTS_FORGIVEN:
        settle_matter(charger_id=row.charger_id, cause=CAUSE, key=str(row.evse_number), at=now)
    row.delete()
    return None


def _settle(outlet: Outlet, row: HeldProfile, now: datetime) -> None:
    if _take_answer(row, now) and row.purpose == HeldProfile.Purpose.TX:
        ask_composite(outlet, row, now)
    if row.check_command is not None and row.check_command.state not in Command.OPEN_STATES:
        _take_composite(outlet, row, now)


def _take_answer(row: HeldProfile, now: datetime) -> bool:
    """True when the charger has just accepted what we asked."""
    command = row.command
    if row.asked is None or (command is not None and command.state in Command.OPEN_STATES):
        return False
    asked, row.asked = row.asked, None
    if command is not None and command.state == S.ACCEPTED:
        row.accepted, row.accepted_at, row.unsure = asked, now, None
        row.refusals, row.reason, row.retry_at = 0, "", None
        return True
    if command is not None and (command.state in (S.REJECTED, S.FAILED) or not command.attempts):
        if command.state in (S.REJECTED, S.FAILED):
            row.retry_at = now + AGAIN_AFTER[min(row.refusals, len(AGAIN_AFTER) - 1)]
            row.refusals, row.reason = min(row.refusals + 1, 1000), command.reason
        return False
    row.unsure = [*(row.unsure or []), asked][-MAX_UNSURE:]
    row.must_renew, row.retry_at = True, now + UNSURE_AGAIN_AFTER
    return False


def _take_composite(outlet: Outlet, row: HeldProfile, now: datetime) -> None:
    command, row.check_command = row.check_command, None
    if command is None or row.accepted is None:
        return
    row.checked_at, row.composite = now, command.response
    found = composite_of(
        command.response if command.state == S.ACCEPTED else None,
        wiring=outlet.wiring,
        asked_at=int((command.sent_at or now).timestamp()),
        asked_seconds=int(command.parameters.get("duration_seconds", 0)),
    )
    row.flaws = list(found.flaws)[:10]
    if not found.is_answered:
        row.verdict = HeldProfile.Verdict.UNANSWERED
    elif found.held is None:
        row.verdict = HeldProfile.Verdict.UNREADABLE
    elif exceeds(found.held, row.accepted, now=int(now.timestamp()), tolerance_w=_tolerance(outlet.max_w)):
        row.verdict = HeldProfile.Verdict.DIFFERS
        _fault(outlet, row, "reports a higher limit than it accepted", now)
    else:
        row.verdict = HeldProfile.Verdict.MATCHES


def _tolerance(watts: int) -> int:
    return max(100, watts * 2 // 100)


def watch(picture: Picture, *, now: datetime) -> int:
    """Compare measured power with the limits in force; returns how many plugs draw too much."""
    count = 0
    for outlet in picture.outlets:
        if outlet.tx is not None and outlet.tx.accepted is not None and outlet.session is not None:
            count += _watch(outlet, outlet.tx, now)
            outlet.tx.save(update_fields=["over_since", "over_w", "faults", "must_renew", "accepted", "retry_at"])
    return count


def _watch(outlet: Outlet, row: HeldProfile, now: datetime) -> bool:
    session, allowed = outlet.session, held_at(row.accepted, int(now.timestamp()))
    is_recent = session is not None and session.metered_at is not None and row.accepted_at is not None and (
        session.metered_at > row.accepted_at + GRACE
    )  # fmt: skip
    if session is None or allowed is None or not is_recent or session.power_w is None:
        return False
    if session.power_w <= allowed + max(TOLERANCE_W, allowed * TOLERANCE_PERCENT // 100):
        _obeys(outlet, row, now)
        return False
    row.over_w = session.power_w
    if row.over_since is None:
        row.over_since = now
    elif now - row.over_since >= PATIENCE:
        row.over_since = now
        _fault(outlet, row, f"draws {session.power_w} W where {allowed} W are allowed", now)
    return True


def _obeys(outlet: Outlet, row: HeldProfile, now: datetime) -> None:
    if row.over_since is None:
        return
    row.over_since, row.over_w = None, None
    if row.faults > FAULTS_FORGIVEN:
        settle_matter(charger_id=row.charger_id, cause=CAUSE, key=str(row.evse_number), at=now)
    row.faults = 0


def _fault(outlet: Outlet, row: HeldProfile, what: str, now: datetime) -> None:
    """Say it again, twice; then its promises count for nothing, and a person is told."""
    row.faults = min(row.faults + 1, 1000)
    row.must_renew = True
    if row.faults <= FAULTS_FORGIVEN:
        return
    if row.faults == FAULTS_FORGIVEN + 1:
        raise_matter(
            charger_id=row.charger_id, cause=CAUSE, key=str(row.evse_number),
            title="does not keep its charging limit", detail=f"Plug {row.evse_number} {what}.", is_bad=True, at=now,
        )  # fmt: skip
    row.accepted, row.retry_at = None, now + AGAIN_AFTER[1]
    if outlet.default is not None:
        outlet.default.accepted, outlet.default.retry_at = None, now + AGAIN_AFTER[1]
        outlet.default.save(update_fields=["accepted", "retry_at"])
