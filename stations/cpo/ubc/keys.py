"""Public keys of peers: from the registry (DeDi or an older one), kept a while, forgotten when revoked."""

import contextlib
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
from django.core.cache import cache

from stations.cpo.base import CPOError, CPOUnavailable
from stations.cpo.ubc import wire
from stations.cpo.ubc.client import exchange
from stations.cpo.ubc.models import UBCKey, UBCNetwork
from stations.cpo.ubc.signing import BadSignature

FRESH_FOR = timedelta(hours=1)
ASK_AGAIN_AFTER = timedelta(minutes=5)
USABLE_FOR = timedelta(hours=24)
"""When the registry is away, a key it gave us within a day is still believed."""
NEGATIVE_SECONDS = 60
AWAY_SECONDS = 30
"""So long a registry that did not answer is not asked again for keys that we hold, nor for any key at which it fails:
callbacks that we can check wait for nobody."""
HANGS_AT_MOST = 3
"""In that time, at names of one subscriber, and of all those together with whom we have nothing to do: each keeps a
thread for seconds. Whoever chooses such names stops nobody else's callbacks."""
STRANGERS = "*"
BUSY_SECONDS = 2
"""So long a peer waits whose key cannot be asked for while so many others are."""
LIVE = {"", "SUBSCRIBED", "LIVE", "ACTIVE"}


class RegistryBusy(Exception):
    """So many keys of this subscriber are being asked for: the same callback may be believed in BUSY_SECONDS."""


def public_key(network: UBCNetwork, subscriber_id: str, key_id: str, *, now: datetime, is_anew: bool = False) -> str:
    """The key, from the cache or the registry (`is_anew`: it did not fit, so only a very young one is kept).

    Raises RegistryBusy and BadSignature: unknown_key, registry_away. A key nobody knows is asked for once a minute, one
    at which the registry fails or hangs twice: a stranger may have chosen the names for that, so it says nothing of
    other keys.
    """
    held = network.keys.filter(subscriber_id=subscriber_id, key_id=key_id).first()
    age = ASK_AGAIN_AFTER if is_anew else FRESH_FOR
    if held and _is_usable(held, now, age):
        return held.public_key
    unknown = f"ubc-unknown-key:{network.pk}:{subscriber_id}:{key_id}"
    if held is None and _was_asked(unknown):
        raise BadSignature("unknown_key", f"The registry does not know {subscriber_id}|{key_id}.")
    try:
        record = _ask(network, subscriber_id, key_id, is_held=bool(held and _is_usable(held, now, USABLE_FOR)))
    except CPOError as error:
        if held and _is_usable(held, now, USABLE_FOR):
            return held.public_key
        raise BadSignature("registry_away", f"The registry cannot be asked: {error}"[:255]) from None
    if record is None or not record.get("key"):
        network.keys.filter(subscriber_id=subscriber_id, key_id=key_id).delete()
        _note(unknown)
        raise BadSignature("unknown_key", f"The registry does not know {subscriber_id}|{key_id}.")
    return _keep(network, subscriber_id, key_id, record, now)


def _ask(network: UBCNetwork, subscriber_id: str, key_id: str, *, is_held: bool) -> dict[str, Any] | None:
    """The registry's record, unless it failed at this key just now, or hung too often. CPOError then, and when it does.

    `is_held`: we can do without. Then a registry that is away is not waited for; no stranger can make that so.
    """
    away = f"ubc-registry-away:{network.pk}"
    failed = f"ubc-key-failed:{network.pk}:{subscriber_id}:{key_id}"
    if (is_held and _was_asked(away)) or _was_asked(failed):
        raise CPOUnavailable("it did not answer just now")
    whose = "" if is_held else _lane(network, subscriber_id)
    if whose and not _may_ask(whose):
        if not _has_hung(whose):
            raise RegistryBusy(f"{subscriber_id} calls with so many keys at once that are not known yet.")
        raise CPOUnavailable("it hung at too many names just now")
    try:
        record = lookup(network, subscriber_id, key_id)
    except CPOError as error:
        is_silent = isinstance(error, CPOUnavailable) and error.is_silent
        _note(failed, AWAY_SECONDS)
        if is_silent and is_held:
            _note(away, AWAY_SECONDS)
        elif is_silent:
            _count(_hung(whose))
        else:
            _give_back(whose)
        raise
    _give_back(whose)
    return record


def _lane(network: UBCNetwork, subscriber_id: str) -> str:
    """Those we discover with and buy from have one each, all others one together."""
    is_gateway = subscriber_id.lower() == network.gateway_id.lower()
    is_expected = is_gateway or network.items.filter(bpp_id__iexact=subscriber_id).exists()
    return f"ubc-registry-hangs:{network.pk}:{subscriber_id.lower() if is_expected else STRANGERS}"


def _may_ask(whose: str) -> bool:
    """Counted before it is asked, so that those under way count as well."""
    is_free = _count(whose) <= HANGS_AT_MOST
    if not is_free:
        _give_back(whose)
    return is_free


def _count(name: str) -> int:
    try:
        cache.add(name, 0, timeout=AWAY_SECONDS)
        return int(cache.incr(name))
    except Exception:  # without Valkey, or just run out
        return 0


def _hung(whose: str) -> str:
    return f"{whose}:hung"


def _has_hung(whose: str) -> bool:
    """Whether hangs alone use it up; else somebody is answered soon."""
    try:
        return int(cache.get(_hung(whose)) or 0) >= HANGS_AT_MOST
    except Exception:  # likewise
        return False


def _give_back(whose: str) -> None:
    """It answered."""
    if whose:
        with contextlib.suppress(Exception):
            cache.decr(whose)


def _is_usable(held: UBCKey, now: datetime, age: timedelta) -> bool:
    return held.fetched_at > now - age and (held.valid_until is None or held.valid_until > now)


def _was_asked(name: str) -> bool:
    try:
        return bool(cache.get(name))
    except Exception:  # without Valkey the registry is asked each time
        return False


def _note(name: str, seconds: int = NEGATIVE_SECONDS) -> None:
    with contextlib.suppress(Exception):  # likewise
        cache.set(name, 1, timeout=seconds)


def _keep(network: UBCNetwork, subscriber_id: str, key_id: str, record: dict[str, Any], now: datetime) -> str:
    values = {"public_key": record["key"], "url": record["url"], "valid_until": record["until"], "fetched_at": now}
    UBCKey.objects.update_or_create(network=network, subscriber_id=subscriber_id, key_id=key_id, defaults=values)
    return str(record["key"])


def lookup(network: UBCNetwork, subscriber_id: str, key_id: str) -> dict[str, Any] | None:
    """{key, url, until} of a subscriber in good standing; None when the registry knows no such key. CPOError else."""
    names = {"subscriber_id": quote(subscriber_id, safe=""), "key_id": quote(key_id, safe="")}
    url = network.registry_url
    for name, value in names.items():
        url = url.replace(f"{{{name}}}", value)
    name = f"The registry of {network.source.name}"
    status, body, _ = exchange("GET", url, name=name)
    if status in {404, 410}:
        return None
    if status >= 300:
        raise CPOError(f"http_{status}", f"{name} answers HTTP {status}.")
    try:
        return _record(orjson.loads(body), subscriber_id, key_id)
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        raise CPOError("not_a_registry", f"{name} answers with something else.") from None


def _record(answer: Any, subscriber_id: str, key_id: str) -> dict[str, Any] | None:
    """DeDi wraps a record in `data.details`; older registries answer a list of records."""
    data = answer.get("data", answer) if isinstance(answer, dict) else answer
    state = str(data.get("state") or "") if isinstance(data, dict) else ""
    rows = data if isinstance(data, list) else [data.get("details", data)]
    for row in rows:
        named = _first(row, "subscriber_id", "subscriberId"), _first(row, "key_id", "keyId", "unique_key_id", "ukId")
        is_named = named[0].lower() == subscriber_id.lower() and named[1] in {"", key_id}
        status = _first(row, "status").upper() or state.upper()
        if is_named and status in LIVE:
            key = _first(row, "signing_public_key", "signingPublicKey", "publicKey")
            return {"key": key[:120], "url": _first(row, "url", "subscriberUrl")[:400], "until": _until(row)}
    return None


def _first(row: dict[str, Any], *names: str) -> str:
    return next((str(row[name]) for name in names if row.get(name)), "")


def _until(row: dict[str, Any]) -> datetime | None:
    try:
        return wire.instant(_first(row, "valid_until", "validUntil"))
    except ValueError:
        return None
