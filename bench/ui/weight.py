"""Which style sheets and scripts a page makes a browser load, read from its HTML and the modules' own imports."""

import gzip
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser

IMPORT = re.compile(r"""(?:\bfrom|^import)\s*["']([^"']+)["']""", re.MULTILINE)
LATE = re.compile(r"""\bimport\(\s*["']([^"']+)["']""")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []
        self.modules: dict[str, str] = {}
        self._is_map = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._is_map = tag == "script" and values.get("type") == "importmap"
        if tag == "link" and values.get("rel") == "stylesheet":
            self.files.append(values["href"] or "")
        if tag == "script" and values.get("src"):
            self.files.append(values["src"] or "")

    def handle_data(self, data: str) -> None:
        if self._is_map:
            self.modules = json.loads(data)["imports"]

    def handle_endtag(self, tag: str) -> None:
        self._is_map = False


def loaded(html: str, read: Callable[[str], str], *, is_late_too: bool = False) -> dict[str, str]:
    """By address; `read` gives the text of one. `is_late_too`: with what comes once the page runs, the map's ground."""
    tags = _Tags()
    tags.feed(html)
    found: dict[str, str] = {}
    waiting = list(tags.files)
    while waiting:
        address = waiting.pop()
        if address not in found:
            found[address] = read(address)
            if address.endswith(".js"):
                names = IMPORT.findall(found[address]) + (LATE.findall(found[address]) if is_late_too else [])
                waiting += [tags.modules[name] for name in names if name in tags.modules]
    return found


def gzipped(texts: list[str]) -> int:
    """Bytes, each packed by itself as a server packs it."""
    return sum(len(gzip.compress(text.encode())) for text in texts)
