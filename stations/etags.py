"""ETags that are never wrong: each holds the snapshot its answer was read in, so also a change that was committed late
counts, whatever its number or its clock says."""

from fleetcharge.lib.db import fetch_prepared, in_one_line
from stations import changes

IS_UNCHANGED = in_one_line(changes.IS_UNCHANGED)


def matching(if_none_match: str, asked: str) -> str:
    """The snapshot of the ETag among these that is about the same question, or ''.

    The minute is part of the question, because freshness decays.
    """
    for tag in if_none_match.split(","):
        snapshot, _, question = tag.strip().removeprefix("W/").strip('"').rpartition("/")
        snapshot = snapshot.replace(".", ",")
        if question == _core(asked) and changes.is_cursor(snapshot):
            return snapshot
    return ""


def look(known: str) -> tuple[str, bool]:
    """The snapshot of now, and whether nothing public has changed since `known` ('' for never). One query."""
    query, parameters = (IS_UNCHANGED, {"since": known}) if known else (changes.NOW, None)
    [[now, *is_unchanged]] = fetch_prepared(query, parameters)
    return now, is_unchanged == [True]


def write(snapshot: str, asked: str) -> str:
    """A weak ETag; commas would end it in a list of ETags."""
    return f'W/"{snapshot.replace(",", ".")}/{_core(asked)}"'


def _core(asked: str) -> str:
    return asked.removeprefix("W/").strip('"')
