"""How a vendor's JSON is read: a mapping that people write in the admin, not a program. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stations import status
from stations.cpo.documents import LocationDoc
from stations.cpo.webhooks import signatures
from stations.cpo.webhooks.paths import BadMapping, Find, Look, compiled
from stations.cpo.webhooks.sites import BadEntry, SiteMapping, key, named

MAX_ENTRIES = 5_000
PATHS = {"entries", "sent_at", "event_id", "evse", "site", "status", "at"}
CONDITIONS = {"only", "deleted", "complete"}
SHOWN = frozenset(status.FROM_OCPP.values()) | {status.UNKNOWN}
OTHERS = {
    "free": "available", "idle": "available", "ready": "available", "busy": "occupied", "in_use": "charging",
    "offline": "unknown", "disconnected": "unknown", "error": "faulted", "out_of_order": "faulted",
    "out_of_service": "faulted", "maintenance": "unavailable", "booked": "reserved",
}  # fmt: skip
WORDS = {
    word.lower(): meant
    for table in (OTHERS, status.FROM_OCPP, status.FROM_OCPI, {word: word for word in SHOWN})
    for word, meant in table.items()
}


@dataclass(frozen=True)
class StatusWord:
    """One EVSE's word. `at` None: the vendor does not say when. `is_understood` False: nobody knows the word."""

    evse: str
    site: str
    raw_status: str
    status: str
    at: datetime | None
    is_understood: bool = True

    @property
    def key(self) -> str:
        """How the registry calls the EVSE; without its site a vendor's EVSE ids must be unique."""
        return f"{self.site}*{self.evse}" if self.site else self.evse


@dataclass(frozen=True)
class Entry:
    """What an entry of a push says: a status, a site, or nothing usable (`code` and `detail` say why).

    `subject` is what the vendor calls that of which nothing usable is said, where it says so much.
    """

    index: int
    status: StatusWord | None = None
    site: LocationDoc | None = None
    is_deleted: bool = False
    code: str = ""
    detail: str = ""
    subject: str = ""


@dataclass(frozen=True)
class Reading:
    """A whole push or page. `is_complete`: what it does not name is unknown from now on (OICP's fullLoad)."""

    entries: Sequence[Entry]
    event_id: str = ""
    sent_at: datetime | None = None
    is_complete: bool = False

    @property
    def has_times(self) -> bool:
        """It says when, so a copy of it changes nothing later."""
        if self.sent_at is not None:
            return True
        times = [entry.status.at for entry in self.entries if entry.status]
        return bool(times) and all(times)


Condition = tuple[tuple[Find, frozenset[str]], ...]


@dataclass(frozen=True)
class FeedMapping:
    """A mapping that has been understood; see docs/networks.md for what may stand in it."""

    find: Mapping[str, Find]
    when: Mapping[str, Condition] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    location: SiteMapping | None = None

    @classmethod
    def parse(cls, raw: Any) -> "FeedMapping":
        """Raises BadMapping, which names the line that is wrong."""
        if not isinstance(raw, dict):
            raise BadMapping("A mapping is a JSON object.")
        if strange := set(raw) - PATHS - CONDITIONS - {"words", "location"}:
            raise BadMapping(f"{min(strange)} is nothing a mapping knows.")
        find = {name: compiled(raw[name], name) for name in PATHS & set(raw)}
        location = SiteMapping.parse(raw["location"]) if "location" in raw else None
        if location is None and not {"evse", "status"} <= set(find):
            raise BadMapping("Say where evse and status stand, or where a location does.")
        when = {name: _condition(raw[name], name) for name in CONDITIONS & set(raw)}
        return cls(find, when, _words(raw.get("words", {})), location)

    def read(self, body: Any, path: tuple[str, ...] = ()) -> Reading:
        """Every entry of a push, the broken ones with their reason. Raises BadEntry when there are none to look at."""
        root = Look(body, body, path)
        entries = self.find["entries"](root) if "entries" in self.find else body
        if isinstance(entries, dict):
            entries = [entries]
        if not isinstance(entries, list):
            raise BadEntry("no_entries", "There are no entries where the mapping says they are.")
        if len(entries) > MAX_ENTRIES:
            raise BadEntry("too_many_entries", f"{len(entries)} entries are more than {MAX_ENTRIES}.")
        return Reading(
            entries=[self._entry(index, Look(entry, body, path, entry)) for index, entry in enumerate(entries)],
            event_id=named(self._value("event_id", root)),
            sent_at=instant(self._value("sent_at", root), "sent_at"),
            is_complete=self._is("complete", root),
        )

    def _entry(self, index: int, look: Look) -> Entry:
        try:
            if "only" in self.when and not self._is("only", look):
                return Entry(index, code="ignored")
            is_deleted = self._is("deleted", look)
            if self.location and self.location.is_at(look) and not is_deleted:
                return Entry(index, site=self.location.read(look, self.meaning))
            return Entry(index, status=self._status(look, is_deleted), is_deleted=is_deleted)
        except BadEntry as error:
            return Entry(index, code=error.code, detail=str(error), subject=self._subject(look))

    def _subject(self, look: Look) -> str:
        """The site's id, or the EVSE's as the registry knows it; "" when that cannot be read either."""
        try:
            if self.location and self.location.is_at(look):
                return self.location.name(look)
            site, evse = key(self._value("site", look)), key(self._value("evse", look))
        except BadEntry:
            return ""
        return f"{site}*{evse}" if site and evse else evse

    def _status(self, look: Look, is_deleted: bool) -> StatusWord:
        evse = key(self._value("evse", look))
        if not evse:
            raise BadEntry("no_evse", "There is no EVSE where the mapping says it is.")
        site, at = key(self._value("site", look)) or "", instant(self._value("at", look), "at")
        if is_deleted:
            return StatusWord(evse, site, "REMOVED", status.UNAVAILABLE, at)
        raw, shown = self.meaning(self._value("status", look))
        if not raw:
            raise BadEntry("no_status", "There is no status where the mapping says it is.")
        return StatusWord(evse, site, raw, shown or status.UNKNOWN, at, bool(shown))

    def meaning(self, value: Any) -> tuple[str, str]:
        """(the vendor's word, ours); ours is "" for a word that nobody knows, both for something that is no word."""
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, str | int) or not (word := str(value).replace("\0", "").strip()):
            return "", ""
        plain = word.lower()
        return word[:30], self.words.get(plain) or WORDS.get(plain) or WORDS.get(plain.replace(" ", "_"), "")

    def _value(self, name: str, look: Look) -> Any:
        find = self.find.get(name)
        return find(look) if find else None

    def _is(self, name: str, look: Look) -> bool:
        conditions = self.when.get(name, ())
        return bool(conditions) and all(_text(find(look)) in wanted for find, wanted in conditions)


def instant(value: Any, where: str) -> datetime | None:
    """Seconds or milliseconds since 1970, or ISO 8601 (no offset is UTC). Raises BadEntry for anything else."""
    if value is None or value == "":
        return None
    at = signatures.instant(str(value)) if isinstance(value, str | int | float) and value is not True else None
    if at is None or not datetime(1970, 1, 1, tzinfo=UTC) <= at < datetime(2200, 1, 1, tzinfo=UTC):
        raise BadEntry("bad_time", f"{where}: {str(value)[:40]!r} is no time.")
    return at


def _words(raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict) or any(not isinstance(word, str) for word in raw.values()):
        raise BadMapping("words is an object: the vendor's word, and ours.")
    if strange := set(raw.values()) - SHOWN:
        raise BadMapping(f"words: {min(strange)} is none of {', '.join(sorted(SHOWN))}.")
    return {str(word).strip().lower(): meant for word, meant in raw.items()}


def _condition(raw: Any, where: str) -> Condition:
    if not isinstance(raw, dict) or not raw:
        raise BadMapping(f'{where} is an object: a path, and a list of values, as {{"eventType": ["deleted"]}}.')
    if any(not isinstance(values, list) or not values for values in raw.values()):
        raise BadMapping(f"{where}: each path has a list of values.")
    return tuple((compiled(path, where), frozenset(map(_text, values))) for path, values in raw.items())


def _text(value: Any) -> str:
    """As conditions compare: without case, True as true."""
    return str(value).strip().lower()
