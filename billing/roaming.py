"""Our fleets' tokens as networks may know them, and our answer when a network asks whether one may charge."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from billing.entitlement import (
    ACCEPTED,
    BLOCKED_TOKEN,
    EXPIRED_TOKEN,
    INSUFFICIENT,
    LIMIT,
    NO_WALLET,
    WALLET_FROZEN,
)
from billing.services.authorisation import authorise, group_of
from stations.cpo.ocpi.objects.tokens import Authorization, TokenDoc
from stations.models import Connector, Source
from vehicles.models import IdToken

ALLOWED = {
    ACCEPTED: "ALLOWED",
    BLOCKED_TOKEN: "BLOCKED",
    EXPIRED_TOKEN: "EXPIRED",
    NO_WALLET: "NO_CREDIT",
    WALLET_FROZEN: "NO_CREDIT",
    INSUFFICIENT: "NO_CREDIT",
}
"""OCPI AllowedType by our reason; every other reason is NOT_ALLOWED."""
KINDS = {IdToken.Kind.RFID: "RFID", IdToken.Kind.APP: "APP_USER", IdToken.Kind.VEHICLE: "OTHER"}


class FleetTokens:
    """A network knows the tokens of the fleets that may charge there, and no others."""

    def page(
        self, source: Source, *, since: datetime | None, until: datetime | None, offset: int, limit: int
    ) -> tuple[Sequence[TokenDoc], int]:
        changed = known_to(source).order_by("updated_at", "pk")
        if since is not None:
            changed = changed.filter(updated_at__gte=since)
        if until is not None:
            changed = changed.filter(updated_at__lt=until)
        now = timezone.now()
        return [token_doc(token, now) for token in changed[offset : offset + limit]], changed.count()

    def authorize(self, source: Source, uid: str, *, connector: Connector | None, at: datetime) -> Authorization | None:
        token = known_to(source).filter(uid__lower=uid.lower()).first()
        if token is None:
            return None
        decision = authorise(
            id_token=token.uid, connector_id=connector.pk if connector else None, charger_id=None, at=at
        )
        allowed = "NO_CREDIT" if decision.reason.startswith(LIMIT) else ALLOWED.get(decision.reason, "NOT_ALLOWED")
        info = "" if decision.is_accepted else decision.reason.replace("_", " ").capitalize()
        return Authorization(allowed, token_doc(token, at), info)


def known_to(source: Source) -> QuerySet[IdToken]:
    with_access = Q(organisation__network_access__source=source)
    own = Q(organisation_id=source.organisation_id) if source.organisation_id else Q(pk=None)
    return IdToken.objects.filter(with_access | own).distinct()


def token_doc(token: IdToken, now: datetime) -> TokenDoc:
    return TokenDoc(
        uid=token.uid, type=KINDS.get(IdToken.Kind(token.kind), "OTHER"), is_valid=token.is_valid(now),
        updated_at=token.updated_at, group_id=group_of(token.vehicle_id),
    )  # fmt: skip
