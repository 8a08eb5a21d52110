"""WebSocket and RawSocket over TLS with every client that can: trust, names, client certificates, one port for both.
PROTOCOL 13; checklist TRN."""

import asyncio

from authority import Authority
from clients import Address
from router import EVERYTHING, free_port, realm


# Why a client does not join, in the words of the libraries that tell.
CLOSED = ("EOF", "closed before there was a session: None")
NO_TLS = ("400 Bad Request", "status: 400", *CLOSED)
TOO_OLD = ("ALERT_PROTOCOL_VERSION", "protocol version not supported")
NO_CERTIFICATE = ("ALERT_CERTIFICATE_REQUIRED", "tls: certificate required")
FOREIGN = ("ALERT_UNKNOWN_CA", "tls: certificate required")  # Go sends none that is not asked for
NAME = ("not valid for 'localhost'", "not localhost")
UNTRUSTED = ("unable to get local issuer certificate", "signed by unknown authority")
SILENT = {"autobahn-js": ("unreachable",), "wampy": ("Websocket error",)}


async def fails(library, link, at, why):
    """Expects that the client does not join, and says so, for one of these reasons."""
    try:
        session = await library.join(link, at, "realm1")
    except Exception as error:
        assert not isinstance(error, asyncio.TimeoutError), "the client does not see that it cannot join"
        assert any(word in repr(error) for word in SILENT.get(library.name, why)), repr(error)
        return
    await session.leave()
    raise AssertionError(f"{library.name} joined over {link}")


async def talks(library, link, at, other, other_at):
    """Joins, and exchanges events and calls of up to 256 KiB with a session that is not encrypted."""
    a = await library.join(link, at, "realm1")
    b = await other.join(other.link(0), other_at, "realm1")
    base = f"com.example.{a.name}"
    await a.subscribe(base)
    await a.register(base)
    big = "0123456789abcdef" * 0x4000
    for text in ("small", big, "last"):
        await b.publish(base, [text])
        assert await b.call(base, [text]) == [text]
    assert await a.heard(3) == ["small", big, "last"]
    await a.leave()
    await b.leave()


async def run(suite):
    ca, libraries = suite.authority.file, suite.clients.all
    foreign = Authority(suite.folder, "foreign")
    client, outsider = suite.authority.issue("client"), foreign.issue("outsider")
    elsewhere = suite.authority.issue("elsewhere", "elsewhere.example")
    plain, both, strict, modern, named = (free_port() for _ in range(5))

    def listener(port, certificate=suite.server, **tls):
        return {"address": f"127.0.0.1:{port}", "tls": {"certificates": [certificate.config()], **tls}}

    router = await suite.router(
        "transports",
        listeners=[
            {"address": f"127.0.0.1:{plain}"},
            listener(both, plain="allow"),
            listener(strict, client_ca=ca, client_certificates="required"),
            listener(modern, min_version="1.3"),
            listener(named, elsewhere),
        ],
        realms=[realm("realm1", {"anonymous": {"role": "guest"}}, {"guest": EVERYTHING})],
    )

    def address(port, **more):
        return Address(port, None, "localhost", {"ca": ca, **more})

    def pair(of):
        return {"cert": of.cert_file, "key": of.key_file}

    outside = Address(plain, None)

    async def each(library):
        async def good(name, link, at):
            await suite.case(
                f"{name}: {library.name} {link[0]} {link[1]}", talks(library, link, at, suite.clients.python, outside)
            )

        async def bad(name, link, at, why):
            await suite.case(
                f"{name}: {library.name} {link[0]} {link[1]} does not get in", fails(library, link, at, why)
            )

        for link in library.secure:
            await good("TLS on a port with both", link, address(both))
            await good("TLS 1.2", link, address(both, max="1.2"))
            await good("with a client certificate where one is required", link, address(strict, **pair(client)))
        for link in library.links:
            await good("no TLS on a port with both", link, Address(both, None))
            if library.name != "autobahn-js" or link[0] == "ws":  # on RawSocket it never sees a connection end
                await bad("no TLS where it is needed", link, Address(modern, None), NO_TLS)
        for link in library.secure[: 2 if library.secure[0][0] != library.secure[1][0] else 1]:
            await good("TLS 1.3 where that is needed", link, address(modern))
            await bad("TLS 1.2 where 1.3 is needed", link, address(modern, max="1.2"), TOO_OLD)
            await bad("without the client certificate that is required", link, address(strict), NO_CERTIFICATE)
            await bad("with a client certificate of a foreign authority", link, address(strict, **pair(outsider)), FOREIGN)
            await bad("a certificate for another name", link, address(named), NAME)
            if library.name == "xconn":
                continue  # it trusts what the process trusts
            untrusting = address(both)
            untrusting.tls["ca"] = foreign.file
            await bad("a certificate of an authority that is not trusted", link, untrusting, UNTRUSTED)

    await asyncio.gather(*map(each, libraries))
    await router.stop()
