"""Public identifiers that are short, stable, never reused and safe to read out on the phone."""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32: no I, L, O, U


def public_id(prefix: str = "FC-IN") -> str:
    """`FC-IN-7K3M9QZX`: forty random bits; the unique constraint settles the rest."""
    return f"{prefix}-" + "".join(secrets.choice(ALPHABET) for _ in range(8))


def location_id() -> str:
    return public_id("FC-IN")


def evse_id() -> str:
    return public_id("FCE")


def connector_public_id() -> str:
    return public_id("FCC")


LONGEST_WHOLE, SHORTENED_TO = 24, 8


def short(reference: str) -> str:
    """`3f2a91c4-…` as `3f2a91c4…`: a UUID or a hash where the whole of it is one click away; what is short stays."""
    return reference if len(reference) <= LONGEST_WHOLE else f"{reference[:SHORTENED_TO]}…"
