"""XML of strangers: no document type, no entities, a bounded size and depth; then a plain tree. Pure."""

from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from billing.utility.green_button.words import BadFeed

MOST_BYTES, MOST_DEPTH, PIECE = 25_000_000, 40, 1 << 16


def parse(data: bytes) -> Element:
    """The root. Names are `{namespace}name`. Raises BadFeed: too_large, entities_forbidden, too_deep, not_xml."""
    if len(data) > MOST_BYTES:
        raise BadFeed("too_large", f"The file has more than {MOST_BYTES // 1_000_000} MB.")
    tree = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    depth = 0

    def forbid(*_: Any) -> int:
        raise BadFeed("entities_forbidden", "The file declares a document type or entities.")

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MOST_DEPTH:
            raise BadFeed("too_deep", f"Elements lie more than {MOST_DEPTH} deep.")
        tree.start(_name(name), {_name(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        tree.end(_name(name))

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = forbid
    parser.UnparsedEntityDeclHandler = parser.ExternalEntityRefHandler = forbid
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = tree.data
    parser.buffer_text = True
    try:
        for at in range(0, len(data), PIECE):
            parser.Parse(data[at : at + PIECE], False)
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, BadFeed):
            raise
        raise BadFeed("not_xml", f"The file is no XML: {error}") from error
    return tree.close()


def _name(name: str) -> str:
    return "{" + name if "}" in name else name
