"""WebSocket and RawSocket on a Unix socket with every client that can: who may connect is local, and in. PROTOCOL 10.7,
13.5."""

import os
import stat

from clients import Address, refused
from logins import joins
from router import EVERYTHING, free_port, realm

TICKET = "the ticket of everybody here"


async def run(suite):
    folder = suite.folder / "sockets"
    folder.mkdir()
    (folder / "ticket").write_text(TICKET + "\n")
    open_, members, port = str(folder / "open"), str(folder / "members"), free_port()
    users = {"anna": {"role": "member", "ticket": {"file": str(folder / "ticket")}}}
    router = await suite.router(
        "sockets-router",
        listeners=[
            {"address": f"unix:{open_}", "file": {"mode": "0600"}},
            {"address": f"unix:{members}", "anonymous": "none"},
            {"address": f"127.0.0.1:{port}", "anonymous": "none"},
        ],
        limits={"auth_failures_per_address_max": 0, "auth_failures_per_authid_max": 0},
        realms=[
            realm(
                "realm1",
                {"anonymous": {"role": "guest"}, "ticket": {}},
                {"guest": EVERYTHING, "member": EVERYTHING},
                users=users,
            )
        ],
    )
    required = "wamp.error.authentication_required"
    login = {"method": "ticket", "authid": "anna", "secret": TICKET}

    async def modes():
        for path, mode in ((open_, 0o600), (members, 0o660)):
            assert stat.S_IMODE(os.stat(path).st_mode) == mode, path

    async def each(library, link):
        at = Address(port, open_)
        await joins(library, link, at, "realm1", None, None, "guest", "anonymous")
        await joins(library, link, at, "realm1", login, "anna", "member", "ticket")
        await refused(
            library.join(link, at, "realm1", {**login, "secret": "x"}),
            "wamp.error.authentication_denied",
            "are wrong",
        )
        inside = Address(port, members)
        await refused(library.join(link, inside, "realm1"), required, "not allowed")
        await joins(library, link, inside, "realm1", login, "anna", "member", "ticket")

    async def together(library, link):
        """A session on a Unix socket and one on TCP are of one realm."""
        a = await library.join(link, Address(port, open_), "realm1", login)
        b = await suite.clients.python.join(("tcp", "cbor"), Address(port, None), "realm1", login)
        await a.subscribe(f"com.example.{a.name}")
        await a.register(f"com.example.{a.name}")
        await b.publish(f"com.example.{a.name}", ["across"])
        assert await b.call(f"com.example.{a.name}", ["across"]) == ["across"]
        assert await a.heard(1) == ["across"]
        await a.leave()
        await b.leave()

    await suite.case("the files of Unix sockets have the mode that the configuration says", modes())
    for library in suite.clients.all:
        for link in library.unix:
            await suite.case(f"Unix socket: {library.name} {link[0]} {link[1]}", each(library, link))
            await suite.case(f"Unix socket and TCP: {library.name} {link[0]} {link[1]}", together(library, link))
    await router.stop()
