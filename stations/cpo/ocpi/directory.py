"""Whose tokens CPOs may know, and who decides whether one may charge: an app above us, which registers itself here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from stations.cpo.ocpi.objects.base import exact_text
from stations.cpo.ocpi.objects.tokens import Authorization, TokenDoc
from stations.models import Connector, Source

OUR_COUNTRY, OUR_PARTY = "IN", "FLC"


class TokenDirectory(Protocol):
    """Only tokens of fleets that may charge at `source` exist for it."""

    def page(
        self, source: Source, *, since: datetime | None, until: datetime | None, offset: int, limit: int
    ) -> tuple[Sequence[TokenDoc], int]:
        """Tokens changed at `since` or later and before `until`, oldest change first, and how many there are in all."""
        ...

    def authorize(self, source: Source, uid: str, *, connector: Connector | None, at: datetime) -> Authorization | None:
        """May it charge there, now? None: nobody here knows this token."""
        ...


_directory: list[TokenDirectory] = []


def register(directory: TokenDirectory) -> None:
    _directory[:] = [directory]


def directory() -> TokenDirectory | None:
    return _directory[0] if _directory else None


def token_object(token: TokenDoc) -> dict[str, object]:
    """OCPI Token of one of our vehicles or drivers. We want to be asked at every start, unless we cannot be reached."""
    return {
        "country_code": OUR_COUNTRY,
        "party_id": OUR_PARTY,
        "uid": token.uid,
        "type": token.type,
        "contract_id": f"{OUR_COUNTRY}-{OUR_PARTY}-{token.uid}"[:36],
        **({"visual_number": token.visual_number} if token.visual_number else {}),
        "issuer": token.issuer,
        **({"group_id": token.group_id[:20]} if token.group_id else {}),
        "valid": token.is_valid,
        "whitelist": "ALLOWED_OFFLINE",
        "last_updated": exact_text(token.updated_at),
    }
