"""An RFC 3161 timestamp authority on loopback; openssl makes its certificates and answers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.serving import Answer, serve_answers

_CONFIG = """
[tsa]
default_tsa = authority
[authority]
dir = {folder}
serial = $dir/serial
crypto_device = builtin
signer_cert = $dir/tsa.pem
signer_key = $dir/tsa.key
{certs}
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
[usage]
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
[req]
distinguished_name = name
[name]
"""


class TimestampAuthority:
    """Answers timestamp requests.

    Attributes:
        failures: statuses of the first answers, before requests succeed.
        wrong: body that is returned instead of a timestamp.
        asked: number of timestamps that were issued.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.failures: list[int] = []
        self.wrong: bytes | None = None
        self.asked = 0
        self.url = ""
        folder.mkdir(parents=True)
        self._make_certificates()

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def _make_certificates(self) -> None:
        # If the answer includes the root, openssl orders the certificates in a way that strict DER
        # parsers reject.
        certs = "" if self.name == "rsa" else "certs = $dir/root.pem"
        (self.folder / "tsa.cnf").write_text(_CONFIG.format(folder=self.folder, certs=certs))
        (self.folder / "serial").write_text("01\n")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        if self.name == "rsa":
            key = ["-newkey", "rsa:2048"]
        key += ["-nodes", "-config", "tsa.cnf"]
        root = ("-keyout", "root.key", "-out", "root.pem", "-days", "3650")
        subject = ("-subj", f"/CN=Root of {self.name}", "-extensions", "root")
        self._openssl("req", "-x509", *key, *root, *subject)
        request = ("-keyout", "tsa.key", "-out", "tsa.csr")
        self._openssl("req", *key, *request, "-subj", f"/CN=Authority {self.name}")
        signer = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial")
        signed = ("-out", "tsa.pem", "-days", "3650")
        usage = ("-extfile", "tsa.cnf", "-extensions", "usage")
        self._openssl("x509", "-req", "-in", "tsa.csr", *signer, *signed, *usage)

    def stamp(self, request: bytes) -> bytes:
        self.asked += 1
        query, reply = self.folder / f"{self.asked}.tsq", self.folder / f"{self.asked}.tsr"
        query.write_bytes(request)
        self._openssl(
            "ts", "-reply", "-queryfile", query.name, "-out", reply.name, "-config", "tsa.cnf"
        )
        return reply.read_bytes()

    def answer(self, _path: str, _headers: dict[str, str], request: bytes) -> Answer:
        status = self.failures.pop(0) if self.failures else 200
        body = b"" if status != 200 else self.wrong or self.stamp(request)
        return status, {"Content-Type": "application/timestamp-reply"}, body


@contextmanager
def serve_timestamps(folder: Path, name: str = "ec") -> Iterator[TimestampAuthority]:
    authority = TimestampAuthority(folder, name)
    with serve_answers(authority.answer) as authority.url:
        yield authority
