"""The audit trail of sessions: what late or missing messages changed, from what to what, why, by which message."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing.models import ChargingSession, SessionCorrection

Values = Mapping[str, Any]


def apply(
    session: ChargingSession, values: Values, *, reason: str, cause: str, at: datetime, is_recorded: bool = True
) -> list[str]:
    """Set the fields that differ, record each change, and return their names; the caller saves the session."""
    changed = {
        name: (getattr(session, name), value) for name, value in values.items() if getattr(session, name) != value
    }
    for name, (_, value) in changed.items():
        setattr(session, name, value)
    if is_recorded:
        record(session, changed, reason=reason, cause=cause, at=at)
    return list(changed)


def record(
    session: ChargingSession, changes: Mapping[str, tuple[Any, Any]], *, reason: str, cause: str, at: datetime
) -> None:
    """One row per field: {name: (before, after)}."""
    SessionCorrection.objects.bulk_create(
        SessionCorrection(
            session=session, field=name, before=_plain(before), after=_plain(after), reason=reason[:200],
            cause=cause[:120], at=at,
        )
        for name, (before, after) in changes.items()
    )  # fmt: skip


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
