"""Is this a certificate signing request that we would have signed? No Django, no clock."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

MIN_RSA_BITS, MIN_EC_BITS = 2048, 224  # OCPP 2.0.1 part 2 A00.FR.311 and .312


@dataclass(frozen=True)
class Checked:
    """`flaw` is empty when it may be signed."""

    subject: str
    key: str
    flaw: str


def check(pem: str, *, identity: str) -> Checked:
    """Readable, signed by its own key, the key strong enough, and the one common name is the identity."""
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        subject, key = request.subject.rfc4514_string(), _key_of(request)
        is_signed = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        return Checked("", "", f"not a readable PKCS#10 request: {error}")
    if not is_signed:
        return Checked(subject, key, "its signature is not of its own key")
    if _is_weak(request):
        return Checked(subject, key, f"the key is too weak: {key}")
    names = [str(attribute.value) for attribute in request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    if names != [identity]:
        return Checked(subject, key, "the common name must be the charger's identity")
    return Checked(subject, key, "")


def _key_of(request: x509.CertificateSigningRequest) -> str:
    key = request.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"[:30]
    return type(key).__name__.removesuffix("PublicKey")[:30]


def _is_weak(request: x509.CertificateSigningRequest) -> bool:
    key = request.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size < MIN_RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.key_size < MIN_EC_BITS
    return not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
