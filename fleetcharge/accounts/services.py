"""Writes of the accounts app: keys and the audit trail."""

import functools
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, models, transaction
from django.utils import timezone

from fleetcharge.accounts.models import APIKey, AuditEntry, Organisation, User
from fleetcharge.lib import crypto
from fleetcharge.lib.db import fetch_prepared


def create_api_key(
    *,
    organisation: Organisation,
    name: str,
    scopes: Iterable[str],
    created_by: User | None = None,
    expires_at: datetime | None = None,
    secret: str | None = None,
) -> tuple[APIKey, str]:
    """A new key and its secret, which is never readable again."""
    secret = secret or f"fck_{crypto.new_token()}"
    key = APIKey.objects.create(
        organisation=organisation,
        name=name,
        scopes=list(scopes),
        created_by=created_by,
        expires_at=expires_at,
        prefix=secret[: APIKey.PREFIX_LENGTH],
        key_hash=crypto.keyed_hash(secret, purpose=APIKey.PURPOSE),
    )
    return key, secret


def find_api_key(secret: str) -> APIKey | None:
    """The live key behind a presented secret, or None. One indexed query and one constant-time comparison."""
    rows = fetch_prepared(_key_query(), [secret[: APIKey.PREFIX_LENGTH], timezone.now()])
    if not rows:
        return None
    row = rows[0]
    split = len(APIKey._meta.concrete_fields)
    key = APIKey.from_db(connection.alias, _names_of(APIKey), row[:split])
    key.organisation = Organisation.from_db(connection.alias, _names_of(Organisation), row[split:])
    return key if key.matches(secret) else None


@functools.cache
def _key_query() -> str:
    """As `APIKey.objects.live().select_related("organisation")` has it: every request of a machine pays for it."""
    columns = [f"k.{name}" for name in _names_of(APIKey)] + [f"o.{name}" for name in _names_of(Organisation)]
    return (
        f"SELECT {', '.join(columns)} FROM accounts_apikey k JOIN accounts_organisation o ON o.id = k.organisation_id "  # noqa: S608
        "WHERE k.prefix = %s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > %s)"
    )


@functools.cache
def _names_of(model: type[models.Model]) -> list[str]:
    return [str(field.column) for field in model._meta.concrete_fields]


def touch_api_key(key: APIKey) -> None:
    """Remember use, at most once a minute."""
    now = timezone.now()
    if key.last_used_at is not None and key.last_used_at >= now - timedelta(minutes=1):
        return
    stale = models.Q(last_used_at=None) | models.Q(last_used_at__lt=now - timedelta(minutes=1))
    APIKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)


@transaction.atomic
def revoke_api_key(*, key: APIKey, actor: User | None, reason: str) -> bool:
    """Switch a key off for good; False when it was off already."""
    if not APIKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        return False
    audit(action="revoke", target=key, actor=actor, reason=reason)
    return True


def audit(
    *,
    action: str,
    target: models.Model,
    actor: User | None = None,
    actor_label: str = "",
    reason: str = "",
    organisation: Organisation | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    ip_address: str | None = None,
    is_internal: bool = False,
) -> AuditEntry:
    """Write one line of the audit trail, in the caller's transaction. `is_internal`: of our operators among themselves;
    it is in no organisation's trail.
    """
    entry = _entry(action, target, actor, actor_label, before or {}, after or {}, reason)
    entry.ip_address = ip_address
    if is_internal or organisation:
        entry.organisation = None if is_internal else organisation
    entry.save(force_insert=True)
    return entry


def audit_each(*, action: str, after: Iterable[tuple[models.Model, dict[str, Any]]], actor_label: str) -> None:
    """A line for each of many things that were changed at once by nobody in person."""
    AuditEntry.objects.bulk_create(_entry(action, target, None, actor_label, {}, facts, "") for target, facts in after)


def _entry(
    action: str, target: models.Model, actor: User | None, actor_label: str, before: dict[str, Any],
    after: dict[str, Any], reason: str,
) -> AuditEntry:  # fmt: skip
    return AuditEntry(
        organisation_id=getattr(target, "organisation_id", None), actor=actor,
        actor_label=(actor_label or (str(actor) if actor else "system"))[:120], action=action,
        target_type=target._meta.label_lower, target_id=str(target.pk), before=before, after=after, reason=reason,
    )  # fmt: skip
