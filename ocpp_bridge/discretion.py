"""What the command ledger may keep and show: everything but keys, passwords and the secrets in addresses (pure)."""

from typing import Any

from ocpp_bridge import redaction


def without_secrets(value: Any) -> Any:
    """Parameters, a request or an answer; tags stay readable, they belong to whoever may see the command."""
    return redaction.redact_frame(_neutral(value), _as_it_is)


def storable(value: Any) -> Any:
    """PostgreSQL keeps no NUL in JSON or text; chargers have been seen to pad with it."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return value


def _as_it_is(value: str) -> str:
    """Tags and certificates stay: the inventory (inventory.py) learns from a finished command what was installed."""
    return value


def _neutral(value: Any) -> Any:
    """Our own way to name a variable (`{"variable": ..., "value": ...}`), which no frame has."""
    if isinstance(value, list):
        return [_neutral(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _neutral(item) for name, item in value.items()}
    variable = value.get("variable")
    if "value" in value and isinstance(variable, str) and redaction.is_secret_name(variable):
        kept["value"] = redaction.REMOVED
    return kept
