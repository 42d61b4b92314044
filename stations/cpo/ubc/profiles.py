"""Dialects of Beckn as data: names of the context, paths of the actions, shape of an acknowledgement. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ACTIONS = ("discover", "select", "init", "confirm", "status", "update", "track", "cancel", "rating", "support")
CALLBACKS = tuple(f"on_{action}" for action in ACTIONS)
CONTEXT = (
    "version", "action", "domain", "timestamp", "ttl", "transaction_id", "message_id", "bap_id", "bap_uri", "bpp_id",
    "bpp_uri", "schema_context",
)  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """One dialect. `names` translates our snake_case context keys, `paths` actions whose address differs."""

    key: str
    version: str
    domain: str
    names: Mapping[str, str]
    paths: Mapping[str, str] = field(default_factory=dict)
    order: str = "order"
    prefix: str = "beckn:"
    is_ack_signed: bool = False

    def path_of(self, action: str) -> str:
        """`select` -> `select`; `on_rating` -> `on_rate` where the dialect says /rate."""
        prefix, base = ("on_", action[3:]) if action.startswith("on_") else ("", action)
        return prefix + self.paths.get(base, base)

    def action_of(self, path: str) -> str:
        """The other way round; '' for a path that is no action."""
        found = (action for action in (*ACTIONS, *CALLBACKS) if self.path_of(action) == path)
        return next(found, "")

    def context_out(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Our names into the dialect's."""
        return {self.names[name]: value for name, value in context.items()}

    def context_in(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The dialect's names into ours; what nobody knows is kept as it is."""
        back = {theirs: ours for ours, theirs in self.names.items()}
        return {back.get(name, name): value for name, value in context.items()}

    def message_out(self, message: Any) -> Any:
        """`beckn:` and `schema:` names lose their prefix where the dialect has none."""
        if self.prefix:
            return message
        return _bare(message)


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name.removeprefix("beckn:").removeprefix("schema:"): _bare(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_bare(entry) for entry in value]
    return value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


UBC_09 = Profile(
    key="ubc-0.9", version="2.0.0", domain="beckn.one:deg:ev-charging", names={name: name for name in CONTEXT}
)
BECKN_20_LTS = Profile(
    key="beckn-2.0-lts", version="2.0.0", domain="beckn.one:deg:ev-charging",
    names={name: _camel(name) for name in CONTEXT}, paths={"rating": "rate"}, order="contract", prefix="",
    is_ack_signed=True,
)  # fmt: skip

PROFILES = {profile.key: profile for profile in (UBC_09, BECKN_20_LTS)}
OFFERED = (UBC_09.key,)
"""What a network may be set to; 2.0 LTS follows when NBSL moves to it."""
