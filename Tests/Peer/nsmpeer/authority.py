"""A certificate authority for SVIDs, good and bad ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .identity import Identity


class Authority:
    """A key and self-signed certificate on P-256, kept in one PEM file when a path is given."""

    def __init__(self, trust_domain: str, path: str | None = None) -> None:
        self.trust_domain = trust_domain
        if path and os.path.exists(path):
            with open(path, "rb") as file:
                pem = file.read()
            key = serialization.load_pem_private_key(pem, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self.key, self.certificate = key, x509.load_pem_x509_certificate(pem)
            return
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(
            self.key, [f"spiffe://{trust_domain}"], timedelta(days=1), authority=True, own=True
        )
        if path:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(
                    private_bytes(self.key, pem=True) + self.certificate.public_bytes(serialization.Encoding.PEM)
                )

    def issue(
        self, uris: Sequence[str], seconds: float, authority: bool = False, curve: ec.EllipticCurve | None = None
    ) -> Identity:
        """An SVID. More or fewer than one URI, or `authority`, make one that nobody must accept."""
        key = ec.generate_private_key(curve or ec.SECP256R1())
        certificate = self._sign(key, uris, timedelta(seconds=seconds), authority=authority)
        name = uris[0] if uris else ""
        return Identity(name, (certificate,), key, {self.trust_domain: (self.certificate,)})

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        uris: Sequence[str],
        lifetime: timedelta,
        authority: bool = False,
        own: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC).replace(microsecond=0)
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "nsmpeer authority" if own else "nsmpeer")])
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if own else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now - timedelta(minutes=1), now + lifetime - timedelta(minutes=1)))
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(_usage(authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )
        if uris:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
            builder = builder.add_extension(names, critical=False)
        if not authority:
            both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
            builder = builder.add_extension(both, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def private_bytes(key: ec.EllipticCurvePrivateKey, pem: bool = False) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM if pem else serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
