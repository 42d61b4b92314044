"""Alerts: one open row per cause, and a revision that browsers resume from."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from dispatch import wording
from dispatch.events import AlertChanged
from dispatch.models import Alert, ChargePlan
from dispatch.wording import Says
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish
from fleetcharge.lib.sweeps import survived

_LOCK_SPACE = 7301
NO_CODES: dict[str, Any] = {"code": "", "body_codes": [], "parameters": {}}


def next_revision(organisation_id: int) -> int:
    """The next revision. Alert writes of one fleet wait for each other's commit, so that a browser which has seen
    revision n has seen everything below it. Taken after plan and reservation locks, before alert rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, organisation_id])
        cursor.execute("SELECT nextval('dispatch_alert_revision')")
        row = cursor.fetchone()
    assert row is not None  # noqa: S101 (nextval always answers)
    return int(row[0])


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


def _words(says: Says | None, organisation_id: int, title: str, body: str) -> dict[str, Any]:
    if says is None:
        return {"title": title[:160], "body": body, **NO_CODES}
    zone_name = Organisation.objects.values_list("time_zone", flat=True).get(pk=organisation_id)
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
