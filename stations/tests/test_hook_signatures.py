"""Signature schemes of vendors, as they publish them: each with what it accepts and what it must not."""

import base64
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from stations.cpo.webhooks.signatures import BadSignature, Scheme, Signed, instant, is_from, verify

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
BODY, SECRET = b'{"a": 1}', "a secret of the vendor"
SEED = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SEED.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def mac(content: bytes, name: str = "sha256", key: bytes = SECRET.encode()) -> bytes:
    return hmac.new(key, content, name).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def push(body: bytes = BODY, path: str = "/hooks/v", **headers: str) -> Signed:
    return Signed("POST", path, {name.replace("_", "-"): value for name, value in headers.items()}, body)


STANDARD = "whsec_" + b64(b"0123456789abcdef01234567")
GOOD: dict[str, tuple[Scheme, str, Signed]] = {
    "GitHub: sha256=hex": (
        Scheme(signature_header="x-hub-signature-256"),
        SECRET,
        push(x_hub_signature_256="sha256=" + mac(BODY).hex()),
    ),
    "Shopify: base64": (Scheme(signature_header="x-hmac"), SECRET, push(x_hmac=b64(mac(BODY)))),
    "hex in capitals": (Scheme(), SECRET, push(x_signature=mac(BODY).hex().upper())),
    "old vendors: SHA-1": (Scheme(algorithm="hmac-sha1"), SECRET, push(x_signature="sha1=" + mac(BODY, "sha1").hex())),
    "SHA-512": (Scheme(algorithm="hmac-sha512"), SECRET, push(x_signature=mac(BODY, "sha512").hex())),
    "Stripe: t=,v1=, and a second one": (
        Scheme(signed="{timestamp}.{body}"),
        SECRET,
        push(x_signature=f"t={STAMP},v1={'0' * 64},v1={mac(STAMP.encode() + b'.' + BODY).hex()}"),
    ),
    "Slack: v0:time:body": (
        Scheme(signed="v0:{timestamp}:{body}", timestamp_header="x-time"),
        SECRET,
        push(x_time=STAMP, x_signature="v0=" + mac(f"v0:{STAMP}:".encode() + BODY).hex()),
    ),
    "Standard Webhooks": (
        Scheme(
            signed="{id}.{timestamp}.{body}",
            signature_header="webhook-signature",
            id_header="webhook-id",
            timestamp_header="webhook-timestamp",
        ),
        STANDARD,
        push(
            webhook_id="msg_1",
            webhook_timestamp=STAMP,
            webhook_signature="v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAA v1,"
            + b64(mac(f"msg_1.{STAMP}.".encode() + BODY, key=b"0123456789abcdef01234567")),
        ),
    ),
    "the address too": (
        Scheme(signed="{method}\n{path}\n{body}"),
        SECRET,
        push(path="/hooks/v/E1?x=1", x_signature=mac(b"POST\n/hooks/v/E1?x=1\n" + BODY).hex()),
    ),
    "Discord: Ed25519 over time and body, hex": (
        Scheme(algorithm="ed25519", signed="{timestamp}{body}", timestamp_header="x-time"),
        PUBLIC.hex(),
        push(x_time=STAMP, x_signature=SEED.sign(STAMP.encode() + BODY).hex()),
    ),
    "Ed25519 in base64": (Scheme(algorithm="ed25519"), b64(PUBLIC), push(x_signature=b64(SEED.sign(BODY)))),
    "a key in a header": (Scheme(algorithm="static", signature_header="x-api-key"), SECRET, push(x_api_key=SECRET)),
    "an OCPI token": (
        Scheme(algorithm="static", signature_header="authorization"),
        SECRET,
        push(authorization="Token " + b64(SECRET.encode())),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_it_is_believed(name: str) -> None:
    scheme, secret, signed = GOOD[name]
    assert scheme.problem() == ""
    assert verify(scheme, ["another secret", secret], signed, NOW).secret_number == 1


@pytest.mark.parametrize("name", GOOD)
def test_with_another_secret_or_none_it_is_not(name: str) -> None:
    scheme, secret, signed = GOOD[name]
    for secrets in (["another secret"], [], [""], [secret + "x"]):
        with pytest.raises(BadSignature, match="does not fit"):
            verify(scheme, secrets, signed, NOW)


@pytest.mark.parametrize("name", [name for name, (scheme, _, _) in GOOD.items() if scheme.algorithm != "static"])
@given(at=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_one_changed_bit_of_the_body_is_noticed(name: str, at: int, bit: int) -> None:
    scheme, secret, signed = GOOD[name]
    changed = bytearray(BODY)
    changed[at] ^= 1 << bit
    with pytest.raises(BadSignature):
        verify(scheme, [secret], Signed(signed.method, signed.path, signed.headers, bytes(changed)), NOW)


@pytest.mark.parametrize("name", [name for name, (scheme, _, _) in GOOD.items() if "timestamp" in scheme.covers])
@pytest.mark.parametrize(("seconds", "is_good"), [(-299, True), (299, True), (-301, False), (301, False)])
def test_a_signed_time_is_believed_for_five_minutes_either_way(name: str, seconds: int, is_good: bool) -> None:
    scheme, secret, signed = GOOD[name]
    now = NOW + timedelta(seconds=seconds)
    if is_good:
        assert verify(scheme, [secret], signed, now).sent_at == NOW
    else:
        with pytest.raises(BadSignature, match="from our clock") as refused:
            verify(scheme, [secret], signed, now)
        assert refused.value.code == "expired"


def test_a_signature_for_another_address_does_not_serve() -> None:
    scheme, secret, signed = GOOD["the address too"]
    with pytest.raises(BadSignature):
        verify(scheme, [secret], Signed("POST", "/hooks/v/E2?x=1", signed.headers, BODY), NOW)


@pytest.mark.parametrize("header", ["", "sha256=", "v1,", ",,,,", "é" * 64, "=" * 400, "t=1", "\x00" * 64])
def test_rubbish_in_the_header_is_no_signature(header: str) -> None:
    for scheme in (
        Scheme(),
        Scheme(algorithm="ed25519"),
        Scheme(algorithm="static"),
        Scheme(signed="{timestamp}{body}"),
    ):
        with pytest.raises(BadSignature):
            verify(scheme, [PUBLIC.hex()], push(x_signature=header), NOW)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"signed": "{timestamp}"}, "proves nothing"),
        ({"signed": "{body}{nonce}"}, "nonce"),
        ({"algorithm": "md5"}, "none of"),
        ({"signed": "{id}{body}"}, "which header"),
    ],
)
def test_a_scheme_that_protects_nothing_is_refused(fields: dict[str, Any], problem: str) -> None:
    assert problem in Scheme(**fields).problem()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1795255200", NOW),
        ("1795255200000", NOW),
        ("1795255200.0", NOW),
        ("2026-11-21T10:00:00Z", NOW),
        ("2026-11-21T15:30:00+05:30", NOW),
        ("2026-11-21T10:00:00", NOW),
        ("soon", None),
        ("", None),
        ("9" * 40, None),
        ("-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("nan", None),
    ],
)
def test_times_come_in_many_spellings(text: str, at: datetime | None) -> None:
    assert instant(text) == at


def test_an_address_is_in_a_network_or_not() -> None:
    assert is_from("203.0.113.9", ["203.0.113.0/24"])
    assert is_from("::ffff:203.0.113.9", ["203.0.113.0/24"])
    assert not is_from("203.0.114.9", ["203.0.113.0/24", "2001:db8::/32"])
    assert not is_from("", ["203.0.113.0/24"])
    assert is_from("", [])


def test_digests_are_those_of_the_standard() -> None:
    """RFC 4231, test case 2."""
    scheme = Scheme()
    tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    signed = push(b"what do ya want for nothing?", x_signature=tag)
    assert verify(scheme, ["Jefe"], signed, NOW).secret_number == 0
