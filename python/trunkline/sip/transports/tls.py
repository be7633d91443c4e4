"""TLS of the SIP side: the contexts, made anew when their files change, and the layer between bytes and messages.

Owns versions, verification, SNI, mutual TLS and what a failed handshake is called. Reads files when asked for a
context, and no sockets.   RFC 3261 section 26.3, RFC 5922, RFC 6125.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from cryptography import x509

from trunkline.errors import ConfigError, ConnectFailed
from trunkline.observability.logging import get_logger
from trunkline.sip.transports.framing import Framing

_READ_BYTES = 65_536
_LOOK_AGAIN_S = 2.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate with its chain, and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What TLS is made of; all files are PEM.

    certificate, key: ours, chain included; needed to listen, shown to servers that ask for it. more: other domains' of
    ours, shown to who asks for a name in them (SNI). authorities: who may
    sign the others' certificates; None is the system's store. verify_servers: whether the certificate of a server that
    we call must be valid for its name. require_client_certificate: whether a peer that calls us must show one.
    """

    certificate: Path | None = None
    key: Path | None = None
    more: tuple[CertificateFiles, ...] = ()
    authorities: Path | None = None
    verify_servers: bool = True
    require_client_certificate: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read."""
        others = [path for each in self.more for path in (each.certificate, each.key)]
        return tuple(each for each in (self.certificate, self.key, self.authorities, *others) if each is not None)


@dataclass(frozen=True, slots=True)
class _Contexts:
    client: ssl.SSLContext
    server: ssl.SSLContext | None


class TlsContexts:
    """The contexts for new connections.

    A changed file is noticed at the next connection; if it cannot be used, the old contexts stay and an error is
    logged. ConfigError from the constructor if the files cannot be used at start.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._stamp = self._read_stamp()
        self._contexts = _made(settings)
        self._looked_at = float("-inf")
        self.reloads = 0

    @property
    def can_serve(self) -> bool:
        """Whether there is a certificate of ours to show to who calls."""
        return self._settings.certificate is not None

    def client(self, now: float) -> ssl.SSLContext:
        """For a connection that we open."""
        return self._current(now).client

    def server(self, now: float) -> ssl.SSLContext:
        """For a connection that we accept. ConfigError if there is no certificate of ours."""
        server = self._current(now).server
        if server is None:
            raise ConfigError("sip.tls: a listener needs certificate and key")
        return server

    def _current(self, now: float) -> _Contexts:
        if now - self._looked_at < _LOOK_AGAIN_S:
            return self._contexts
        self._looked_at = now
        stamp = self._read_stamp()
        if stamp != self._stamp:
            try:
                self._contexts = _made(self._settings)
            except ConfigError as error:
                # Perhaps one of two files is written and the other is not yet: look again.
                _log.error("sip_tls_reload_failed", error=str(error))
            else:
                self._stamp = stamp
                self.reloads += 1
                _log.info("sip_tls_reloaded")
        return self._contexts

    def _read_stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Tell one state of the files from another; a renewal may replace a file or write over it."""
        found: list[tuple[int, int, int]] = []
        for path in self._settings.files:
            try:
                status = path.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


def _made(settings: TlsSettings) -> _Contexts:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for context in (client, server):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        _load(context, settings)
    if not settings.verify_servers:
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
    if settings.require_client_certificate:
        server.verify_mode = ssl.CERT_REQUIRED
    if settings.more:
        server.sni_callback = _chooser(settings)
    return _Contexts(client, server if settings.certificate is not None else None)


def _chooser(settings: TlsSettings) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """Make what shows each caller the certificate of the name it asks for.   RFC 6066 section 3, RFC 5922 section 7.

    An unknown name, or none, gets the first certificate: the caller can judge it better than an alert.
    """
    contexts: dict[str, ssl.SSLContext] = {}
    for files in settings.more:
        own = replace(settings, certificate=files.certificate, key=files.key, more=())
        context = _made(own).server
        assert context is not None
        for name in _names_of(files.certificate):
            contexts.setdefault(name, context)

    def choose(connection: ssl.SSLObject, asked: str | None, _: ssl.SSLContext) -> None:
        name = (asked or "").lower().rstrip(".")
        wanted = contexts.get(name) or contexts.get(f"*.{name.partition('.')[2]}")
        if wanted is not None:
            connection.context = wanted

    return choose


def _names_of(certificate: Path) -> tuple[str, ...]:
    """Read the DNS names that a certificate is valid for, in lower case."""
    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise ConfigError(f"sip.tls.more: {certificate}: {error}") from error


def _load(context: ssl.SSLContext, settings: TlsSettings) -> None:
    try:
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
        if settings.authorities is not None:
            context.load_verify_locations(settings.authorities)
        else:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in settings.files)
        raise ConfigError(f"sip.tls: {files}: {error}") from error


class TlsFraming(Framing):
    """TLS around another framing. server_name: whom a client expects to meet; None on the server's side."""

    def __init__(self, inner: Framing, context: ssl.SSLContext, *, server_name: str | None) -> None:
        self._inner = inner
        self._name = server_name
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._is_established = False

    def start(self) -> None:
        """See `Framing`."""
        if self._name is not None:
            self._shake_hands()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Framing`."""
        self._incoming.write(data)
        if not self._is_established and not self._shake_hands():
            return
        while (plain := self._read()) is not None:
            yield from self._inner.feed(plain)
            self._note()
        self._note()

    def send(self, message: bytes) -> None:
        """See `Framing`."""
        self._inner.send(message)

    def ping(self) -> None:
        """See `Framing`."""
        self._inner.ping()

    def close(self) -> None:
        """See `Framing`."""
        self._inner.close()
        self._flush()
        if self._is_established:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                return  # our close_notify is out; the peer's is not waited for

    def take_output(self) -> bytes:
        """See `Framing`."""
        self._flush()
        return self._outgoing.read()

    def _flush(self) -> None:
        if self._is_established and (plain := self._inner.take_output()):
            try:
                self._tls.write(plain)
            except ssl.SSLError:
                self.has_ended = True  # the peer has closed; nothing can be said any more

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLError, ValueError) as error:
            self.has_ended = True
            raise ConnectFailed(_described(error, self._name)) from error
        self._is_established = True
        self.peer_names = _proved_names(self._tls)
        self._inner.start()
        self._note()
        return True

    def _read(self) -> bytes | None:
        try:
            return self._tls.read(_READ_BYTES) or None
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            self.has_ended = True
            return None
        except ssl.SSLError as error:
            self.has_ended = True
            raise ConnectFailed(_described(error, self._name)) from error

    def _note(self) -> None:
        self.is_open = self._inner.is_open
        self.has_ended = self.has_ended or self._inner.has_ended
        self.pongs = self._inner.pongs


def _proved_names(connection: ssl.SSLObject) -> frozenset[str]:
    """Return whom the peer's certificate names, in lower case; empty if it was not verified.

    A SIP URI without a user names a domain, and where there is one, DNS names do not count.   RFC 5922 section 7.1.
    """
    found: dict[str, set[str]] = {"URI": set(), "DNS": set(), "IP Address": set()}
    shown = connection.getpeercert() or {}
    for kind, value in cast(Iterable[tuple[str, str]], shown.get("subjectAltName", ())):
        if kind in found:
            found[kind].add(value.lower())
    domains = {uri[4:] for uri in found["URI"] if uri.startswith("sip:") and "@" not in uri}
    addresses = {str(ipaddress.ip_address(value.strip())) for value in found["IP Address"]}
    return frozenset((domains or found["DNS"]) | addresses)


def _described(error: Exception, server_name: str | None) -> str:
    """Say what went wrong in words for whoever can mend it."""
    who = "the peer" if server_name is None else server_name
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate of {who} is not accepted: {error.verify_message}"
    reason = getattr(error, "reason", None) or str(error)
    return f"TLS handshake with {who} failed: {str(reason).replace('_', ' ').lower()}"
