"""The queue of things a person in finance must decide."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from billing.events import ExceptionOpened, ExceptionResolved
from billing.models import CDR, BillingException
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.events import publish

# a person has looked at these: the record may be priced after all
UNBLOCKS_CDR = {
    BillingException.Kind.MISSING_TARIFF,
    BillingException.Kind.ODD_METER,
    BillingException.Kind.UNKNOWN_TOKEN,
    BillingException.Kind.MISSING_START,
    BillingException.Kind.NEVER_ENDED,
}


WITHDRAWN = "What arrived later settles it."


@transaction.atomic
def open_exception(
    *,
    organisation_id: int | None,
    kind: str,
    title: str,
    at: datetime,
    session_id: int | None = None,
    reference: str = "",
    details: dict[str, Any] | None = None,
    amount_paise: int = 0,
) -> BillingException:
    """One open row per session and kind (or per reference); asking again returns the first.

    `organisation_id` None: about the platform's own books; only its operators see it.
    """
    whose: dict[str, Any] = {"organisation_id": organisation_id}  # django-stubs know no lookup of NULL
    of_cause = Q(reference=reference, **whose) & ~Q(reference="")
    of_session = Q(session_id=session_id, session__isnull=False)
    nameless = Q(session=None, reference="", **whose)
    is_nameless = session_id is None and not reference
    same = BillingException.objects.open().filter(nameless if is_nameless else of_session | of_cause, kind=kind)
    if existing := same.first():
        return existing
    try:
        with transaction.atomic():
            exception = BillingException.objects.create(
                organisation_id=organisation_id,
                kind=kind,
                session_id=session_id,
                reference=reference,
                title=title[:160],
                details=details or {},
                amount_paise=amount_paise,
                opened_at=at,
            )
    except IntegrityError:
        return same.earliest("pk")
    if organisation_id is not None:
        publish(ExceptionOpened(exception.pk, organisation_id, kind, session_id))
    return exception


@transaction.atomic
def resolve_exception(
    *, exception_id: int, actor: User | None, actor_label: str = "", reason: str, at: datetime
) -> BillingException:
    """Close one with a reason. Resolving the last one that holds a CDR back lets the sweep price it.

    Raises Conflict when it is closed already and ValueError without a reason.
    """
    if not reason.strip():
        raise ValueError("A decision needs a reason.")
    claimed = (
        BillingException.objects.open()
        .filter(pk=exception_id)
        .update(resolved_at=at, resolved_by=actor, resolution=reason)
    )
    exception = BillingException.objects.select_related("organisation").get(pk=exception_id)
    if not claimed:
        raise Conflict("This exception was decided already.", code="already_resolved")
    audit(
        action="resolve", target=exception, actor=actor, actor_label=actor_label, reason=reason,
        after={"kind": exception.kind},
    )  # fmt: skip
    if exception.session_id and exception.kind in UNBLOCKS_CDR:
        _unblock(exception.session_id)
    if exception.organisation_id is not None:
        publish(ExceptionResolved(exception.pk, exception.organisation_id, at))
    return exception


@transaction.atomic
def withdraw(*, session_id: int, kinds: Iterable[str], at: datetime) -> int:
    """Close what later evidence has settled by itself; what a person decided stays as it is. Returns how many."""
    settled = list(BillingException.objects.open().filter(session_id=session_id, kind__in=list(kinds)))
    for exception in settled:
        withdraw_one(exception, resolution=WITHDRAWN, at=at)
    return len(settled)


def withdraw_one(exception: BillingException, *, resolution: str, at: datetime) -> None:
    """Nobody has to decide this any more."""
    exception.resolved_at, exception.resolution = at, resolution
    exception.save(update_fields=["resolved_at", "resolution"])
    if exception.organisation_id is not None:
        publish(ExceptionResolved(exception.pk, exception.organisation_id, at))


def is_decided(*, session_id: int, kind: str) -> bool:
    """Has a person decided this doubt already? Then it is not raised again."""
    closed = BillingException.objects.filter(session_id=session_id, kind=kind, resolved_at__isnull=False)
    return closed.exclude(resolution=WITHDRAWN).exists()


@transaction.atomic
def assign_exception(*, exception_id: int, owner: User, actor: User | None) -> None:
    """Say who takes care of it."""
    exception = BillingException.objects.select_for_update().get(pk=exception_id)
    before = {"owner": exception.owner_id}
    exception.owner = owner
    exception.save(update_fields=["owner"])
    audit(action="assign", target=exception, actor=actor, before=before, after={"owner": owner.pk})


def _unblock(session_id: int) -> None:
    still_open = BillingException.objects.open().filter(session_id=session_id, kind__in=UNBLOCKS_CDR)
    if not still_open.exists():
        CDR.objects.filter(session_id=session_id, rated_at=None).update(is_blocked=False)
