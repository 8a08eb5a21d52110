"""Reload and drain of a router with clients of every library: who has lost the right to be there is told GOODBYE, and
the others lose nothing; a drain ends in time."""

import asyncio
import time

from clients import Address, Held, refused, until
from router import EVERYTHING, banyan, free_port, realm

TICKET = "the ticket of everybody here"


async def run(suite):
    folder = suite.folder / "operation"
    folder.mkdir()
    (folder / "ticket").write_text(TICKET + "\n")
    await reload(suite, str(folder / "ticket"))
    await drains(suite)
    await drains_calls(suite)


def login(authid):
    return {"method": "ticket", "authid": authid, "secret": TICKET}


class Load:
    """A publisher and a caller that go on until they are stopped. Whatever they are refused is a failure."""

    def __init__(self, session, callees):
        self.session, self.callees = session, callees
        self.published = self.called = 0
        self.going = True

    async def publish(self):
        while self.going:
            await self.session.publish("com.load.events", [self.published])
            self.published += 1

    async def call(self):
        while self.going:
            for procedure in self.callees:
                assert await self.session.call(procedure, [self.called]) == [self.called]
                self.called += 1

    def start(self):
        self.tasks = [asyncio.ensure_future(self.publish()), asyncio.ensure_future(self.call())]

    async def more(self):
        """Waits until both have done some more."""
        published, called = self.published, self.called
        await until(self._moved(published + 200, called + 2 * len(self.callees)), "the load goes on")

    def _moved(self, published, called):
        def moved():
            for task in self.tasks:
                if task.done():
                    task.result()
            return self.published > published and self.called > called

        return moved

    async def stop(self):
        self.going = False
        await asyncio.gather(*self.tasks)


async def reload(suite, file):
    port, encrypted = free_port(), free_port()
    users = {
        name: {"role": role, "ticket": {"file": file}}
        for name, role in (("stays", "all"), ("goes", "all"), ("former", "former"), ("reader", "reader"))
    }
    roles = {
        "all": EVERYTHING,
        "former": EVERYTHING,
        "reader": [
            {"uri": "com.load.", "match": "prefix", "allow": ["subscribe", "register", "call"]},
            {"uri": "com.lost.", "match": "prefix", "allow": ["subscribe", "register"]},
        ],
    }
    router = await suite.router(
        "reload",
        listeners=[
            {"address": f"127.0.0.1:{port}"},
            {"address": f"127.0.0.1:{encrypted}", "tls": {"certificates": [suite.server.config()]}},
        ],
        realms=[
            realm("realm1", {"ticket": {}, "anonymous": {"role": "all"}}, roles, users=users),
            realm("closing", {"anonymous": {"role": "all"}}, {"all": EVERYTHING}),
        ],
    )
    plain = Address(port, None)
    secure = Address(encrypted, None, "localhost", {"ca": suite.authority.file})
    libraries = suite.clients.all
    groups = {name: [] for name in ("stays", "over TLS", "reader", "goes", "former", "anonymous", "realm closed")}
    for n, library in enumerate(libraries):
        link = library.link(n)
        for name in ("stays", "reader", "goes", "former"):
            groups[name].append(await library.join(link, plain, "realm1", login(name)))
        groups["over TLS"].append(await library.join(library.link(n, True), secure, "realm1", login("stays")))
        groups["anonymous"].append(await library.join(link, plain, "realm1"))
        groups["realm closed"].append(await library.join(link, plain, "closing"))
    staying = groups["stays"] + groups["over TLS"] + groups["reader"]
    leaving = groups["goes"] + groups["former"] + groups["anonymous"] + groups["realm closed"]
    for session in staying + leaving:
        await session.subscribe("com.load.events")
    callees = [f"com.load.{session.name}" for session in staying]
    for session, procedure in zip(staying, callees):
        await session.register(procedure)
    for session in groups["reader"]:
        await session.subscribe("com.lost.topic")
        await session.register(f"com.lost.{session.name}")

    load = Load(await suite.clients.python.join(("ws", "json"), plain, "realm1", login("stays")), callees)
    load.start()
    await load.more()
    router.config["realms"] = [
        realm(
            "realm1",
            {"ticket": {}},
            {"all": EVERYTHING, "reader": [roles["reader"][0]]},
            users={name: users[name] for name in ("stays", "reader")},
        ),
        realm("opened", {"anonymous": {"role": "all"}}, {"all": EVERYTHING}),
    ]
    report = await router.reload()
    await load.more()

    async def reported():
        for line in ("users[goes]", "users[former]", "realms[closing]", "realms[opened]"):
            assert line in report, report

    await suite.case("the reload says what has changed", reported())

    async def gone(session, reason):
        got = await session.over()
        assert got == reason or session.library.name == "wampy", got  # wampy does not tell

    for name, reason in (
        ("goes", "wamp.close.killed"),
        ("former", "wamp.close.killed"),
        ("anonymous", "wamp.close.killed"),
        ("realm closed", "wamp.close.close_realm"),
    ):
        for session in groups[name]:
            await suite.case(f"after a reload, {name}: {session.name} is told {reason}", gone(session, reason))

    async def lost(session):
        """The subscription and the registration that its role may not have any more are gone, the session is not."""
        sender = await suite.clients.python.join(("tcp", "cbor"), plain, "realm1", login("stays"))
        await refused(sender.call(f"com.lost.{session.name}"), "wamp.error.no_such_procedure")
        await sender.publish("com.lost.topic", ["lost"])
        await sender.leave()
        await refused(session.subscribe("com.lost.other"), "wamp.error.not_authorized")
        assert await session.call(f"com.load.{session.name}", ["still"]) == ["still"]
        assert not [event for event in session.events if event.args == ["lost"]]
        if session.library.name == "autobahn-js":  # the others do not tell
            told = sorted(await session.revoked())
            assert told == [[what, "wamp.error.not_authorized"] for what in ("registration", "subscription")], told

    for session in groups["reader"]:
        await suite.case(f"after a reload, {session.name} has lost what its role may not have", lost(session))

    async def not_again(library, n):
        await refused(
            library.join(library.link(n), plain, "realm1", login("goes")),
            "wamp.error.authentication_denied",
            "the credentials are wrong",
        )
        await refused(library.join(library.link(n), plain, "closing"), "wamp.error.no_such_realm")
        await (await library.join(library.link(n), plain, "opened")).leave()

    for n, library in enumerate(libraries):
        await suite.case(
            f"after a reload, {library.name} joins what is there and not what was", not_again(library, n)
        )

    async def refused_file():
        good = router.config["realms"]
        router.config["realms"] = [
            realm(
                "realm1",
                {"ticket": {}},
                {"all": EVERYTHING},
                users={"stays": {"role": "nobody", "ticket": {"file": file}}},
            )
        ]
        before = await router.status()
        router.write()
        code, out, err = await banyan("reload", "--config", router.file)
        assert code == 2 and "refused" in err and 'no role "nobody"' in out, (code, out, err)
        after = await router.status()
        assert after["hash"] == before["hash"] and after["applied"] == before["applied"], (before, after)
        assert after["refused"], after
        # Who was there is there, with the same rights, and others still come: also by the role that it took away.
        for session in staying:
            assert not session.closed.done(), session.name
            assert await session.call(f"com.load.{session.name}", ["kept"]) == ["kept"]
        for authid in ("stays", "reader"):
            session = await suite.clients.python.join(("ws", "json"), plain, "realm1", login(authid))
            await session.subscribe("com.load.other")
            await session.leave()
        await (await suite.clients.python.join(("ws", "json"), plain, "opened")).leave()
        router.config["realms"] = good
        report = await router.reload()
        assert "is in force: 0 changes" in report, report
        assert "refused" not in await router.status()

    await suite.case("a refused file changes nothing", refused_file())
    await load.more()
    await suite.case("the load is served all the time", load.stop())

    async def complete(session):
        got = await session.heard(load.published)
        if session.library.name == "xconn":
            got.sort()  # it delivers events in goroutines
        assert got == list(range(load.published)), f"{len(got)} events of {load.published}"
        assert not session.closed.done()

    for session in staying:
        await suite.case(f"after reloads, {session.name} has lost no event", complete(session))
    for session in staying:
        await session.leave()
    await load.session.leave()
    await router.stop()


async def drains(suite):
    """Nobody may keep the router from ending: nexus and xconn never answer GOODBYE."""
    for number, (spread, limit) in enumerate(((0, 8), ("1s", 8))):
        port = free_port()
        router = await suite.router(
            f"drain{number}",
            listeners=[{"address": f"127.0.0.1:{port}"}],
            drain={"spread": spread, "timeout": "5s"},
            limits={"goodbye_timeout": "1s"},
            realms=[realm("realm1", {"anonymous": {"role": "all"}}, {"all": EVERYTHING})],
        )
        at = Address(port, None)
        sessions = []
        for library in suite.clients.all:
            for n in range(2):
                link = library.link(n)
                if library.name == "autobahn-js":
                    link = ("ws", "json")  # on RawSocket it never sees the connection end
                sessions.append(await library.join(link, at, "realm1"))
        start = time.monotonic()
        ending = asyncio.ensure_future(router.drain())

        async def told(session):
            reason = await session.over(15)
            assert reason == "wamp.close.system_shutdown" or session.library.name == "wampy", reason

        for session in sessions:
            await suite.case(f"drain with spread {spread}: {session.name} is told system_shutdown", told(session))

        async def in_time():
            await ending
            assert time.monotonic() - start < limit, f"the drain took {time.monotonic() - start:.1f} s"

        await suite.case(f"drain with spread {spread} ends with exit code 0 in time", in_time())


async def drains_calls(suite):
    """A drain with calls under way: each of them gets its result."""
    port = free_port()
    router = await suite.router(
        "drain-calls",
        listeners=[{"address": f"127.0.0.1:{port}"}],
        drain={"spread": "4s", "timeout": "7s"},
        limits={"goodbye_timeout": "1s"},
        realms=[realm("realm1", {"anonymous": {"role": "all"}}, {"all": EVERYTHING})],
    )
    at = Address(port, None)
    callee = await suite.clients.python.join(("ws", "json"), at, "realm1")
    held = await Held().register(callee, "com.held")
    calls = {}
    for library in suite.clients.all:
        session = await library.join(("ws", "json"), at, "realm1")
        calls[session] = asyncio.ensure_future(session.call("com.held", [session.name]))
    await until(lambda: held.called == len(calls), "the calls are under way")
    start = time.monotonic()
    ending = asyncio.ensure_future(router.drain())

    async def ends(session, call):
        assert await call == [session.name]
        reason = await session.over(15)
        assert reason == "wamp.close.system_shutdown" or session.library.name == "wampy", reason

    async def nobody():
        assert (await router.status())["draining"]
        try:
            await suite.clients.python.join(("tcp", "json"), at, "realm1")
        except Exception:
            return
        raise AssertionError("somebody joined during the drain")

    async def draining():
        return (await router.status())["draining"]

    await until(draining, "the drain has begun")
    await suite.case("drain with calls under way: nobody joins any more", nobody())
    held.open.set()
    for session, call in calls.items():
        await suite.case(f"drain with calls under way: {session.name}", ends(session, call))

    async def in_time():
        await ending
        assert time.monotonic() - start < 8, f"the drain took {time.monotonic() - start:.1f} s"

    await suite.case("drain with calls under way ends with exit code 0 in time", in_time())
