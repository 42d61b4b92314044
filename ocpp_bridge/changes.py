"""What has changed in the records of connected chargers: a newer socket, the registration, the key, the profile."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from django.db import connection

FINGERPRINT = 16  # characters of a key's hash: ten thousand of them are asked about every few seconds
KEY_REPLACED = "the key was replaced"
PROFILE_RAISED = "a higher security profile is needed"


# What a socket stands on: charger, epoch, registration, hash of its key ("" none was asked for, None a certificate),
# security profile. A plain tuple, as there are ten thousand of them every few seconds.
Held = tuple[int, int, str, str | None, int]


@dataclass(frozen=True, slots=True)
class Change:
    """What the record says now; `reason`: why this socket may not stay, "" when it may."""

    charger_id: int
    epoch: int
    registration: str
    reason: str


# A reason counts against the socket that was asked about, never against a newer one that the record tells of already.
_CHANGED = """
SELECT c.id, c.connection_epoch, c.registration,
       c.connection_epoch = mine.epoch AND left(c.auth_key_hash, %s) <> left(mine.credential, %s) AS has_other_key,
       c.connection_epoch = mine.epoch AND c.min_security_profile > mine.profile AS needs_more
FROM (
    SELECT (held->>0)::bigint AS id, (held->>1)::bigint AS epoch, held->>2 AS registration, held->>3 AS credential,
           (held->>4)::smallint AS profile
    FROM jsonb_array_elements(%s::jsonb) AS held
) mine
JOIN stations_charger c ON c.id = mine.id
WHERE c.connection_epoch > mine.epoch OR c.registration <> mine.registration
   OR left(c.auth_key_hash, %s) <> left(mine.credential, %s) OR c.min_security_profile > mine.profile
"""


def look_up(held: Sequence[Held]) -> list[Change]:
    """The records that say something else than their sockets stand on; one query, so ask about a thousand at a time."""
    cut = [FINGERPRINT, FINGERPRINT]
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, [*cut, orjson.dumps(held).decode(), *cut])
        return [
            Change(charger_id, epoch, registration, _reason(has_other_key, needs_more))
            for charger_id, epoch, registration, has_other_key, needs_more in cursor.fetchall()
        ]


def _reason(has_other_key: bool | None, needs_more: bool) -> str:
    if has_other_key:
        return KEY_REPLACED
    return PROFILE_RAISED if needs_more else ""
