"""Does a CPO keep the rules of OCPI? Registers nothing; one finding per rule, for a person to read.

It reads, and asks for methods that must be refused; only `tries_writes` sends bodies, about a token that nobody has.
"""

import base64
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from fleetcharge.lib import exchanges
from stations.cpo.base import CPOError
from stations.cpo.guard import check_url
from stations.cpo.ocpi import habits
from stations.cpo.ocpi.answers import astray, code_of, dicts, envelope_of, refused_address
from stations.cpo.ocpi.dialects import DIALECTS, Dialect
from stations.cpo.ocpi.directory import OUR_COUNTRY, OUR_PARTY
from stations.cpo.ocpi.finding import Finding
from stations.cpo.ocpi.objects.locations import LocationIn
from stations.cpo.ocpi.objects.sessions import SessionIn
from stations.cpo.ocpi.objects.tariffs import TariffIn
from stations.cpo.ocpi.receivers.cdrs import read_cdr
from stations.status import FROM_OCPI

READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tariffs": ("tariff", TariffIn.model_validate),
    "locations": ("location", LocationIn.model_validate),
    "sessions": ("session", SessionIn.model_validate),
    "cdrs": ("cdr", read_cdr),
}
LONG_AGO, FAR_AHEAD = "2015-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
PAGES = 3
OFFSET = re.compile(r"T\d\d:\d\d(:\d\d)?(\.\d+)?[+-]\d\d:?\d\d$")
ANYBODY = ("XX", "XXX")


class Unreadable(Exception):
    """No answer, or none in OCPI; says why."""


@dataclass
class Probe:
    """One look at one peer. `transport` is for tests."""

    url: str
    token: str
    transport: httpx.BaseTransport | None = None
    tries_writes: bool = False
    is_raw: bool = False
    endpoints: dict[str, str] = field(default_factory=dict)
    receivers: dict[str, str] = field(default_factory=dict)
    pauses: list[bool] = field(default_factory=list)
    """Of each time it told us to wait: whether it said for how long."""
    sessions: set[str] | None = None
    dialect: Dialect | None = None
    named_tariffs: set[str] = field(default_factory=set)
    tariffs: set[str] = field(default_factory=set)

    def run(self) -> Iterator[Finding]:
        """Stops where nothing further can be known."""
        yield from self._tokens()
        try:
            yield from self._versions()
        except Unreadable as error:
            yield Finding("versions and details can be read", False, str(error))
            return
        for module in READERS:
            yield from self._module(module)
        yield from self._dangling()
        try:
            yield from self._whose_token()
            yield from self._writes()
        except Unreadable as error:
            yield Finding("its token and refusals can be read", False, str(error))
        told = f"{sum(self.pauses)} of {len(self.pauses)} told us for how long" if self.pauses else "never"
        yield Finding("to wait is said with Retry-After", all(self.pauses) if self.pauses else None, told, 24)

    # --- calling ----------------------------------------------------------------------------------------------------
    def get(
        self, url: str, *, token: str | None = None, method: str = "GET", body: Any = None, **query: str
    ) -> httpx.Response:
        """Raises Unreadable when nobody answers, or the address leads into a private network."""
        shown = self.token if token is None else token
        secret = shown if self.is_raw else base64.b64encode(shown.encode()).decode()
        headers = {
            "Authorization": f"Token {secret}",
            "X-Request-ID": str(uuid.uuid4()),
            "X-Correlation-ID": "selftest",
        }
        try:
            target = check_url(url)
            with exchanges.client(seconds=15, transport=self.transport) as client:
                address = httpx.URL(target.url).copy_merge_params(query) if query else target.url
                answer = client.request(
                    method, address, headers={**headers, **target.headers}, extensions=dict(target.extensions),
                    json=body,
                )  # fmt: skip
                if answer.status_code == 429:
                    self.pauses.append("retry-after" in answer.headers)
                return answer
        except (httpx.HTTPError, CPOError) as error:
            raise Unreadable(str(error) or type(error).__name__) from None

    def data(self, answer: httpx.Response) -> Any:
        try:
            envelope = answer.json()
            code = int(envelope["status_code"])
        except (ValueError, KeyError, TypeError):
            raise Unreadable(f"HTTP {answer.status_code} without an OCPI envelope") from None
        if answer.status_code != 200 or not 1000 <= code < 2000:
            raise Unreadable(f"HTTP {answer.status_code}, OCPI {code} {envelope.get('status_message', '')}".strip())
        return envelope.get("data")

    # --- the handshake ----------------------------------------------------------------------------------------------
    def _tokens(self) -> Iterator[Finding]:
        try:
            encoded = self.get(self.url).status_code
            self.is_raw = True
            raw = self.get(self.url).status_code
            self.is_raw = encoded != 200
            wrong = self.get(self.url, token=f"{self.token}x").status_code
        except Unreadable as error:
            yield Finding("the address answers", False, str(error))
            return
        yield Finding("a token in base64 is taken", encoded == 200, f"HTTP {encoded}", 1)
        yield Finding("a raw token is taken (2.1.1 must)", raw == 200 or None, f"HTTP {raw}", 1)
        yield Finding("a wrong token is HTTP 401", wrong == 401, f"HTTP {wrong}")

    def _versions(self) -> Iterator[Finding]:
        answer = self.get(self.url)
        listed = {str(entry["version"]): str(entry["url"]) for entry in dicts(self.data(answer), "version", "url")}
        common = [version for version in DIALECTS if version in listed]
        yield Finding("a version of ours is offered", bool(common), ", ".join(sorted(listed)))
        yield Finding("request ids come back", answer.headers.get("x-correlation-id") == "selftest")
        if not common:
            raise Unreadable("no common version")
        self.dialect = DIALECTS[common[0]]
        details = self.data(self.get(listed[common[0]]))
        entries = dicts(details.get("endpoints") if isinstance(details, dict) else None, "identifier", "url")
        for entry in entries:
            side = self.endpoints if str(entry.get("role", "SENDER")).upper() == "SENDER" else self.receivers
            side[str(entry["identifier"]).lower()] = str(entry["url"])
        modules = sorted({str(entry["identifier"]) for entry in entries})
        yield Finding("credentials and locations are offered", {"credentials", "locations"} <= set(modules),
                      ", ".join(modules))  # fmt: skip
        bad = [why for entry in entries if (why := refused_address(str(entry["url"])))]
        yield Finding("its addresses may be called", not bad, "; ".join(bad[:3]), 25)
        roles = all("role" in entry for entry in entries)
        yield Finding("endpoints say their side", roles or not self.dialect.has_roles)

    # --- the lists --------------------------------------------------------------------------------------------------
    def _module(self, module: str) -> Iterator[Finding]:
        url = self.endpoints.get(module)
        if url is None:
            yield Finding(f"{module}: can be read", None, "not offered")
            return
        try:
            yield from self._list(module, url)
        except Unreadable as error:
            yield Finding(f"{module}: can be read", False, str(error))

    def _list(self, module: str, url: str) -> Iterator[Finding]:
        answer = self.get(url, limit="2", date_from=LONG_AGO)
        first = self.data(answer)
        is_list = isinstance(first, list)
        yield Finding(f"{module}: is a list", is_list)
        if not is_list:
            return
        yield Finding(f"{module}: keeps the limit", len(first) <= 2, f"{len(first)} of 2")
        counts = [answer.headers.get(name, "") for name in ("x-total-count", "x-limit")]
        yield Finding(f"{module}: counts (X-Total-Count, X-Limit)", all(map(str.isdecimal, counts)))
        yield from self._pages(module, answer, first)
        later = self.data(self.get(url, date_from=FAR_AHEAD))
        yield Finding(f"{module}: keeps date_from", later in ([], None), f"{len(later or [])} objects of the year 2999")
        unknown = self.get(f"{url.rstrip('/')}/no-such-object-{uuid.uuid4().hex[:8]}")
        if module == "locations":
            yield Finding(
                "locations: an unknown one is HTTP 404", unknown.status_code == 404, f"HTTP {unknown.status_code}"
            )
        yield from self._says_no(module, url, unknown)
        wrong = self.get(url, method="PUT").status_code
        yield Finding(f"{module}: a wrong method is HTTP 405", wrong == 405, f"HTTP {wrong}")

    def _says_no(self, module: str, url: str, unknown: httpx.Response) -> Iterator[Finding]:
        """What cannot be answered is no success, whatever HTTP says (status_code 2xxx)."""
        asked = self.get(url) if module == "sessions" else unknown
        code = code_of(asked)
        if module == "sessions":
            yield Finding("sessions: want date_from", code >= 2000 if code else None, f"OCPI {code or 'none'}", 22)
        elif module == "locations":
            yield Finding("locations: an error says 2xxx", code >= 2000 if code else None, f"OCPI {code or 'none'}", 22)

    def _pages(self, module: str, answer: httpx.Response, first: list[Any]) -> Iterator[Finding]:
        """The first few pages; objects are read as a poll would."""
        seen, objects, loops = {str(answer.url)}, list(first), False
        for _ in range(PAGES):
            following = answer.links.get("next", {}).get("url", "")
            if not following or (loops := following in seen):
                break
            seen.add(following)
            answer = self.get(following)
            objects += self.data(answer) or []
        yield Finding(f"{module}: pages lead on", not loops, f"{len(objects)} objects", 9)
        refused = [why for each in objects if (why := self._refused(module, each))]
        yield Finding(f"{module}: every object can be read", not refused, "; ".join(refused[:3]), 10)
        if module == "sessions" and "next" not in answer.links:
            self.sessions = {str(each.get("id")).lower() for each in objects if isinstance(each, dict)}
        yield from self._habits(module, [each for each in objects if isinstance(each, dict)])

    def _habits(self, module: str, objects: list[dict[str, Any]]) -> Iterator[Finding]:
        """What is read all the same, and leads to trouble sooner or later."""
        ids = Counter("*".join(str(each.get(part, "")) for part in ("country_code", "party_id", "id")).lower()
                      for each in objects)  # fmt: skip
        twice = [name for name, count in ids.items() if count > 1]
        yield Finding(f"{module}: no object is listed twice", not twice, ", ".join(twice[:3]), 20)
        times = {str(each.get("last_updated", "")) for each in objects}
        odd = sorted(filter(OFFSET.search, times))
        yield Finding(f"{module}: times are UTC", not odd, ", ".join(odd[:2]), 11)
        newest = max(times, default="")
        if newest and not odd:
            again = self.data(self.get(self.endpoints[module], date_from=newest))
            yield Finding(f"{module}: date_from takes in its own moment", bool(again), newest, 9)
        yield habits.of_times(module, objects)
        if module == "locations" and objects:
            yield from self._places(objects)
            yield from habits.of_locations(objects, datetime.now(UTC))
            yield habits.addresses_in(objects, refused_address)
        if module == "sessions":
            yield from habits.of_sessions(objects)
        if module == "cdrs":
            yield from habits.of_cdrs(objects, self.sessions)

    def _places(self, objects: list[dict[str, Any]]) -> Iterator[Finding]:
        lost = [name for each in objects if (name := astray(each))]
        yield Finding("locations: coordinates are in India, latitude first", not lost, ", ".join(lost[:3]), 12)
        name = str(objects[0].get("id"))
        answer = self.get(f"{self.endpoints['locations'].rstrip('/')}/{quote(name.swapcase(), safe='')}")
        is_found = answer.status_code == 200
        yield Finding("locations: ids are found in any case", is_found, f"HTTP {answer.status_code}", 8)

    def _refused(self, module: str, raw: Any) -> str:
        assert self.dialect is not None  # noqa: S101 (set by _versions)
        kind, reader = READERS[module]
        name = str(raw.get("id")) if isinstance(raw, dict) else repr(raw)[:20]
        try:
            found = reader(self.dialect.read(kind, raw, ANYBODY))
            self._note(found)
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            return f"{name}: {place} {error.errors()[0]['msg']}"
        except (ValueError, TypeError, ArithmeticError) as error:
            return f"{name}: {error}"
        return ""

    def _note(self, found: Any) -> None:
        if isinstance(found, TariffIn):
            self.tariffs.add(found.id.lower())
        if isinstance(found, LocationIn):
            found.doc()
            plugs = [plug for evse in found.evses for plug in evse.connectors]
            self.named_tariffs |= {each.lower() for plug in plugs for each in plug.tariff_ids}
            if odd := [evse.status for evse in found.evses if evse.status not in FROM_OCPI]:
                raise ValueError(f"EVSE status {odd[0]} is no word of OCPI")

    # --- tokens and refusals ----------------------------------------------------------------------------------------
    def _whose_token(self) -> Iterator[Finding]:
        """GET credentials names the token for calls of ours, which is the one we call with (2.2.1 credentials)."""
        url, rule = (
            self.endpoints.get("credentials") or self.receivers.get("credentials"),
            "its token is the one for us",
        )
        answer = self.get(url) if url else None
        said = envelope_of(answer).get("data") if answer is not None and answer.status_code == 200 else None
        token = said.get("token") if isinstance(said, dict) else None
        if not token:
            told = (
                f"HTTP {answer.status_code}: not registered, as it should be" if answer is not None else "not offered"
            )
            yield Finding(rule, None, told, 2)
            return
        told = "" if token == self.token else "it names another token: perhaps the one that it calls us with"
        yield Finding(rule, token == self.token, told, 2)

    def _writes(self) -> Iterator[Finding]:
        """A token of ours that nobody has, changed without saying when, and with it: neither may be a success."""
        url = self.tokens_url()
        if not self.tries_writes or url is None:
            return
        address = f"{url.rstrip('/')}/{OUR_COUNTRY}/{OUR_PARTY}/SELFTEST{uuid.uuid4().hex[:12]}"
        for change, rule, pitfall in (
            ({"valid": False}, "tokens: a PATCH without last_updated is refused", 5),
            ({"valid": False, "last_updated": LONG_AGO}, "tokens: a PATCH of an unknown one is refused", 6),
        ):
            answer = self.get(address, method="PATCH", body=change, type="RFID")
            is_refused = answer.status_code >= 400 or code_of(answer) >= 2000
            yield Finding(rule, is_refused, f"HTTP {answer.status_code}, OCPI {code_of(answer) or 'none'}", pitfall)

    def tokens_url(self) -> str | None:
        """Of its tokens receiver; 2.1.1 tells no sides."""
        return self.receivers.get("tokens") or (self.endpoints.get("tokens") if not self._has_roles() else None)

    def _has_roles(self) -> bool:
        return self.dialect is not None and self.dialect.has_roles

    def _dangling(self) -> Iterator[Finding]:
        missing = sorted(self.named_tariffs - self.tariffs)
        known = self.tariffs or self.named_tariffs
        yield Finding("tariffs that plugs name exist", not missing if known else None, ", ".join(missing[:5]), 16)
