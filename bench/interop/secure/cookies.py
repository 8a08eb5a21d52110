"""A browser that has logged in comes back by its cookie: as Autobahn for JavaScript and for Python with the cookie of
their handshake. PROTOCOL 10.7; AUTH."""

import asyncio
import http.cookies
import ssl

from clients import Address, refused
from logins import joins
from router import EVERYTHING, free_port, realm

TICKET = "the ticket of everybody here"
REQUEST = (
    "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n"
)


async def handed(port, ca):
    """Returns the cookie that a handshake over TLS sets."""
    context = ssl.create_default_context(cafile=ca)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    writer.write(REQUEST.encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
    writer.close()
    line = next(line for line in head.split("\r\n") if line.startswith("Set-Cookie: "))
    return next(iter(http.cookies.SimpleCookie(line.removeprefix("Set-Cookie: ")).values()))


async def run(suite):
    folder = suite.folder / "cookies"
    folder.mkdir()
    (folder / "ticket").write_text(TICKET + "\n")
    port = free_port()
    users = {name: {"role": "member", "ticket": {"file": str(folder / "ticket")}} for name in ("anna", "bert")}
    router = await suite.router(
        "cookies-router",
        listeners=[{"address": f"127.0.0.1:{port}", "tls": {"certificates": [suite.server.config()]}}],
        limits={"auth_failures_per_address_max": 0, "auth_failures_per_authid_max": 0},
        realms=[
            realm(uri, {"ticket": {}, "cookie": {}}, {"member": EVERYTHING}, users=users) for uri in ("realm1", "other")
        ],
    )

    def at(cookie=None):
        tls = {"ca": suite.authority.file}
        if cookie:
            tls["cookie"] = cookie
        return Address(port, None, "localhost", tls)

    no_method = "wamp.error.no_matching_auth_method"
    denied = "wamp.error.authentication_denied"

    async def returns(library, link):
        cookie = await handed(port, suite.authority.file)
        assert cookie.key == "__Host-banyan" and cookie["secure"] and cookie["httponly"], cookie
        assert cookie["samesite"] == "Strict" and cookie["path"] == "/" and not cookie["domain"], cookie
        known = at(f"{cookie.key}={cookie.value}")

        def login(method, authid="anna"):
            return {"method": method, "authid": authid, "secret": TICKET}

        async def stranger(where, uri="realm1", authid="anna"):
            try:
                session = await library.join(link, where, uri, login("cookie", authid))
            except Exception as error:
                assert no_method in str(error) or denied in str(error) or "cookie" in str(error), error
                return
            raise AssertionError(f"joined as {session.identity}")

        await stranger(known)  # nobody has logged in with it
        await joins(library, link, known, "realm1", login("ticket"), "anna", "member", "ticket")
        for _ in range(2):
            await joins(library, link, known, "realm1", login("cookie"), "anna", "member", "cookie")
        await stranger(known, "other")
        await stranger(known, authid="bert")
        await stranger(at())
        await stranger(at(f"{cookie.key}={cookie.value[:-1]}"))
        await stranger(at(f"banyan={cookie.value}"))
        await refused(library.join(link, known, "realm1", {**login("ticket"), "secret": "x"}), denied, "are wrong")
        await joins(library, link, known, "realm1", login("ticket", "bert"), "bert", "member", "ticket")
        await joins(library, link, known, "realm1", login("cookie", "bert"), "bert", "member", "cookie")
        await stranger(known)  # the cookie is that of the last login

    for library in (suite.clients.js, suite.clients.python):
        for link in library.secure:
            if link[0] == "wss":
                await suite.case(f"AUTH cookie: {library.name} {link[0]} {link[1]} comes back", returns(library, link))
    await router.stop()
