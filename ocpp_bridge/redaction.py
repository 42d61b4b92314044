"""What may be kept of a frame: tags become keyed hashes that still compare, secrets are taken out (pure)."""

import re
from collections.abc import Callable
from typing import Any

import orjson

REMOVED = "[removed]"
TAG_KEYS = frozenset({"idtag", "parentidtag", "idtoken", "additionalidtoken"})
SECRET_KEYS = frozenset({"exirequest", "exiresponse", "apnusername", "signedmeterdata", "customeridentifier"})
SECRET_NAMES = re.compile(r"authorizationkey|basicauth|passw|passphrase|secret|psk|simpin|privatekey|credential", re.I)
NAME_KEYS = ("key", "name")
VALUE_KEYS = ("value", "attributeValue")

# What a frame must contain (in lower case) before it is worth reading: one frame in ten has any of it.
_MARKS = (
    "idtag", "idtoken", "passw", "authorization", "basicauth", "secret", "psk", "simpin", "credential", "://", "ocmf",
    "signedmeterdata", "exirequest", "private", "\\u", "customer", "certificate\"", "passphrase", "\"data\"",
)  # fmt: skip
_PEM_PRIVATE = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S)
_URL_SECRETS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)(?:[^\s/@\"]+@)?([^\s/?#\"]+)([^\s\"]*)")
_QUOTED = re.compile(r'"[^"]*"')
_OCMF_ID = re.compile(r'("ID"\s*:\s*")([^"]+)(")')
_TAG_IN_TEXT = re.compile(r'(?i)("(?:parent)?id_?tag"|"(?:additional|group)?idtoken")\s*:\s*"([^"]*)"?')
_SECRET_IN_TEXT = re.compile(
    r"(?i)(authorizationkey|basicauthpassword|password|passphrase|secret|privatekey).{0,200}", re.S
)

Hash = Callable[[str], str]


def needs_reading(text: str) -> bool:
    """May the text hold a tag or a secret? Cheap, and rather yes than no."""
    lowered = text.lower()
    return any(mark in lowered for mark in _MARKS)


def redact_frame(frame: Any, hash_tag: Hash) -> Any:
    """The parsed frame without secrets; [2, id, action, payload] and its answers keep their first elements."""
    if not isinstance(frame, list):
        return _redact(frame, hash_tag, "")
    kept = [*frame[:1], *(_redact(part, hash_tag, "") for part in frame[1:])]
    if (
        frame[2:3] == ["NotifyCustomerInformation"]
        and len(kept) > 3
        and isinstance(kept[3], dict)
        and "data" in kept[3]
    ):
        kept[3]["data"] = REMOVED  # words about a person, in any form (OCPP 2.0.1 part 2 N09)
    if frame[:1] == [4] and len(kept) > 3 and isinstance(kept[3], str):
        kept[3] = _QUOTED.sub('"…"', kept[3])  # validators quote the value that did not fit
    return kept


def redact_text(text: str, hash_tag: Hash) -> str:
    """For what is no JSON: everything that looks like a tag or a secret goes, word by word."""
    text = _PEM_PRIVATE.sub(REMOVED, text)
    text = _TAG_IN_TEXT.sub(lambda match: f'{match[1]}:"{hash_tag(match[2])}"', text)
    return _SECRET_IN_TEXT.sub(rf"\1 {REMOVED}", _without_url_secrets(text))


def is_secret_name(name: str) -> bool:
    """Is this the name of a configuration key or variable whose value nobody may see?"""
    return bool(SECRET_NAMES.search(name))


def _redact(value: Any, hash_tag: Hash, key: str) -> Any:
    if isinstance(value, dict):
        return _redact_section(value, hash_tag)
    if isinstance(value, list):
        return [_redact(item, hash_tag, key) for item in value]
    if isinstance(value, str):
        return _redact_string(value, hash_tag, key)
    if key in TAG_KEYS and isinstance(value, int) and not isinstance(value, bool):
        return hash_tag(str(value))
    return value


def _redact_section(section: dict[str, Any], hash_tag: Hash) -> dict[str, Any]:
    kept = {name: _redact(value, hash_tag, name.lower()) for name, value in section.items()}
    if "password" in section and "key" in section:  # the VPN of SetNetworkProfile
        kept["key"] = REMOVED
    if _names_a_secret(section):
        for name in section:
            if name in VALUE_KEYS:
                kept[name] = REMOVED
            elif name == "variableAttribute" and isinstance(section[name], list):
                kept[name] = [{**part, "value": REMOVED} if isinstance(part, dict) else REMOVED for part in kept[name]]
    return kept


def _names_a_secret(section: dict[str, Any]) -> bool:
    """{"key": "AuthorizationKey", ...} of 1.6, {"variable": {"name": "BasicAuthPassword"}, ...} of 2.x."""
    variable = section.get("variable")
    names = [section.get(name) for name in NAME_KEYS] + [variable.get("name") if isinstance(variable, dict) else None]
    return any(isinstance(name, str) and is_secret_name(name) for name in names)


def _redact_string(value: str, hash_tag: Hash, key: str) -> str:
    if key in TAG_KEYS:
        return hash_tag(value) if value else value
    if key in SECRET_KEYS or SECRET_NAMES.search(key):
        return REMOVED
    if key == "certificate" and "BEGIN CERTIFICATE" in value:  # a contract certificate names its holder
        hashed = hash_tag(value)
        return value if hashed == value else f"[certificate {hashed}]"
    if key == "data" and value[:1] in {"{", "["}:
        return _redact_nested(value, hash_tag)
    if value.startswith("OCMF|"):
        return _OCMF_ID.sub(lambda match: match[1] + hash_tag(match[2]) + match[3], value)
    if "PRIVATE KEY" in value:
        return _PEM_PRIVATE.sub(REMOVED, value)
    return _without_url_secrets(value) if "://" in value else value


def _redact_nested(value: str, hash_tag: Hash) -> str:
    """DataTransfer carries JSON inside a string."""
    try:
        return orjson.dumps(_redact(orjson.loads(value), hash_tag, "")).decode()
    except orjson.JSONDecodeError:
        return redact_text(value, hash_tag)


def _without_url_secrets(text: str) -> str:
    """`ftp://user:pass@host/a?token=b` -> `ftp://host/…`: upload addresses are secrets in themselves."""
    return _URL_SECRETS.sub(lambda match: f"{match[1]}{match[2]}{'/…' if len(match[3]) > 1 else match[3]}", text)
