"""Alerts: one open row per cause, and a revision that browsers resume from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from dispatch import wording
from dispatch.events import AlertChanged
from dispatch.models import Alert, ChargePlan
from dispatch.wording import Says
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish, publish_together
from fleetcharge.lib.sweeps import survived

_LOCK_SPACE = 7301
NO_CODES: dict[str, Any] = {"code": "", "body_codes": [], "parameters": {}}
_COLUMNS = {
    "kind": "text", "severity": "text", "title": "text", "body": "text", "code": "text", "body_codes": "text[]",
    "parameters": "jsonb", "data": "jsonb", "vehicle_id": "bigint", "location_id": "bigint", "plan_id": "bigint",
    "revision": "bigint",
}  # fmt: skip
_UPDATE = f"""
UPDATE dispatch_alert AS a SET {", ".join(f"{name} = v.{name}" for name in _COLUMNS)},
    snoozed_until = CASE WHEN a.kind = v.kind THEN a.snoozed_until END
FROM jsonb_to_recordset(%s::jsonb) AS v(pk bigint, {", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
WHERE a.id = v.pk
"""  # noqa: S608 (names of our own columns)


def next_revision(organisation_id: int) -> int:
    """The next revision. Alert writes of one fleet wait for each other's commit, so that a browser which has seen
    revision n has seen everything below it. Taken after plan and reservation locks, before alert rows."""
    return next_revisions(organisation_id, 1)[0]


def next_revisions(organisation_id: int, count: int) -> list[int]:
    """So many of them, rising."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, organisation_id])
        cursor.execute("SELECT nextval('dispatch_alert_revision') FROM generate_series(1, %s)", [count])
        return sorted(int(revision) for (revision,) in cursor.fetchall())


@transaction.atomic(savepoint=False)
def open_alert(
    *, organisation_id: int, kind: str, dedupe_key: str, now: datetime, says: Says | None = None, title: str = "",
    **fields: Any,
) -> Alert:  # fmt: skip
    """Open the alert of this cause, or bring the open one up to date. `fields` are columns of Alert.

    `says` can be told in any language; a `title` (and `body`) is text as it stands.
    """
    revision = next_revision(organisation_id)
    words = _words(says, organisation_id, title, fields.pop("body", ""))
    values = {"kind": kind, "revision": revision, **words, **fields}
    alert = Alert.objects.open().filter(organisation_id=organisation_id, dedupe_key=dedupe_key).first()
    if alert is None:
        alert = Alert.objects.create(
            organisation_id=organisation_id, dedupe_key=dedupe_key, opened_at=now, opened_revision=revision, **values
        )
    else:
        if values["kind"] != alert.kind:
            values["snoozed_until"] = None
        Alert.objects.filter(pk=alert.pk).update(**values)
    publish(AlertChanged(alert.pk, organisation_id, "upd" if alert.opened_revision != revision else "add", revision))
    return alert


@dataclass(frozen=True)
class Opening:
    """An alert as `open_alerts` takes it; what it says can be told in any language."""

    dedupe_key: str
    kind: str
    severity: str
    says: Says
    vehicle_id: int
    plan_id: int
    location_id: int | None
    data: dict[str, Any]


@transaction.atomic(savepoint=False)
def open_alerts(*, organisation_id: int, openings: Sequence[Opening], now: datetime) -> None:
    """Open the alerts of many causes of one fleet, or bring the open ones up to date; no cause twice. As many
    statements as for one."""
    revisions = next_revisions(organisation_id, len(openings))
    zone_name = Organisation.objects.values_list("time_zone", flat=True).get(pk=organisation_id)
    open_ones = Alert.objects.open().filter(organisation_id=organisation_id)
    keys = [opening.dedupe_key for opening in openings]
    known = dict(open_ones.filter(dedupe_key__in=keys).values_list("dedupe_key", "pk"))
    rows = [
        {**vars(opening), "revision": revision, **_spoken(opening.says, zone_name)}
        for opening, revision in zip(openings, revisions, strict=True)
    ]
    for row in rows:
        del row["says"]
    added = Alert.objects.bulk_create(
        Alert(organisation_id=organisation_id, opened_at=now, opened_revision=row["revision"], **row)
        for row in rows if row["dedupe_key"] not in known
    )  # fmt: skip
    _update([{"pk": known[row["dedupe_key"]], **row} for row in rows if row["dedupe_key"] in known])
    ids = known | {alert.dedupe_key: alert.pk for alert in added}
    publish_together(
        AlertChanged(
            ids[row["dedupe_key"]], organisation_id, "upd" if row["dedupe_key"] in known else "add", row["revision"]
        )
        for row in rows
    )


def _update(rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE, [json.dumps(rows)])


def _words(says: Says | None, organisation_id: int, title: str, body: str) -> dict[str, Any]:
    if says is None:
        return {"title": title[:160], "body": body, **NO_CODES}
    zone_name = Organisation.objects.values_list("time_zone", flat=True).get(pk=organisation_id)
    return _spoken(says, zone_name)


def _spoken(says: Says, zone_name: str) -> dict[str, Any]:
    english = wording.in_english(says, zone_name)
    return {"title": english["title"][:160], "body": english["body"][:400], **says.columns()}


@transaction.atomic(savepoint=False)
def close_alert_by_key(*, organisation_id: int, dedupe_key: str, reason: str, now: datetime) -> bool:
    """Close the open alert of a cause that is gone; False when there is none."""
    if not Alert.objects.open().filter(organisation_id=organisation_id, dedupe_key=dedupe_key).exists():
        return False
    revision = next_revision(organisation_id)
    alerts = Alert.objects.open().filter(organisation_id=organisation_id, dedupe_key=dedupe_key)
    return sum(_close(alert, revision, reason, None, now) for alert in alerts) > 0


def close_alerts_by_key(*, causes: Sequence[tuple[int, str, datetime]], reason: str) -> int:
    """Of many causes that are gone, (organisation, dedupe key, when): close the alerts that are open; how many."""
    organisations, keys = {cause[0] for cause in causes}, {cause[1] for cause in causes}
    alerts = Alert.objects.open().filter(organisation_id__in=organisations, dedupe_key__in=keys)
    opened, closed = set(alerts.values_list("organisation_id", "dedupe_key")), 0
    for organisation_id, key, at in causes:
        if (organisation_id, key) in opened:
            with survived("alert", key):
                closed += close_alert_by_key(organisation_id=organisation_id, dedupe_key=key, reason=reason, now=at)
    return closed


@transaction.atomic
def close_alert(*, alert_id: int, actor: User | None, actor_label: str = "", reason: str, now: datetime) -> bool:
    """Somebody has dealt with it; False when it was closed already."""
    organisation_id = Alert.objects.values_list("organisation_id", flat=True).get(pk=alert_id)
    revision = next_revision(organisation_id)
    alert = Alert.objects.select_for_update().get(pk=alert_id)
    if alert.closed_at is not None:
        return False
    audit(action="alert.close", target=alert, actor=actor, actor_label=actor_label, reason=reason)
    return _close(alert, revision, reason, actor, now)


@transaction.atomic
def snooze_alert(*, alert_id: int, until: datetime, actor: User | None, actor_label: str = "") -> bool:
    """Out of sight until then; False when it was closed already."""
    organisation_id = Alert.objects.values_list("organisation_id", flat=True).get(pk=alert_id)
    revision = next_revision(organisation_id)
    if not Alert.objects.open().filter(pk=alert_id).update(snoozed_until=until, revision=revision):
        return False
    audit(
        action="alert.snooze", target=Alert.objects.get(pk=alert_id), actor=actor, actor_label=actor_label,
        after={"until": until.isoformat()},
    )  # fmt: skip
    publish(AlertChanged(alert_id, organisation_id, "upd", revision))
    return True


@transaction.atomic
def wake_alert(*, alert_id: int, actor: User | None, actor_label: str = "") -> bool:
    """In sight again at once; False when it was not hidden, or is closed."""
    organisation_id = Alert.objects.values_list("organisation_id", flat=True).get(pk=alert_id)
    revision = next_revision(organisation_id)
    hidden = Alert.objects.open().filter(pk=alert_id, snoozed_until__isnull=False)
    if not hidden.update(snoozed_until=None, revision=revision):
        return False
    audit(action="alert.wake", target=Alert.objects.get(pk=alert_id), actor=actor, actor_label=actor_label)
    publish(AlertChanged(alert_id, organisation_id, "upd", revision))
    return True


def touch_plan_alert(plan: ChargePlan) -> None:
    """The plan inside an alert changed: browsers get the alert again. Inside the caller's transaction."""
    alert = Alert.objects.open().filter(plan=plan).first()
    if alert is not None:
        revision = next_revision(plan.organisation_id)
        Alert.objects.filter(pk=alert.pk).update(revision=revision)
        publish(AlertChanged(alert.pk, plan.organisation_id, "upd", revision))


def _close(alert: Alert, revision: int, reason: str, actor: User | None, now: datetime) -> bool:
    closed = Alert.objects.open().filter(pk=alert.pk).update(
        closed_at=now, closed_by=actor, close_reason=reason[:120], revision=revision
    )  # fmt: skip
    if closed:
        publish(AlertChanged(alert.pk, alert.organisation_id, "del", revision))
    return bool(closed)
