"""HTTP to one OCPI peer: token, headers, envelope, paging; every failure becomes a CPOError with a code."""

import base64
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urljoin

import httpx
import orjson

from fleetcharge.lib import exchanges
from stations.cpo.base import CPOError, CPOUnavailable
from stations.cpo.guard import check_url, same_origin
from stations.cpo.ocpi import pacing
from stations.cpo.ocpi.dialects import dialect_of
from stations.cpo.ocpi.directory import OUR_COUNTRY, OUR_PARTY
from stations.cpo.ocpi.objects.base import now_text
from stations.cpo.peer_words import peer_words
from stations.cpo.unreachable import unreachable
from stations.models import Source

MAX_SECONDS = 60.0
"""For one whole answer, however it comes."""
LONGEST_SECONDS = 1800.0
"""For all calls of one client: a peer whose every answer takes a minute is left before its last one."""
MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_PAGES = 2000


@dataclass(frozen=True)
class Reply:
    """A whole answer, read within its limits. `following` is the address of the next page, or ""."""

    body: bytes
    following: str = ""
    total: int = 0


class OCPIClient:
    """`transport` is for tests only; redirects are refused, since a peer could lead us anywhere.

    `sends_raw`: the token goes as it is (2.1.1, and some later peers), not in base64. `seconds`: how long one answer
    may take, where somebody waits for it.
    """

    def __init__(
        self, source: Source, *, transport: httpx.BaseTransport | None = None, sends_raw: bool | None = None,
        seconds: float | None = None,
    ) -> None:  # fmt: skip
        self.source, self.dialect = source, dialect_of(source.ocpi_version)
        self.sends_raw = source.sends_raw_token if sends_raw is None else sends_raw
        self._http = exchanges.client(seconds=seconds or MAX_SECONDS, transport=transport)
        self._ends_at = time.monotonic() + LONGEST_SECONDS
        self._has_ended, self._secrets = True, ("", "")
        self.promised = 0
        """X-Total-Count of the list that is being read; 0: it does not say."""
        self.is_whole = True
        """Whether the list that was read last was read to its end."""

    def __enter__(self) -> "OCPIClient":
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def call(
        self, method: str, url: str, *, body: object = None, token: str = "", routed: bool = True,
        query: Mapping[str, object] | None = None,
    ) -> Any:  # fmt: skip
        """The `data` of a successful answer. HTTP 200 with a 2xxx or 3xxx status code is a failure (pitfall 22)."""
        if query:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
        return self._envelope(self._send(method, url, body, token, routed)).get("data")

    def pages(self, url: str, *, since: datetime | None = None, **query: str) -> Iterator[list[Any]]:
        """A list module page by page, flat in memory.

        An object that changes while we read moves to the end, and its neighbour slips over a page border unseen (OCPI
        issue 373). When fewer objects came than X-Total-Count promised, the list is therefore walked once more. A list
        whose Links go in a circle, or never end, before everything promised has come is not whole.
        """
        asked = urlencode({"limit": 100, **({"date_from": now_text(since)} if since else {}), **query})
        first = f"{url}{'&' if '?' in url else '?'}{asked}"
        seen: set[str] = set()
        self.promised = 0
        for _ in range(2):
            pages, promised, unnamed = 0, 0, 0
            for entries, total in self._walk(first):
                pages, promised = pages + 1, max(promised, total)
                self.promised = promised
                names = [_name(entry) for entry in entries]
                seen.update(filter(None, names))
                unnamed += names.count("")
                yield entries
            has_all = len(seen) + unnamed >= promised
            self.is_whole = self._has_ended or (has_all and promised > 0)
            if pages < 2 or has_all:
                return

    def _walk(self, first: str) -> Iterator[tuple[list[Any], int]]:
        """(entries, X-Total-Count) of each page. A Link that loops or leads to another host is not followed; an empty
        page is the last one, unless more was promised.
        """
        following, seen, read, self._has_ended = first, set(), 0, False
        for _ in range(MAX_PAGES):
            seen.add(following)
            reply = self._send("GET", following, None, "", True)
            entries = self._envelope(reply).get("data") or []
            if not isinstance(entries, list):
                raise CPOError("not_ocpi", f"{self.source.name} answers a list with something else.")
            yield entries, reply.total
            read += len(entries)
            self._has_ended = not reply.following or (not entries and read >= reply.total)
            if self._has_ended or reply.following in seen:
                return
            if not same_origin(reply.following, first):
                raise CPOError("hostile_url", f"{self.source.name} links its next page at another host.")
            following = reply.following

    def _send(self, method: str, url: str, body: object, token: str, routed: bool) -> Reply:
        target = check_url(url)
        if time.monotonic() > self._ends_at:
            raise CPOUnavailable(f"{self.source.name} takes longer than {LONGEST_SECONDS:.0f} s for all of it.")
        pacing.wait_for_turn(self.source)
        headers = {**self._headers(token, routed), **target.headers}
        try:
            with self._http.stream(
                method, target.url, json=body, headers=headers, extensions=dict(target.extensions)
            ) as answer:
                self._check(answer)
                link = answer.links.get("next", {}).get("url", "")
                return Reply(self._read(answer), urljoin(url, link) if link else "", _number(answer, "X-Total-Count"))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(self.source.name, error) from None

    def _check(self, answer: httpx.Response) -> None:
        text = f"{self.source.name} answers HTTP {answer.status_code}."
        if answer.status_code in {429, 502, 503, 504}:
            raise CPOUnavailable(text, retry_after_seconds=_number(answer, "Retry-After"))
        if answer.status_code >= 300:
            raise CPOError(f"http_{answer.status_code}", text)

    def _read(self, answer: httpx.Response) -> bytes:
        """All of it, unless it is endless."""
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise CPOError("too_large", f"{self.source.name} answers with more than {MAX_ANSWER_BYTES} bytes.")
        return bytes(body)

    def _headers(self, token: str, routed: bool) -> dict[str, str]:
        plain = token or self.source.peer_token
        if not plain:
            raise CPOError("no_token", f"{self.source.name} has given us no token yet.")
        encoded = base64.b64encode(plain.encode()).decode()
        self._secrets, secret = (plain, encoded), plain if self.sends_raw else encoded
        request_id = str(uuid.uuid4())
        headers = {"Authorization": f"Token {secret}", "X-Request-ID": request_id, "X-Correlation-ID": request_id}
        party = self.source.parties.first() if routed and self.dialect.has_routing else None
        if party:
            headers |= {"OCPI-from-country-code": OUR_COUNTRY, "OCPI-from-party-id": OUR_PARTY,
                        "OCPI-to-country-code": party.country_code, "OCPI-to-party-id": party.party_id}  # fmt: skip
        return headers

    def _envelope(self, reply: Reply) -> dict[str, Any]:
        try:
            envelope = orjson.loads(reply.body)
            code = int(envelope["status_code"])
        except (ValueError, KeyError, TypeError):
            raise CPOError("not_ocpi", f"{self.source.name} does not answer in OCPI.") from None
        if not 1000 <= code < 2000:
            said = peer_words(envelope.get("status_message") or "", *self._secrets)
            raise CPOError(f"ocpi_{code}", f"{self.source.name}: {code} {said}".strip())
        return dict(envelope)


def _name(entry: Any) -> str:
    """What makes an object of a list unique; "" for something that is no object."""
    if not isinstance(entry, dict) or "id" not in entry:
        return ""
    return "*".join(str(entry.get(part, "")) for part in ("country_code", "party_id", "id")).lower()


def _number(answer: httpx.Response, header: str) -> int:
    text = answer.headers.get(header, "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0
