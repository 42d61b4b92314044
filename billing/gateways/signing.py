"""HMAC-SHA-256 as Razorpay signs, over raw bytes, and a comparison that no header can bring down."""

import hashlib
import hmac
from collections.abc import Iterable


def signature(raw: bytes, secret: str) -> str:
    """Hex HMAC-SHA-256 of the raw body."""
    return hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def is_signed(raw: bytes, presented: bytes | str | None, secrets: Iterable[str]) -> bool:
    """Whether any of the live secrets made this signature; False for none at all and for one that is not ASCII."""
    given = presented.encode("utf-8", "replace") if isinstance(presented, str) else presented or b""
    matches = [hmac.compare_digest(signature(raw, secret).encode(), given) for secret in secrets if secret]
    return any(matches)


def is_checkout_signed(*, order_id: str, payment_id: str, presented: str, key_secret: str) -> bool:
    """What the checkout hands to the browser: HMAC of `order_id|payment_id` with the key's secret."""
    return is_signed(f"{order_id}|{payment_id}".encode(), presented, [key_secret])
