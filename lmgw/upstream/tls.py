"""TLS towards providers: the system's roots plus a backend's own, names always checked, HTTP/1.1 only."""

from __future__ import annotations

import re
from collections.abc import Sequence

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

#: What is offered by ALPN: a server that prefers HTTP/2 must not choose it.
ALPN = (b"http/1.1",)

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def read_roots(pem: bytes) -> list[Certificate]:
    """Return the certificates of a PEM bundle. Raises ``ValueError`` where there is none, or one cannot be read."""
    blocks = _PEM.findall(pem)
    if not blocks:
        raise ValueError("no PEM certificate in it")
    try:
        return [Certificate.loadPEM(block) for block in blocks]
    except Exception as problem:
        raise ValueError("a certificate in it cannot be read") from problem


def client_tls(host: str, roots: Sequence[Certificate] = ()) -> IOpenSSLClientConnectionCreator:
    """Return the settings for connections to ``host``, their context already built (it takes milliseconds).

    Twisted trusts either the platform's roots or a given list. To have both, ``roots`` are put into the store of the
    context that Twisted made, which is reached through a connection that is never used.
    """
    options = optionsForClientTLS(host, acceptableProtocols=ALPN)
    factory = TLSMemoryBIOFactory(options, True, Factory.forProtocol(Protocol))
    unused = TLSMemoryBIOProtocol(factory, Protocol())  # type: ignore[no-untyped-call]
    connection = options.clientConnectionForTLS(unused)
    store = connection.get_context().get_cert_store()
    if store is not None:
        for root in roots:
            store.add_cert(root.original)
    return options
