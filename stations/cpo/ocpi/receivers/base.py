"""One call of a peer, and the answer to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stations import services
from stations.cpo.ocpi.dialects import Dialect, Owner, dialect_of
from stations.cpo.ocpi.objects.base import as_utc
from stations.models import Source

OK, CLIENT_ERROR, BAD_PARAMETERS, NOT_ENOUGH, UNKNOWN_LOCATION, UNKNOWN_TOKEN = 1000, 2000, 2001, 2002, 2003, 2004
CALL_BACK_FAILED, NO_COMMON_VERSION, NO_ENDPOINTS = 3001, 3002, 3003


@dataclass(frozen=True)
class Call:
    """One authenticated call of a CPO. `path` is what follows the module's address; `token` is what it presented."""

    source: Source
    method: str
    path: tuple[str, ...]
    body: Any
    at: datetime
    version: str = "2.2.1"
    query: Mapping[str, str] = field(default_factory=dict)
    token: str = ""

    @property
    def dialect(self) -> Dialect:
        return dialect_of(self.version)

    @property
    def owner(self) -> Owner:
        """Whose object the address names; else the party of the credentials (2.1.1 objects say nothing)."""
        if len(self.path) >= 3:
            return self.path[0], self.path[1]
        party = self.source.parties.first()
        return (party.country_code, party.party_id) if party else ("", "")

    def read(self, kind: str) -> Any:
        """The body in the shape of our readers."""
        return self.dialect.read(kind, self.body, self.owner)

    def write(self, kind: str, raw: dict[str, Any]) -> dict[str, Any]:
        return self.dialect.write(kind, raw)


@dataclass(frozen=True)
class Answer:
    data: Any = None
    status_code: int = OK
    message: str = "Success"
    http: int = 200
    fetch: str = ""  # "location:<id>" or "session:<id>" that we heard of but do not hold: to be fetched from the CPO
    wait_seconds: int = 0  # with http 429
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Answer]


class Refused(Exception):
    """The call reached OCPI and cannot be done; carries the OCPI status code."""

    def __init__(self, status_code: int, message: str, http: int = 200) -> None:
        super().__init__(message)
        self.answer = Answer(None, status_code, message, http)


def pick(call: Call, verbs: Mapping[str, Handler]) -> Answer:
    """The handler of the method, or HTTP 405 with the methods there are."""
    handler = verbs.get(call.method)
    if handler is None:
        allowed = {"Allow": ", ".join(sorted(verbs))}
        return Answer(None, CLIENT_ERROR, f"{call.method} is not offered here.", 405, headers=allowed)
    return handler(call)


def owned_path(call: Call, what: str) -> tuple[str, str, str]:
    """{country_code}/{party_id}/{id} of the address."""
    if len(call.path) != 3:
        raise Refused(BAD_PARAMETERS, f"Give /{{country_code}}/{{party_id}}/{{{what}}}.")
    return call.path[0], call.path[1], call.path[2]


def same(inside: tuple[str, ...], address: tuple[str, ...]) -> None:
    """Ids compare without case (CiString)."""
    if [part.lower() for part in inside] != [part.lower() for part in address]:
        raise Refused(BAD_PARAMETERS, "The ids in the address differ from those in the body.")


def stamp(call: Call) -> datetime:
    body = call.body if isinstance(call.body, dict) else {}
    at = as_utc(body.get("last_updated"))
    if not isinstance(at, datetime):
        raise Refused(BAD_PARAMETERS, f"A {call.method} carries last_updated, an instant.")
    return at


def note_push(call: Call) -> None:
    if not services.is_push_noted(call.source.last_push_at, call.at):
        services.push_received(source_id=call.source.pk, at=call.at)
