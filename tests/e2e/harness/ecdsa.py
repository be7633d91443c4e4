"""An ECDSA certificate for baresip.

Version 1.0.0 makes an RSA certificate for DTLS at start, which the gateway's DTLS does not take; later versions make an
ECDSA one. A preloaded function in the place of libre's gives it such a certificate, and the rest is baresip's own.
"""

import datetime
import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from peers import require

_SOURCE = """\
#include <stdio.h>
#include <stdlib.h>

struct tls;
int tls_set_certificate(struct tls *tls, const char *pem, size_t len);

int tls_set_selfsigned_rsa(struct tls *tls, const char *name, size_t bits)
{
    static char pem[8192];
    FILE *file = fopen(getenv("PHONE_PEM"), "r");
    size_t len = file ? fread(pem, 1, sizeof(pem), file) : 0;
    (void)name;
    (void)bits;
    if (file)
        fclose(file);
    return tls_set_certificate(tls, pem, len);
}
"""


def ecdsa_environment(folder: Path) -> dict[str, str]:
    """Make certificate and library in the folder, and return the environment that baresip is to have."""
    compiler = shutil.which("cc")
    require(compiler, "cc is not installed: apt-get install gcc")
    assert compiler is not None
    source, library, pem = folder / "ecdsa.c", folder / "ecdsa.so", folder / "phone.pem"
    source.write_text(_SOURCE)
    pem.write_bytes(_certificate())
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True, capture_output=True, timeout=60
    )
    return {"LD_PRELOAD": str(library.resolve()), "PHONE_PEM": str(pem.resolve())}


def _certificate() -> bytes:
    """Return a self-signed P-256 certificate and its key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dtls@baresip")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private
