"""Who signs the certificates of chargers: nobody by default, the operator's own CA when its key is given."""

import functools
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings

BACKDATED = timedelta(minutes=10)  # station clocks run behind
KINDS = frozenset({"ChargingStationCertificate"})
"""What the CA of our chargers signs. V2G certificates (V2GCertificate, V2G20Certificate) are another CA's."""
PEM = serialization.Encoding.PEM
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


class CannotSign(Exception):
    """The signer has no key that works, or will not sign this."""


class CertificateSigner(Protocol):
    """Turns a checked certificate signing request into a chain of PEM certificates, the new one first."""

    def sign(self, *, csr_pem: str, identity: str, now: datetime) -> str:
        """Raises CannotSign."""
        ...


class LocalSigner:
    """The operator's CA on this machine: a key and its certificate (with those above it), both PEM."""

    def __init__(self, key_pem: bytes, chain_pem: bytes, days: int) -> None:
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, Key):
            raise CannotSign("This kind of CA key cannot sign certificates.")
        self._key, self._days = key, days
        self._chain = x509.load_pem_x509_certificates(chain_pem)
        if self._chain[0].public_key() != key.public_key():
            raise CannotSign("The CA's certificate and key do not belong together.")

    def sign(self, *, csr_pem: str, identity: str, now: datetime) -> str:
        """Only the public key is taken from the request; whose it is and what it may be used for is ours to say."""
        issuer = self._chain[0]
        ends_at = min(now + timedelta(days=self._days), issuer.not_valid_after_utc)
        if ends_at <= now:
            raise CannotSign("The CA's certificate has expired.")
        try:
            request = x509.load_pem_x509_csr(csr_pem.encode())
        except ValueError as error:
            raise CannotSign(f"unreadable request: {error}") from error
        public_key = request.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject_of(identity, issuer))
            .issuer_name(issuer.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(ends_at)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_USAGE, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        is_edwards = isinstance(self._key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        certificate = builder.sign(self._key, None if is_edwards else hashes.SHA256())
        return "".join(part.public_bytes(PEM).decode() for part in (certificate, *self._chain))


def _subject_of(identity: str, issuer: x509.Certificate) -> x509.Name:
    """The charger, and the operator as the CA names it (OCPP 2.0.1 part 2 A00.FR.509)."""
    owners = issuer.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return x509.Name([*owners, x509.NameAttribute(NameOID.COMMON_NAME, identity)])


_USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=True, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


def signer() -> CertificateSigner | None:
    """The configured one; None: certificate requests of chargers are refused. Raises CannotSign for a broken CA."""
    key, certificate = settings.OCPP_CA_KEY, settings.OCPP_CA_CERTIFICATE
    return _local(key, certificate, settings.OCPP_CERTIFICATE_DAYS) if key and certificate else None


def signs(kind: str) -> bool:
    """Is there somebody to sign this kind of certificate (OCPP 2.x CertificateSigningUseEnumType)?"""
    return kind in KINDS and bool(settings.OCPP_CA_KEY and settings.OCPP_CA_CERTIFICATE)


@functools.lru_cache(maxsize=4)
def _local(key: str, certificate: str, days: int) -> LocalSigner:
    try:
        return LocalSigner(Path(key).read_bytes(), Path(certificate).read_bytes(), days)
    except (OSError, ValueError, TypeError) as error:
        raise CannotSign(f"the CA cannot be used: {error}") from error
