"""Identity, key and sub-protocol, in every form chargers really use."""

import base64
from typing import Any

import pytest

from fleetcharge.lib import crypto
from ocpp_bridge import handshake
from ocpp_bridge.handshake import Refused
from ocpp_bridge.throttle import MAX_KEYS, Throttle
from stations.models import Charger

KEY = "00112233445566778899aabbccddeeff"


def scope(path: bytes) -> dict[str, Any]:
    return {"raw_path": path, "path": path.decode("latin-1"), "headers": []}


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        (b"/ocpp/BLR-017", "BLR-017"),
        (b"/ocpp/BLR-017/", "BLR-017"),
        (b"/ocpp/BLR-017?x=1", "BLR-017"),
        (b"/ocpp/RDAM%7C123", "RDAM|123"),
        (b"/ocpp/a%2520b", "a%20b"),
        (b"/ocpp/%E0%B2%AC", "ಬ"),
    ],
)
def test_the_identity_is_decoded_once(path: bytes, identity: str) -> None:
    assert handshake.identity_of(scope(path)) == identity


@pytest.mark.parametrize(
    "path", [b"/ocpp/", b"/ocpp//", b"/ocpp/a%3Ab", b"/ocpp/a%0Ab", b"/ocpp/%FF", b"/ocpp/" + b"x" * 49]
)
def test_what_cannot_be_an_identity_is_refused(path: bytes) -> None:
    with pytest.raises(Refused) as refused:
        handshake.identity_of(scope(path))
    assert refused.value.status == 404


@pytest.mark.parametrize("presented", [KEY.encode(), KEY.upper().encode(), bytes.fromhex(KEY)])
@pytest.mark.parametrize("stored", [KEY, KEY.upper()])
def test_a_hexadecimal_key_is_known_in_each_form(stored: str, presented: bytes) -> None:
    assert handshake.is_key(presented, crypto.keyed_hash(stored, purpose=Charger.KEY_PURPOSE))


def test_a_text_key_is_known_by_its_digits() -> None:
    """A station may take its AuthorizationKey in hexadecimal only, and say it as it took it."""
    stored = crypto.keyed_hash("Sesame-Sesame-20-chr", purpose=Charger.KEY_PURPOSE)
    digits = b"Sesame-Sesame-20-chr".hex().encode()
    assert handshake.is_key(digits, stored)
    assert handshake.is_key(digits.upper(), stored)
    assert not handshake.is_key(digits[:-2], stored)


def test_a_text_key_is_compared_exactly() -> None:
    stored = crypto.keyed_hash("Sesame", purpose=Charger.KEY_PURPOSE)
    assert handshake.is_key(b"Sesame", stored)
    assert not handshake.is_key(b"sesame", stored)
    assert not handshake.is_key(b"", stored)


def test_credentials_split_at_the_first_colon_and_keep_raw_bytes() -> None:
    header = b"Basic " + base64.b64encode(b"BLR-017:\xff:\x00x")
    assert handshake.basic_credentials(header) == (b"BLR-017", b"\xff:\x00x")


@pytest.mark.parametrize("header", [b"", b"Bearer x", b"Basic ???", b"Basic " + base64.b64encode(b"nocolon")])
def test_other_headers_are_no_credentials(header: bytes) -> None:
    assert handshake.basic_credentials(header) is None


def test_the_clients_first_choice_wins() -> None:
    assert handshake.choose_subprotocol(["ocpp2.2", "ocpp2.0.1", "ocpp1.6"], []) == "ocpp2.0.1"
    assert handshake.choose_subprotocol(["ocpp2.1", "ocpp2.0.1"], []) == "ocpp2.1"
    assert handshake.choose_subprotocol(["ocpp2.0.1", "ocpp1.6"], ["ocpp1.6"]) == "ocpp1.6"


@pytest.mark.parametrize("offered", [[], ["ocpp2.2"], ["mqtt"]])
def test_without_a_common_protocol_there_is_no_socket(offered: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        handshake.choose_subprotocol(offered, [])
    assert refused.value.status == 400


def test_failures_are_throttled_and_forgotten_in_time() -> None:
    now = [0.0]
    throttle = Throttle(limit=2, seconds=60, clock=lambda: now[0])
    throttle.fail("a")
    assert not throttle.is_blocked("a")
    throttle.fail("a")
    assert throttle.is_blocked("a") and not throttle.is_blocked("b")
    now[0] = 60.0
    assert not throttle.is_blocked("a")


def test_the_throttle_remembers_a_bounded_number_of_strangers() -> None:
    throttle = Throttle(limit=1, seconds=60, clock=lambda: 0.0)
    for number in range(MAX_KEYS + 5):
        throttle.fail(str(number))
    assert not throttle.is_blocked("0")
    assert throttle.is_blocked(str(MAX_KEYS + 4))
