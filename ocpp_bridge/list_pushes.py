"""From the list a charger has to the list it should have, in messages it can take. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]  # as `SendLocalList` takes it: id_token, token_type, status, expires_at, group_id
Entries = Mapping[str, Entry]  # by the token in lower case: tokens compare without case
MAX_ID_TAG = 20  # OCPP 1.6 CiString20Type
TOP_VERSION = 2**31 - 1


@dataclass(frozen=True)
class Push:
    """One SendLocalList; `update` is full or differential, `version` the list's after it."""

    version: int
    update: str
    entries: list[Entry]


def pushes(wanted: Entries, there: Entries | None, *, version: int, limit: int) -> list[Push]:
    """The messages that turn `there` (None: unknown) into `wanted`; none when nothing is missing.

    At most `limit` entries each. A full update replaces everything, so it comes first and the rest follows as
    differential ones, each with a version of its own above `version` (OCPP 1.6 section 5.15).
    """
    if there is not None and dict(there) == dict(wanted):
        return []
    full = _parts(list(wanted.values()), limit) or [[]]
    changes = _parts(_changes(wanted, there), limit) if there else None
    is_full = changes is None or len(full) < len(changes)
    parts = full if changes is None or is_full else changes
    first = version if version + len(parts) < TOP_VERSION else 0
    return [
        Push(first + number, "full" if is_full and number == 1 else "differential", part)
        for number, part in enumerate(parts, start=1)
    ]


def after(there: Entries | None, push: Push) -> dict[str, Entry] | None:
    """What the charger has once it took `push`; None: still unknown."""
    if there is None and push.update != "full":
        return None
    known = {} if push.update == "full" or there is None else dict(there)
    for entry in push.entries:
        key = entry["id_token"].lower()
        if entry.get("status"):
            known[key] = entry
        else:
            known.pop(key, None)
    return known


def digest(entries: Entries) -> str:
    """32 hex digits; the same for the same list in any order."""
    text = json.dumps(sorted(entries.items()), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _changes(wanted: Entries, there: Entries) -> list[Entry]:
    """An entry without status takes the token off the list; these come first, to make room."""
    gone = [
        {"id_token": there[key]["id_token"], "token_type": there[key]["token_type"]} for key in there.keys() - wanted
    ]
    changed = [entry for key, entry in wanted.items() if there.get(key) != entry]
    return sorted(gone, key=lambda entry: str(entry["id_token"])) + changed


def _parts(entries: Sequence[Entry], limit: int) -> list[list[Entry]]:
    size = max(limit, 1)
    return [list(entries[start : start + size]) for start in range(0, len(entries), size)]
