"""What has changed in the records of connected chargers: a newer socket, the registration, the key, the profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

FINGERPRINT = 16  # characters of a key's hash: ten thousand of them are asked about every few seconds
KEY_REPLACED = "the key was replaced"
PROFILE_RAISED = "a higher security profile is needed"


@dataclass(frozen=True, slots=True)
class Held:
    """What a socket stands on. `credential`: hash of its key, "" none was asked for, None a certificate."""

    charger_id: int
    epoch: int
    registration: str
    credential: str | None
    security_profile: int


@dataclass(frozen=True, slots=True)
class Change:
    """What the record says now; `reason`: why this socket may not stay, "" when it may."""

    charger_id: int
    epoch: int
    registration: str
    reason: str


_CHANGED = """
SELECT c.id, c.connection_epoch, c.registration,
       left(c.auth_key_hash, %s) <> mine.credential AS has_other_key, c.min_security_profile > mine.profile
FROM stations_charger c
JOIN unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::smallint[])
  AS mine(id, epoch, registration, credential, profile) ON c.id = mine.id
WHERE c.connection_epoch > mine.epoch OR c.registration <> mine.registration
   OR left(c.auth_key_hash, %s) <> mine.credential OR c.min_security_profile > mine.profile
"""


def look_up(held: Sequence[Held]) -> list[Change]:
    """The records that say something else than their sockets stand on; one query however many there are."""
    columns: list[list[Any]] = [
        [one.charger_id for one in held],
        [one.epoch for one in held],
        [one.registration for one in held],
        [None if one.credential is None else one.credential[:FINGERPRINT] for one in held],
        [one.security_profile for one in held],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, [FINGERPRINT, *columns, FINGERPRINT])
        return [
            Change(charger_id, epoch, registration, _reason(has_other_key, needs_more))
            for charger_id, epoch, registration, has_other_key, needs_more in cursor.fetchall()
        ]


def _reason(has_other_key: bool | None, needs_more: bool) -> str:
    if has_other_key:
        return KEY_REPLACED
    return PROFILE_RAISED if needs_more else ""
