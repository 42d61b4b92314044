"""Scan-to-charge: what a code on a charger says (UBC Linking 1.0). Pure; ids are opaque."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

MAX_LENGTH = 1000
PROVIDER, ITEM, VERSION = "message.catalogs.items.provider.id", "message.catalogs.items.id", "version"
SUPPORTED = ("1", "1.0")


class BadCode(Exception):
    """The code cannot be used; `code` is ours: empty, too_long, unknown_scheme, unknown_action, no_item, bad_text."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True)
class ScannedCode:
    """A charger by the network's own words (`item_id`, perhaps `provider_id`), or by a web address on its sticker."""

    item_id: str = ""
    provider_id: str = ""
    address: str = ""
    version: str = ""

    @property
    def is_newer(self) -> bool:
        """A later version of the grammar: what we know of it is read, the rest is left alone."""
        return bool(self.version) and self.version not in SUPPORTED


def read(text: str) -> ScannedCode:
    """`beckn://discover?&message.catalogs.items.provider.id=..&message.catalogs.items.id=..&version=1.0`.

    The `&` behind the `?` is the standard's own. Stars and slashes of an id come as they are or percent-encoded.
    A code may be a plain web address instead (`qrIdentifier` of a catalogue). Raises BadCode.
    """
    text = text.strip()
    _check(text)
    try:
        parts = urlsplit(text)
        query = dict(reversed(parse_qsl(parts.query.lstrip("&"), max_num_fields=30)))
    except ValueError:
        raise BadCode("bad_text", "The code cannot be read.") from None
    if parts.scheme.lower() in {"http", "https"}:
        return ScannedCode(address=text)
    if parts.scheme.lower() != "beckn":
        raise BadCode("unknown_scheme", "The code is no charger's.")
    if (parts.netloc or parts.path.strip("/")).lower() != "discover":
        raise BadCode("unknown_action", "The code asks for something else than to find a charger.")
    if not query.get(ITEM, "").strip():
        raise BadCode("no_item", "The code names no charger.")
    _check(query[ITEM] + query.get(PROVIDER, ""))
    return ScannedCode(
        item_id=query[ITEM].strip(), provider_id=query.get(PROVIDER, "").strip(), version=query.get(VERSION, "").strip()
    )


def _check(text: str) -> None:
    if not text:
        raise BadCode("empty", "There is no code.")
    if len(text) > MAX_LENGTH:
        raise BadCode("too_long", "The code is too long.")
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in text):
        raise BadCode("bad_text", "The code contains what no code may contain.")


def station_of(item_id: str) -> tuple[str, str, str] | None:
    """(station, point, connector) of an id in the standard's grammar `IND*ATH*<station>*<point>*<connector>`.

    None for any other id: many networks use their own, so nothing may depend on it.
    """
    parts = item_id.split("*")
    return (parts[2], parts[3], parts[4]) if len(parts) == 5 and parts[0] == "IND" else None
