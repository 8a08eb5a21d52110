"""Limits of connections, sessions and requests, and what clients make of them. Checklist LIM."""

import asyncio

from autobahn.asyncio.component import Component
from clients import Address, Held, refused, until
from relay import Relay
from router import EVERYTHING, free_port, realm

OVER = "wamp.error.option_not_allowed"
RETRY = b"HTTP/1.1 503 "


async def run(suite):
    folder = suite.folder / "limits"
    folder.mkdir()
    (folder / "ticket").write_text("the ticket of everybody here\n")
    users = {name: {"role": "all", "ticket": {"file": str(folder / "ticket")}} for name in ("one", "two", "victim")}
    anybody = {"anonymous": {"role": "all"}, "ticket": {}}
    roles = {"all": EVERYTHING}

    def quota(**quotas):
        return {"quotas": quotas, "users": users}

    port = free_port()
    router = await suite.router(
        "limits",
        listeners=[{"address": f"127.0.0.1:{port}"}],
        limits={
            "subscriptions_max": 3,
            "registrations_max": 3,
            "patterns_max": 1,
            "calls_max": 2,
            "auth_failures_per_address_max": 0,
            "auth_failures_per_authid_max": 3,
        },
        realms=[
            realm("realm1", anybody, roles, users=users),
            *(
                realm(
                    f"subscriptions.{library.name}", anybody, roles, **quota(subscriptions_max=3, registrations_max=2)
                )
                for library in suite.clients.all
            ),
            *(
                realm(f"sessions.{library.name}", anybody, roles, **quota(sessions_max=2))
                for library in suite.clients.all
            ),
            *(
                realm(f"authid.{library.name}", anybody, roles, **quota(sessions_per_authid_max=1))
                for library in suite.clients.all
            ),
            *(
                realm(f"refuse.{library.name}", anybody, roles, users=users, authid_uniqueness="refuse")
                for library in suite.clients.all
            ),
            *(
                realm(f"replace.{library.name}", anybody, roles, users=users, authid_uniqueness="replace")
                for library in suite.clients.all
            ),
            *(realm(f"failures.{library.name}", anybody, roles, users=users) for library in suite.clients.all),
        ],
    )
    at = Address(port, None)

    def login(authid, secret="the ticket of everybody here"):
        return {"method": "ticket", "authid": authid, "secret": secret}

    async def each(library):
        async def join(uri, who=None, n=0):
            return await library.join(library.link(n), at, uri, who)

        async def per_session():
            a, b = await join("realm1"), await join("realm1", n=1)
            for kind in ("subscribe", "register"):
                for n in range(3):
                    await getattr(a, kind)(f"com.{kind}.{library.name}.{n}")
                await refused(getattr(a, kind)(f"com.{kind}.{library.name}.3"), OVER)
                await getattr(b, kind)(f"com.{kind}.{library.name}.3")
            assert await b.call(f"com.register.{library.name}.0", ["kept"]) == ["kept"]
            await b.publish(f"com.subscribe.{library.name}.0", ["kept"])
            assert await a.heard(1) == ["kept"]
            await a.leave()
            await b.leave()

        async def patterns():
            a = await join("realm1", n=2)
            await a.subscribe("com.pattern.one", "prefix")
            await refused(a.subscribe("com.pattern.two", "prefix"), OVER)
            await a.subscribe("com.pattern.three")
            await a.leave()

        async def calls():
            """calls_max bounds the open calls of a caller, and the open invocations of a callee."""
            callee = await suite.clients.python.join(("ws", "cbor"), at, "realm1")
            procedure = f"com.held.{library.name}"
            held = await Held().register(callee, procedure)
            a, b = await join("realm1"), await join("realm1", n=1)
            under_way = [asyncio.ensure_future(a.call(procedure, [n])) for n in range(2)]
            await until(lambda: held.called == 2, "two calls are under way")
            await refused(a.call(procedure, [2]), OVER)
            await refused(b.call(procedure, [2]), "wamp.error.network_failure")
            held.open.set()
            assert await asyncio.gather(*under_way) == [[0], [1]]
            assert await a.call(procedure, [3]) == await b.call(procedure, [3]) == [3]
            for session in (a, b, callee):
                await session.leave()

        async def per_realm():
            a, b = await join(f"subscriptions.{library.name}"), await join(f"subscriptions.{library.name}", n=1)
            await a.subscribe("com.a")
            await a.subscribe("com.b")
            await b.subscribe("com.c")
            await refused(b.subscribe("com.d"), OVER)
            await a.register("com.a")
            await b.register("com.b")
            await refused(b.register("com.c"), OVER)
            await a.leave()

            async def room():
                try:
                    await b.subscribe("com.d")
                except Exception as error:
                    assert OVER in str(error), error
                    return False
                return True

            await until(room, "there is room when the other has left")
            await b.register("com.c")
            await b.leave()

        async def sessions():
            uri = f"sessions.{library.name}"
            a, b = await join(uri), await join(uri, n=1)
            await refused(join(uri, n=2), OVER)
            await refused(join(uri, login("one"), n=3), OVER, "as its quota allows")
            await a.leave()
            c = await rejoined(lambda: join(uri, n=2), OVER)
            await b.leave()
            await c.leave()

        async def authids():
            uri = f"authid.{library.name}"
            a, b = await join(uri, login("one")), await join(uri, login("two"), n=1)
            await refused(join(uri, login("one"), n=2), OVER, "authid")
            await a.leave()
            c = await rejoined(lambda: join(uri, login("one"), n=2), OVER, "authid")
            await b.leave()
            await c.leave()

        async def unique():
            uri = f"refuse.{library.name}"
            a = await join(uri, login("one"))
            await refused(join(uri, login("one"), n=1), "wamp.error.not_authorized", "authid")
            assert not a.closed.done()
            await a.leave()

        async def replaced():
            uri = f"replace.{library.name}"
            a = await join(uri, login("one"))
            b = await join(uri, login("one"), n=1)
            reason = await a.over()
            assert reason == "wamp.close.killed" or library.name == "wampy", reason  # wampy does not tell
            await b.subscribe("com.still.here")
            await b.leave()

        async def failures():
            uri = f"failures.{library.name}"
            for n in range(10):  # so many at once, then the configured ones of each minute
                await refused(join(uri, login("victim", "?"), n), "wamp.error.authentication_denied", "are wrong")
            await refused(join(uri, login("victim")), "wamp.error.authentication_denied", "too many failed attempts")
            await (await join(uri, login("one"))).leave()

        cases = {
            "LIM-01 subscriptions and registrations of a session": per_session,
            "LIM-01 patterns of a session": patterns,
            "LIM-01 calls of a session": calls,
            "LIM-01 subscriptions and registrations of a realm": per_realm,
            "LIM-01 sessions of a realm": sessions,
            "LIM-01 sessions of an authid": authids,
            "an authid that is taken is refused": unique,
            "the newer session of an authid replaces the older": replaced,
            "failed logins of an authid": failures,
        }
        for name, function in cases.items():
            await suite.case(f"{name}: {library.name}", function())

    await asyncio.gather(*map(each, suite.clients.all))
    await router.stop()
    await places(suite)


async def rejoined(join, error, text=""):
    """Joins when the place of a session that has left is free."""
    got = []

    async def attempt():
        try:
            got.append(await join())
        except Exception as failure:
            assert error in str(failure) or (text and text in str(failure)), failure
        return got

    await until(attempt, "a place is free")
    return got[0]


async def places(suite):
    """connections_per_address_max: a client that lost its connection gets in again when there is a place."""
    port = free_port()
    router = await suite.router(
        "places",
        listeners=[{"address": f"127.0.0.1:{port}"}],
        limits={"connections_per_address_max": 1, "retry_after": "1s"},
        realms=[realm("realm1", {"anonymous": {"role": "all"}}, {"all": EVERYTHING})],
    )
    at = Address(port, None)

    async def answered(relay, link):
        """Waits for the refusal on its way to the client."""

        def told():
            if link[0] == "ws":
                return next((answer for answer in relay.answers if answer.startswith(RETRY)), None)
            return b"\x7f\x40\x00\x00" in relay.answers

        answer = await until(told, f"503 or error 4 on {link[0]}: {relay.answers}")
        assert link[0] != "ws" or b"\r\nRetry-After: " in answer, answer

    async def busy(library, link):
        """The client cannot join while the only place is taken, and can afterwards."""
        relay = await Relay(port).start()
        holder = await rejoined(lambda: suite.clients.python.join(("ws", "cbor"), at, "realm1"), "")
        through = Address(relay.port, None)
        try:
            session = await library.join(link, through, "realm1")
        except Exception as error:
            assert not isinstance(error, asyncio.TimeoutError), "the client does not see that it cannot join"
        else:
            raise AssertionError(f"joined as {session.identity}")
        await answered(relay, link)
        await holder.subscribe("com.still.here")
        await holder.leave()
        session = await rejoined(lambda: library.join(link, through, "realm1"), "")
        await session.leave()
        relay.stop()

    async def returns(library, link):
        """The client reconnects by itself, is refused while the place is taken, and gets in when it is free."""
        relay = await Relay(port).start()
        session = await rejoined(lambda: library.join(link, Address(relay.port, None), "realm1", reconnect=True), "")
        holder = None

        async def taken():
            nonlocal holder
            relay.cut()
            try:
                holder = await suite.clients.python.join(("tcp", "cbor"), at, "realm1")
            except Exception:
                return False
            return True

        await until(taken, "somebody else has the place")
        relay.answers.clear()
        await answered(relay, link)
        joins = await session.joins()
        await holder.leave()

        async def again():
            return await session.joins() > joins

        await until(again, "the client is back", 20)
        await session.subscribe(f"com.back.{library.name}")
        await session.leave()
        relay.stop()

    async def component():
        """The reconnecting component of Autobahn for Python."""
        relay = await Relay(port).start()
        holder = await rejoined(lambda: suite.clients.python.join(("tcp", "cbor"), at, "realm1"), "")
        url = f"ws://127.0.0.1:{relay.port}/ws"
        transport = {
            "type": "websocket",
            "url": url,
            "max_retries": -1,
            "initial_retry_delay": 0.1,
            "max_retry_delay": 0.2,
        }
        client = Component(transports=[transport], realm="realm1")
        joined = asyncio.get_running_loop().create_future()
        client.on("join", lambda session, details: joined.set_result(session))
        running = client.start(loop=asyncio.get_running_loop())
        await answered(relay, ("ws",))
        assert not joined.done()
        await holder.leave()
        session = await asyncio.wait_for(joined, 20)
        session.leave()
        await asyncio.wait_for(running, 10)
        relay.stop()

    for library in suite.clients.all:
        for link in {link[0]: link for link in library.links}.values():
            if library.name == "autobahn-js" and link[0] == "tcp":
                continue  # it sees neither the refusal nor the end of a RawSocket connection
            await suite.case(f"LIM-01 connections of an address: {library.name} {link[0]}", busy(library, link))
    for library in (suite.clients.js, suite.clients.wampy):
        await suite.case(
            f"LIM-01 {library.name} reconnects when there is a place", returns(library, library.links[0])
        )
    await suite.case("LIM-01 a component of autobahn-python reconnects when there is a place", component())
    await router.stop()
