"""A certificate authority for one run, and tokens. Files are PEM unless they say otherwise."""

import base64
import datetime
import ipaddress
import json
import pathlib
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR = datetime.timedelta(hours=1)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Pair:
    """A certificate and its key."""

    def __init__(self, folder, name, certificate, key):
        self.certificate, self.key = certificate, key
        self.cert_file, self.key_file = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
        pathlib.Path(self.cert_file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = pathlib.Path(self.key_file)
        path.touch(mode=0o600)
        path.write_bytes(private)

    @property
    def fingerprint(self):
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def config(self, **more):
        """Returns the entry of listeners.*.tls.certificates."""
        return {"certificate": self.cert_file, "key": self.key_file, **more}


class Authority:
    def __init__(self, folder, name="authority"):
        self.folder = pathlib.Path(folder)
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(_name(name), key).issuer_name(_name(name)).add_extension(usage, True)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        self.pair = Pair(self.folder, name, builder.sign(key, hashes.SHA256()), key)
        self.file = self.pair.cert_file

    @staticmethod
    def _builder(subject, key):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - HOUR).not_valid_after(now + 90 * 24 * HOUR)

    def issue(self, name, *hosts):
        """Makes a certificate: of a server with hosts, else of a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(name), key).issuer_name(self.pair.certificate.subject)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.pair.key.public_key())
        builder = builder.add_extension(issuer, False).add_extension(x509.BasicConstraints(False, None), True)
        if hosts:
            names = [_host(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return Pair(self.folder, name, builder.sign(self.pair.key, hashes.SHA256()), key)

    def staple(self, pair):
        """Writes an OCSP answer that says good and returns the path of the file (DER)."""
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = ocsp.OCSPResponseBuilder().add_response(
            pair.certificate,
            self.pair.certificate,
            hashes.SHA256(),
            ocsp.OCSPCertStatus.GOOD,
            now - HOUR,
            now + 24 * HOUR,
            None,
            None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.pair.certificate)
        path = self.folder / "staple.der"
        path.write_bytes(builder.sign(self.pair.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
        return str(path)


def _host(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs JSON web tokens with ES256."""

    def __init__(self, folder, name="issuer"):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), name
        numbers = self.key.public_key().public_numbers()
        jwk = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": name}
        jwk |= {"x": _b64(numbers.x.to_bytes(32)), "y": _b64(numbers.y.to_bytes(32))}
        self.file = str(pathlib.Path(folder) / f"{name}.json")
        pathlib.Path(self.file).write_text(json.dumps({"keys": [jwk]}))

    def token(self, subject, **claims):
        now = int(time.time())
        claims = {
            "iss": "https://issuer.example",
            "aud": "banyan",
            "sub": subject,
            "iat": now,
            "exp": now + 600,
        } | claims
        parts = [
            _b64(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT", "kid": self.name}, claims)
        ]
        r, s = decode_dss_signature(self.key.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256())))
        return ".".join([*parts, _b64(r.to_bytes(32) + s.to_bytes(32))])
