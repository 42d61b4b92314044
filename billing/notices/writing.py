"""From a fact to letters: one row per reader, in the transaction that made the fact true; twice is once."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from billing.events import LettersWaiting
from billing.notices.models import Letter
from fleetcharge.accounts.models import Membership, User
from fleetcharge.lib.events import publish

READERS = (Membership.Role.OWNER, Membership.Role.FINANCE)


def write(
    *, organisation_id: int, kind: str, key: str, facts: dict[str, Any], now: datetime, address: str = "",
    readers: QuerySet[User] | None = None,
) -> int:  # fmt: skip
    """Letters to owners and finance or to `readers`, each in their language, or to `address`; how many are new."""
    if address:
        rows = [_letter(organisation_id, kind, key, facts, now, address=address)]
    else:
        found = _desk(organisation_id) if readers is None else readers.values_list("pk", "email", "language")
        rows = [
            _letter(organisation_id, kind, key, facts, now, user_id=user_id, address=email, language=language)
            for user_id, email, language in found
        ]
    with transaction.atomic():
        before = Letter.objects.filter(kind=kind, key=key[:120], organisation_id=organisation_id).count()
        Letter.objects.bulk_create(rows, ignore_conflicts=True)
        new = Letter.objects.filter(kind=kind, key=key[:120], organisation_id=organisation_id).count() - before
        if new:
            publish(LettersWaiting(new))
    return new


def _desk(organisation_id: int) -> Any:
    people = Membership.objects.filter(organisation_id=organisation_id, role__in=READERS, user__is_active=True)
    found = people.exclude(user__email="").values_list("user_id", "user__email", "user__language")
    return found.order_by("user_id")


def _letter(
    organisation_id: int, kind: str, key: str, facts: dict[str, Any], now: datetime, **whom: Any
) -> Letter:  # fmt: skip
    return Letter(
        organisation_id=organisation_id, kind=kind, key=key[:120], facts=facts, created_at=now, next_try_at=now, **whom
    )
