"""How a vendor's list is walked: which page comes first, and where the next one is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from stations.cpo.webhooks.paths import BadMapping, Find, Look, compiled

KNOWN = {"url", "query", "headers", "key_header", "key_prefix", "next", "page", "offset", "size", "since", "cursor"}
MAX_PAGES = 5_000


@dataclass(frozen=True)
class PollPlan:
    """Where to begin and how to go on: by a link or cursor in the body (`next`), by the Link header, by page or offset.

    `page` and `offset` name query parameters; without `size` entries a page was the last one. `since` names a query
    parameter for the time of the last poll.
    """

    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    key_header: str = "Authorization"
    key_prefix: str = ""
    following: Find | None = None
    cursor: str = ""
    page: str = ""
    offset: str = ""
    since: str = ""
    size: int = 100

    @classmethod
    def parse(cls, raw: Any) -> "PollPlan":
        """Raises BadMapping."""
        if not isinstance(raw, dict) or set(raw) - KNOWN:
            raise BadMapping(f"A poll plan is an object with {', '.join(sorted(KNOWN))}; only url must be.")
        url = raw.get("url", "")
        if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}:
            raise BadMapping("url is the address of the first page.")
        size = raw.get("size", 100)
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 5_000:
            raise BadMapping("size is how many entries a full page has, 1 to 5000.")
        if sum(name in raw for name in ("next", "page", "offset")) > 1:
            raise BadMapping("Give one of next, page and offset.")
        texts = {name: raw.get(name, "") for name in ("key_prefix", "cursor", "page", "offset", "since")}
        if any(not isinstance(text, str) for text in texts.values()):
            raise BadMapping("key_prefix, cursor, page, offset and since are texts.")
        return cls(
            url=url, query=_texts(raw.get("query", {}), "query"), headers=_texts(raw.get("headers", {}), "headers"),
            key_header=str(raw.get("key_header", "Authorization")), size=size, **texts,
            following=compiled(raw["next"], "next") if "next" in raw else None,
        )  # fmt: skip

    def first(self, since: str = "") -> str:
        """The address of the first page."""
        query = dict(self.query)
        if self.since and since:
            query[self.since] = since
        if self.page:
            query[self.page] = "1"
        if self.offset:
            query[self.offset] = "0"
        return with_query(self.url, query)

    def after(self, url: str, number: int, body: Any, entries: int, link: str) -> str:
        """The address of the page after page `number` (from 1); "" after the last one."""
        if self.following is not None:
            value = self.following(Look(body, body))
            if value is None or isinstance(value, bool | dict | list) or value == "":
                return ""
            return with_query(url, {self.cursor: str(value)}) if self.cursor else urljoin(url, str(value))
        if link:
            return urljoin(url, link)
        if entries < self.size or not (self.page or self.offset):
            return ""
        place = {self.page: str(number + 1)} if self.page else {self.offset: str(number * self.size)}
        return with_query(url, place)


def with_query(url: str, values: Mapping[str, str]) -> str:
    """The address with these parameters, in place of those of the same name."""
    if not values:
        return url
    parts = urlsplit(url)
    kept = [pair for pair in parts.query.split("&") if pair and pair.split("=", 1)[0] not in values]
    return parts._replace(query="&".join([*kept, urlencode(values)])).geturl()


def _texts(raw: Any, where: str) -> dict[str, str]:
    if not isinstance(raw, dict) or any(isinstance(value, dict | list) for value in raw.values()):
        raise BadMapping(f"{where} is an object of texts.")
    return {str(name): str(value) for name, value in raw.items()}
