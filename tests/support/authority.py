"""Certificates for tests: an authority, and what it signs."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Authority:
    """``file`` is its certificate; ``issue`` makes a file with a key and a certificate for 127.0.0.1. An ``old`` one
    leaves out what RFC 5280 asks for, as private authorities of some years ago do."""

    folder: Path
    old: bool = False

    def __post_init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        certificate = self._signed(self._name, self._key.public_key(), x509.BasicConstraints(True, None))
        self.file = self.folder / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name):
        """The file of the certificate for ``name``, and that of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._signed(_name(name), key.public_key(), address)
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths

    def encrypt(self, plain, encrypted):
        """The key in ``plain`` with a passphrase, in the file ``encrypted``."""
        key = serialization.load_pem_private_key(plain.read_bytes(), None)
        passphrase = serialization.BestAvailableEncryption(b"passphrase")
        encrypted.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, passphrase)
        )

    def _signed(self, name, key, extension):
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, isinstance(extension, x509.BasicConstraints))
        )
        if self.old:
            return certificate.sign(self._key, hashes.SHA256())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        is_authority = isinstance(extension, x509.BasicConstraints)
        usage = x509.KeyUsage(True, False, False, False, False, is_authority, is_authority, False, False)
        return (
            certificate.add_extension(authority, False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(usage, True)
            .sign(self._key, hashes.SHA256())
        )


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
