"""Which gateway this installation talks to: the bundled emulator, until a setting names the real service."""

import functools

from django.conf import settings

from billing.gateways.base import PaymentGateway
from billing.gateways.razorpay import RazorpayGateway
from fleetcharge.lib import crypto

EMULATOR = "emulator"
EMULATOR_KEY = "rzp_emulator"


def is_emulated() -> bool:
    return settings.PAYMENT_GATEWAY != "razorpay"


def gateway() -> PaymentGateway:
    """The gateway of the settings; one per process and set of settings, so its breaker remembers."""
    key_id, key_secret = credentials()
    url = settings.PAYMENT_EMULATOR_URL if is_emulated() else settings.RAZORPAY_URL
    return _gateway(key_id, key_secret, url, settings.RAZORPAY_TIMEOUT_SECONDS)


def credentials() -> tuple[str, str]:
    """Key id and secret. The emulator's secret hangs on SECRET_KEY, so nobody can play its part from outside."""
    if is_emulated():
        return EMULATOR_KEY, crypto.keyed_hash("key", purpose="payment-emulator")
    return settings.RAZORPAY_KEY_ID, settings.RAZORPAY_KEY_SECRET


def emulated_page(kind: str, object_id: str) -> str:
    """The emulator's checkout or mandate page in a browser; '' with the real service, which has its own."""
    return f"{settings.PAYMENT_EMULATOR_URL}/{kind}/{object_id}" if is_emulated() else ""


def checkout_url() -> str:
    """Where the hosted checkout takes a form with an order: the gateway's own page, which comes back with a POST."""
    if is_emulated():
        return f"{settings.PAYMENT_EMULATOR_URL}/v1/checkout/embedded"
    return settings.RAZORPAY_CHECKOUT_URL or f"{settings.RAZORPAY_URL}/v1/checkout/embedded"


def absolute(url: str) -> str:
    """The emulator does not know by which name it is reached."""
    return f"{settings.PAYMENT_EMULATOR_URL}{url}" if is_emulated() and url.startswith("/") else url


def webhook_secrets() -> list[str]:
    """Those that a webhook may be signed with; two while one is being replaced."""
    if is_emulated():
        return [crypto.keyed_hash("webhook", purpose="payment-emulator")]
    return list(settings.RAZORPAY_WEBHOOK_SECRETS)


@functools.cache
def _gateway(key_id: str, key_secret: str, url: str, timeout_s: float) -> RazorpayGateway:
    return RazorpayGateway(key_id=key_id, key_secret=key_secret, base_url=url, timeout_s=timeout_s)
