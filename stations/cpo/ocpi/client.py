"""HTTP to one OCPI 2.2.1 peer: token, headers, envelope, paging; every failure becomes a CPOError with a code."""

import base64
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import httpx

from stations.cpo.base import CPOError, CPOUnavailable
from stations.cpo.guard import check_url
from stations.cpo.ocpi.wire import now_text
from stations.models import Source

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
MAX_PAGES = 2000
OUR_COUNTRY, OUR_PARTY = "IN", "FLC"


class OCPIClient:
    """`transport` is for tests only; redirects are refused, since a peer could lead us anywhere."""

    def __init__(self, source: Source, *, transport: httpx.BaseTransport | None = None) -> None:
        self.source = source
        self._http = httpx.Client(timeout=TIMEOUT, follow_redirects=False, transport=transport)

    def __enter__(self) -> "OCPIClient":
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def call(self, method: str, url: str, *, body: object = None, token: str = "", routed: bool = True) -> Any:
        """The `data` of a successful answer. HTTP 200 with a 2xxx or 3xxx status code is a failure (pitfall 22)."""
        return self._envelope(self._send(method, url, body, token, routed)).get("data")

    def pages(self, url: str, *, since: datetime | None = None) -> Iterator[list[Any]]:
        """A list module page by page, following the Link header with a loop guard."""
        query = urlencode({"limit": 100, **({"date_from": now_text(since)} if since else {})})
        following, seen = f"{url}{'&' if '?' in url else '?'}{query}", set()
        for _ in range(MAX_PAGES):
            seen.add(following)
            answer = self._send("GET", following, None, "", True)
            yield self._envelope(answer).get("data") or []
            following = answer.links.get("next", {}).get("url", "")
            if not following or following in seen:
                return

    def _send(self, method: str, url: str, body: object, token: str, routed: bool) -> httpx.Response:
        try:
            answer = self._http.request(method, check_url(url), json=body, headers=self._headers(token, routed))
        except httpx.HTTPError as error:
            raise CPOUnavailable(f"{self.source.name} cannot be reached: {error or type(error).__name__}") from None
        if answer.status_code in {429, 502, 503, 504}:
            raise CPOUnavailable(f"{self.source.name} answers HTTP {answer.status_code}.")
        if answer.status_code >= 300:
            raise CPOError(f"http_{answer.status_code}", f"{self.source.name} answers HTTP {answer.status_code}.")
        return answer

    def _headers(self, token: str, routed: bool) -> dict[str, str]:
        secret = base64.b64encode((token or self.source.peer_token).encode()).decode()
        request_id = str(uuid.uuid4())
        headers = {"Authorization": f"Token {secret}", "X-Request-ID": request_id, "X-Correlation-ID": request_id}
        party = self.source.parties.first() if routed else None
        if party:
            headers |= {"OCPI-from-country-code": OUR_COUNTRY, "OCPI-from-party-id": OUR_PARTY,
                        "OCPI-to-country-code": party.country_code, "OCPI-to-party-id": party.party_id}  # fmt: skip
        return headers

    def _envelope(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            envelope = answer.json()
            code = int(envelope["status_code"])
        except (ValueError, KeyError, TypeError):
            raise CPOError("not_ocpi", f"{self.source.name} does not answer in OCPI.") from None
        if not 1000 <= code < 2000:
            raise CPOError(f"ocpi_{code}", f"{self.source.name}: {code} {envelope.get('status_message', '')}".strip())
        return dict(envelope)
