"""TLS over memory buffers, so that an encrypted peer looks like a plain one.

``ssl.SSLObject`` encrypts and decrypts in memory; the bytes travel over the same raw socket as
everybody's. Encryption happens when bytes are sent, in order, and what the socket does not take at
once stays in ``_unsent`` until the writer's watcher flushes it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from ..errors import ConnectionLost, HandshakeError, StartError
from .transport import RECV_BYTES, Transport


def server_context(cert: str, key: str, section: str = "server") -> ssl.SSLContext:
    """A server's context for TLS 1.2 and later. Raises StartError naming the file, and the option of ``section``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # librtmp with GnuTLS gives up when TLS 1.3 session tickets arrive
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        text = f"the certificate {cert} with the key {key} cannot be used: {error}"
        raise StartError(text, key=f"{section}.tls_cert") from None
    return context


def client_context(verify: bool = True) -> ssl.SSLContext:
    """A client's context; without ``verify`` any certificate will do (for tests and diagnosis)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 sets it, which refuses private authorities of some years ago. The rules are the same on every Python.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsTransport(Transport):
    """An encrypted connection; call ``handshake`` before anything else.

    ``on_unsent`` is called from the hub when bytes were accepted that the socket did not take yet:
    the sender must then wait for a writable socket and call ``flush`` before sending more.
    """

    __slots__ = ("_cipher_in", "_cipher_out", "_tls", "_unsent", "on_unsent", "tls_cipher", "tls_version")

    buffers = True

    def __init__(self, sock: Any, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        super().__init__(sock)
        self._cipher_in = ssl.MemoryBIO()
        self._cipher_out = ssl.MemoryBIO()
        server_side = context.protocol == ssl.PROTOCOL_TLS_SERVER
        self._tls = context.wrap_bio(self._cipher_in, self._cipher_out, server_side, server_hostname)
        self._unsent = b""
        self.on_unsent: Callable[[], None] | None = None
        self.tls_version = ""
        self.tls_cipher = ""
        self.send_now = self._encrypt_and_send

    def handshake(self) -> None:
        """Agree on keys. May switch greenlets; the caller owns the deadline.

        Raises HandshakeError (not TLS, no common version, refused certificate), ConnectionLost (clean if the peer left
        without having sent a byte).
        """
        has_heard = False
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._answer()
                try:
                    data = super().recv()
                except ConnectionLost as lost:
                    lost.clean = not has_heard
                    raise
                if not data:
                    text = "the peer left during the TLS handshake"
                    raise ConnectionLost(text, "EOF", clean=not has_heard) from None
                has_heard = True
                self._cipher_in.write(data)
            except (ssl.SSLError, OSError) as error:
                self._answer()
                raise HandshakeError(f"TLS handshake failed: {error}", "tls_failure") from error
            else:
                self._answer()
                break
        self.tls_version = self._tls.version() or ""
        cipher = self._tls.cipher()
        self.tls_cipher = cipher[0] if cipher else ""

    def recv(self) -> bytes:
        """Decrypted bytes, ``b""`` at the end. May switch greenlets. Raises ConnectionLost."""
        while True:
            try:
                return self._tls.read(RECV_BYTES)
            except ssl.SSLWantReadError:
                self._answer()
                data = super().recv()
                if not data:
                    return b""
                self._cipher_in.write(data)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise ConnectionLost(f"TLS failed: {error.reason}", "tls_failure") from None

    def recv_now(self) -> bytes | None:
        """Return decrypted bytes that have arrived, None without any, ``b""`` at the end. Raises ConnectionLost."""
        while True:
            try:
                return self._tls.read(RECV_BYTES)
            except ssl.SSLWantReadError:
                self._answer()
                data = super().recv_now()
                if not data:
                    return data
                self._cipher_in.write(data)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise ConnectionLost(f"TLS failed: {error.reason}", "tls_failure") from None

    def has_buffered(self) -> bool:
        """Whether bytes have arrived that no watcher will announce."""
        return bool(self._tls.pending() or self._cipher_in.pending)

    def _encrypt_and_send(self, data: bytes) -> int:
        if self._unsent and not self.flush():
            raise BlockingIOError
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise OSError(str(error)) from None
        self._send_pending()
        return len(data)

    def _answer(self) -> None:
        """Send what TLS itself wants to say, while reading."""
        try:
            self._send_pending()
        except OSError:
            pass  # the next read raises it, after what the peer has still sent

    def _send_pending(self) -> None:
        """Pass on what TLS wants to send; what the socket does not take is kept."""
        self._unsent += self._cipher_out.read()
        if self._unsent and not self.flush() and self.on_unsent is not None:
            self._loop.run_callback(self.on_unsent)  # not now: a fan-out that is under way must not change its list

    def flush(self) -> bool:
        """Send what was accepted before. Raises OSError if the socket failed."""
        if not self._unsent:
            return True
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            return False
        self._unsent = self._unsent[sent:]
        return not self._unsent

    def shutdown(self) -> None:
        """End both directions, with a goodbye. Never raises."""
        self._say_goodbye()
        super().shutdown()

    def shutdown_writing(self) -> None:
        """End our direction, with a goodbye. Never raises."""
        self._say_goodbye()
        super().shutdown_writing()

    def _say_goodbye(self) -> None:
        """Send the close_notify of TLS, so that the peer can distinguish an end from a cut (RFC 8446, 6.1)."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, OSError, ValueError):
            pass  # the peer's own goodbye is not waited for
        self._answer()
