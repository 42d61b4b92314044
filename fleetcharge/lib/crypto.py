"""Secrets: keyed hashes for what we only compare, encryption for what we must send again."""

import base64
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet
from django.conf import settings


def keyed_hash(secret: str | bytes, *, purpose: str) -> str:
    """HMAC-SHA-256 of a high-entropy secret, as hex. Microseconds, where a password hash costs 0.2 s."""
    raw = secret.encode() if isinstance(secret, str) else secret
    return hmac.digest(f"{purpose}:{settings.SECRET_KEY}".encode(), raw, "sha256").hex()


def matches(secret: str | bytes, stored_hash: str, *, purpose: str) -> bool:
    """Constant-time comparison of a presented secret with its stored keyed hash."""
    return hmac.compare_digest(keyed_hash(secret, purpose=purpose), stored_hash)


def new_token(length_bytes: int = 24) -> str:
    """A URL-safe random secret."""
    return secrets.token_urlsafe(length_bytes)


def encrypt(plain: str) -> str:
    """Encrypt a peer's secret for storage."""
    return _fernet().encrypt(plain.encode()).decode() if plain else ""


def decrypt(stored: str) -> str:
    """The secret again; raises cryptography.fernet.InvalidToken when SECRET_KEY changed."""
    return _fernet().decrypt(stored.encode()).decode() if stored else ""


def _fernet() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"fernet:{settings.SECRET_KEY}".encode()).digest()))
