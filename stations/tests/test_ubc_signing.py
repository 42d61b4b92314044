"""Beckn signatures: made and checked on the very bytes, with a name for everything that is wrong."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stations.cpo.ubc import qr, signing, states

# RFC 8032 section 7.1, test 1
SEED = base64.b64encode(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")).decode()
PUBLIC = base64.b64encode(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")).decode()
BODY = '{"context":{"action":"select"},"message":{"price":143.95,"word":"₹"}}'.encode()
NOW = 1_760_000_000
WHO = {"subscriber_id": "fleet.example", "key_id": "k1"}


def header(body: bytes = BODY, created: int = NOW, expires: int = NOW + 30) -> str:
    return signing.sign(body, **WHO, seed=SEED, created=created, expires=expires)


def test_the_public_key_of_a_seed_is_the_one_of_rfc_8032() -> None:
    assert signing.public_of(SEED) == PUBLIC
    assert signing.public_of(base64.b64encode(base64.b64decode(SEED) + base64.b64decode(PUBLIC)).decode()) == PUBLIC


def test_the_signing_string_is_exactly_three_lines() -> None:
    digest = base64.b64encode(hashlib.blake2b(BODY, digest_size=64).digest()).decode()
    expected = f"(created): {NOW}\n(expires): {NOW + 30}\ndigest: BLAKE-512={digest}"
    assert signing.signing_string(BODY, NOW, NOW + 30) == expected.encode()
    # BLAKE2b-512 of "abc", RFC 7693 appendix A
    assert (
        base64.b64decode(signing.digest_of(b"abc")).hex().startswith("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b7")
    )


def test_the_header_has_the_form_of_the_specification_and_another_program_can_check_it() -> None:
    text = header()
    assert text.startswith(
        'Signature keyId="fleet.example|k1|ed25519",algorithm="ed25519",created="1760000000",expires="1760000030",'
        'headers="(created) (expires) digest",signature="'
    )
    value = base64.b64decode(text.split('signature="')[1].rstrip('"'))
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC))
    key.verify(value, signing.signing_string(BODY, NOW, NOW + 30))  # raises when it is wrong


def test_what_we_sign_is_believed_with_a_raw_or_a_der_key() -> None:
    signature = signing.read(header())
    signing.check_window(signature, NOW + 10)
    signing.verify(BODY, signature, PUBLIC)
    prefix = bytes.fromhex("302a300506032b6570032100")
    signing.verify(BODY, signature, base64.b64encode(prefix + base64.b64decode(PUBLIC)).decode())


@pytest.mark.parametrize(
    "body", [BODY + b" ", BODY.replace(b"143.95", b"143.950"), BODY.replace(b'":', b'": '), b""], ids=str
)
def test_one_other_byte_is_another_message(body: bytes) -> None:
    with pytest.raises(signing.BadSignature) as refused:
        signing.verify(body, signing.read(header()), PUBLIC)
    assert refused.value.code == "wrong_signature"


@pytest.mark.parametrize("key", ["", "AAAA", PUBLIC[:-4], "not base64!", base64.b64encode(bytes(32)).decode()])
def test_a_key_that_is_none_believes_nothing(key: str) -> None:
    with pytest.raises(signing.BadSignature) as refused:
        signing.verify(BODY, signing.read(header()), key)
    assert refused.value.code == "wrong_signature"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_signature"),
        ("Bearer abc", "no_signature"),
        ("Signature ", "no_signature"),
        ('Signature keyId="fleet.example"', "bad_header"),
        (header().replace("|ed25519", "|rsa"), "wrong_algorithm"),
        (header().replace('algorithm="ed25519"', 'algorithm="hs256"'), "wrong_algorithm"),
        (header().replace("(created) (expires) digest", "digest"), "bad_header"),
        (header().replace('created="1760000000"', 'created="soon"'), "bad_header"),
        (header().replace('created="1760000000"', 'created="-5"'), "bad_header"),
        (header().replace('expires="1760000030"', 'expires="99999999999999"'), "bad_header"),
        (header()[:-3] + '%"', "bad_header"),
        (header().replace("fleet.example", "f" * 500), "bad_header"),
    ],
)
def test_a_header_that_cannot_be_read_has_a_name(text: str, code: str) -> None:
    with pytest.raises(signing.BadSignature) as refused:
        signing.read(text)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("created", "expires", "code"),
    [
        (NOW + 61, NOW + 90, "not_yet_valid"),
        (NOW - 200, NOW - 61, "expired"),
        (NOW, NOW - 1, "lives_too_long"),
        (NOW, NOW + 90_000, "lives_too_long"),
    ],
)
def test_a_signature_has_its_time(created: int, expires: int, code: str) -> None:
    with pytest.raises(signing.BadSignature) as refused:
        signing.check_window(signing.read(header(created=created, expires=expires)), NOW)
    assert refused.value.code == code


def test_an_ack_of_the_next_profile_signs_the_request_it_answers() -> None:
    ack, at = b'{"status":"ACK"}', {"created": NOW, "expires": NOW + 30}
    text = signing.sign_ack(ack, request=BODY, message_id="m1", **WHO, seed=SEED, **at)
    line = signing.ack_string(ack, **at, request=BODY, message_id="m1")
    assert line.decode().splitlines()[3:] == [
        f"(request-digest): BLAKE-512={signing.digest_of(BODY)}", "(message-id): m1",
    ]  # fmt: skip
    value = base64.b64decode(text.split('signature="')[1].rstrip('"'))
    Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC)).verify(value, line)


# --- states --------------------------------------------------------------------------------------------------------
STEPS = [
    ("on_select", "CREATED", "", "quoted"),
    ("on_init", "CREATED", "", "initialised"),
    ("on_confirm", "CONFIRMED", "PENDING", "confirmed"),
    ("on_update", "INPROGRESS", "ACTIVE", "charging"),
    ("on_status", "INPROGRESS", "INTERRUPTED", "charging"),
    ("on_update", "COMPLETED", "COMPLETED", "completed"),
]


def test_an_order_goes_its_way() -> None:
    state = "selecting"
    for action, order_status, session_status, expected in STEPS:
        state = states.advance(state, states.meant_by(action, order_status, session_status))
        assert state == expected


def test_whatever_comes_late_changes_nothing() -> None:
    for *_, state in STEPS:
        for action, order_status, session_status, meant in STEPS:
            after = states.advance(state, states.meant_by(action, order_status, session_status))
            assert after == max(state, meant, key=states.RANK.__getitem__)


@pytest.mark.parametrize("end", ["cancelled", "rejected", "completed"])
def test_what_is_over_stays_over(end: str) -> None:
    for action, order_status, session_status, _ in [*STEPS, ("on_cancel", "CANCELLED", "", "")]:
        assert states.advance(end, states.meant_by(action, order_status, session_status)) == end


def test_a_late_confirmation_is_heard_though_we_had_given_up() -> None:
    assert states.advance("failed", states.meant_by("on_confirm", "CONFIRMED", "PENDING")) == "confirmed"
    assert states.advance("charging", states.meant_by("on_cancel", "", "")) == "cancelled"
    assert states.meant_by("on_support", "", "") == states.meant_by("on_status", "", "PENDING") == ""


# --- codes on chargers -----------------------------------------------------------------------------------------------
GRAMMAR = "beckn://discover?&message.catalogs.items.provider.id={}&message.catalogs.items.id={}&version=1.0"


@pytest.mark.parametrize(
    "item", ["IND*ATH*S1*P2*C3", "IND*ecopower-charging*cs-01*IN*ECO*BTM*01*CCS2*A*CCS2-A", "anything at all/1"]
)
def test_a_code_names_a_connector_and_its_id_is_opaque(item: str) -> None:
    from urllib.parse import quote

    for text in (GRAMMAR.format("ather", item), GRAMMAR.format("ather", quote(item, safe=""))):
        code = qr.read(f"  {text}\n")
        assert (code.item_id, code.provider_id, code.is_newer) == (item, "ather", False)
    assert qr.read(GRAMMAR.format("ather", item).replace("?&", "?")).item_id == item
    assert qr.read(GRAMMAR.format("ather", item).replace("1.0", "2.0")).is_newer


def test_only_the_grammar_has_a_station_in_it() -> None:
    assert qr.station_of("IND*ATH*S1*P2*C3") == ("S1", "P2", "C3")
    assert qr.station_of("IND*ecopower-charging*cs-01*IN*ECO*BTM*01*CCS2*A*CCS2-A") is None


def test_a_web_address_on_a_sticker_is_a_code_too() -> None:
    assert qr.read("https://charge.ecopower.in/cs01-ccs2").address == "https://charge.ecopower.in/cs01-ccs2"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("x" * 1001, "too_long"),
        ("javascript:alert(1)", "unknown_scheme"),
        ("upi://pay?pa=a@b", "unknown_scheme"),
        ("beckn://select?message.catalogs.items.id=1", "unknown_action"),
        ("beckn://discover", "no_item"),
        ("beckn://discover?&message.catalogs.items.id=%20", "no_item"),
        ("beckn://discover?&message.catalogs.items.id=a%00b", "bad_text"),
        ("beckn://[", "bad_text"),
        ("beckn://discover?" + "&a=1" * 40, "bad_text"),
        ("a\x00b", "bad_text"),
    ],
)
def test_a_code_that_is_none_has_a_name(text: str, code: str) -> None:
    with pytest.raises(qr.BadCode) as refused:
        qr.read(text)
    assert refused.value.code == code
