"""The stock clients behind one interface: Autobahn for Python here, the others in a process per language."""

import asyncio
import itertools
import os

from interop.client import PATIENCE, Failure, Peer
from interop.router import Address, until
from members import Remote, pack, unpack

_serial = itertools.count(1)


class Held:
    """A procedure of Autobahn for Python that does not answer before it is let go."""

    def __init__(self):
        self.open = asyncio.Event()
        self.called = 0

    async def register(self, session, procedure):
        await session.peer.register(procedure, self._answer)
        return self

    async def _answer(self, args, kwargs, _details):
        self.called += 1
        await self.open.wait()
        return args, kwargs


class Event:
    def __init__(self, topic, args, details):
        self.topic, self.args, self.details = topic, args, details


class Host(Remote):
    """A process that holds sessions of one language."""

    def __init__(self, *command, env=None):
        super().__init__(*command, env=env)
        self.sessions = {}

    def tell(self, message):
        session = self.sessions[message.get("event") or message["closed"]]
        if "event" in message:
            details = unpack(message.get("details") or ["map", []])
            session.events.append(Event(message["topic"], unpack(message["args"]), details))
        elif not session.closed.done():
            session.closed.set_result(message.get("reason"))


class Session:
    """One session. closed is a future of the reason of the router's GOODBYE, None if there was none."""

    def __init__(self, library, link):
        self.library, self.link = library, link
        self.name = f"{library.name}-{link[0]}-{link[1]}-{next(_serial)}"
        self.events = []
        self.closed = asyncio.get_running_loop().create_future()
        self.identity = {}

    async def heard(self, n, what="events"):
        """Waits for n events in all and returns their first arguments."""
        await until(lambda: len(self.events) >= n, f"{self.name}: {n} {what}, have {len(self.events)}")
        return [event.args[0] for event in self.events]

    async def over(self, seconds=PATIENCE):
        """Waits until the client knows that the session is over and returns the reason of the router's GOODBYE."""
        return await asyncio.wait_for(asyncio.shield(self.closed), seconds)


class RemoteSession(Session):
    async def join(self, at, realm, login, reconnect=False):
        host = self.library.host
        host.sessions[self.name] = self
        fields = {"library": self.library.name, "transport": self.link[0], "serializer": self.link[1]}
        address = {"tcp": f"{at.host}:{at.port}", "unix": at.unix or "", "tls": at.tls}
        reply = await host.ask(
            "join", self.name, at=address, realm=realm, login=login or {}, reconnect=reconnect, **fields
        )
        self.identity = reply["identity"]

    async def joins(self):
        return (await self.library.host.ask("joins", self.name))["joins"]

    async def revoked(self):
        """Returns what the router has taken away, as the client tells it: [subscription or registration, reason]."""
        return (await self.library.host.ask("revoked", self.name))["revoked"]

    async def subscribe(self, topic, match="exact"):
        await self.library.host.ask("subscribe", self.name, topic=topic, match=match)

    async def publish(self, topic, args=(), **options):
        await self.library.host.ask(
            "publish", self.name, topic=topic, args=pack(args), kwargs=pack({}), options=options
        )

    async def register(self, procedure, behaviour="echo", table=None):
        table = {key: pack(value) for key, value in (table or {}).items()}
        await self.library.host.ask("register", self.name, procedure=procedure, behaviour=behaviour, table=table)

    async def call(self, procedure, args=()):
        reply = await self.library.host.ask("call", self.name, procedure=procedure, args=pack(args), kwargs=pack({}))
        return unpack(reply["args"])

    async def leave(self):
        await self.library.host.ask("leave", self.name)


class LocalSession(Session):
    async def join(self, at, realm, login, reconnect=False):
        assert not reconnect, "Autobahn for Python reconnects only as a component"
        self.peer = await Peer.join(self.link, at, realm, login=login)
        welcome = self.peer.welcome
        self.identity = {
            key: getattr(welcome, key) for key in ("authid", "authrole", "authmethod", "authprovider", "authextra")
        }
        self.watching = asyncio.ensure_future(self._watch())

    async def _watch(self):
        await self.peer.closed.wait()
        self.closed.set_result(self.peer.goodbye and self.peer.goodbye.reason)

    async def subscribe(self, topic, match="exact"):
        def put(args, _kwargs, details):
            keys = ("publisher", "publisher_authid", "publisher_authrole")
            self.events.append(Event(details.topic, args, {key: getattr(details, key) for key in keys}))

        await self.peer.subscribe(topic, put, match=match)

    async def publish(self, topic, args=(), **options):
        await self.peer.publish(topic, args, **options)

    async def register(self, procedure, behaviour="echo", table=None):
        def answer(args, kwargs, details):
            if behaviour == "details":
                return [{key: getattr(details, key) for key in ("caller", "caller_authid", "caller_authrole")}], {}
            if behaviour == "table":
                third = args[2].get("ticket") if isinstance(args[2], dict) else args[2]
                value = table.get(f"{args[1]} {third}", table.get("*"))
                if isinstance(value, dict) and "error" in value:
                    raise Peer.error(value["error"], [value.get("message")], {})
                return [value], {}
            return args, kwargs

        await self.peer.register(procedure, answer)

    async def call(self, procedure, args=()):
        return (await self.peer.call(procedure, args))[0]

    async def leave(self):
        if self.peer.alive:
            await self.peer.leave()


class Library:
    """A client library. methods are those that it, or an application of it, can log in by."""

    def __init__(self, name, host, links, methods, secure, bindings=(), unix=()):
        self.name, self.host = name, host
        self.links, self.secure, self.unix = links, secure, unix  # without TLS, with it, and on Unix sockets
        self.methods = methods
        self.bindings = bindings  # channel bindings that cryptosign can have

    def link(self, n, secure=False):
        """Returns a link; successive n take turns."""
        links = self.secure if secure else self.links
        return links[n % len(links)]

    async def join(self, link, at, realm, login=None, reconnect=False):
        session = (RemoteSession if self.host else LocalSession)(self, link)
        await session.join(at, realm, login, reconnect)
        return session


def links(*transports):
    return [(transport, serializer) for serializer in ("json", "msgpack", "cbor") for transport in transports]


class Clients:
    """All libraries. Their processes trust the authority of the suite."""

    def __init__(self, ca):
        js = Host("node", "js/remote.mjs")
        go = Host(".build/remote", env={**os.environ, "SSL_CERT_FILE": ca})
        common = ("anonymous", "ticket", "wampcra", "cryptosign", "tls")
        self.hosts = (js, go)
        self.js = Library(
            "autobahn-js", js, [*links("ws"), ("tcp", "json")], (*common, "pbkdf2"), links("wss"), ("tls-exporter",),
            [*links("wsunix"), ("unix", "json")],
        )
        self.wampy = Library("wampy", js, links("ws"), common, links("wss"), ("tls-exporter",))
        self.python = Library(
            "autobahn-python", None, links("ws", "tcp"), (*common, "scram"), links("wss", "tcps"), ("tls-unique",),
            links("wsunix", "unix"),
        )
        self.nexus = Library(
            "nexus", go, links("ws", "tcp"), (*common, "argon2id13", "pbkdf2"), links("wss", "tcps"), (), links("unix")
        )
        self.xconn = Library(
            "xconn",
            go,
            links("ws", "tcp"),
            (*common, "argon2id13", "pbkdf2"),
            links("wss"),
            ("tls-exporter", "tls-unique"),
            links("wsunix", "unix"),
        )
        self.all = (self.js, self.wampy, self.python, self.nexus, self.xconn)

    async def start(self):
        await asyncio.gather(*(host.start() for host in self.hosts))

    async def stop(self):
        for host in self.hosts:
            await host.stop()


async def refused(awaitable, uri, text=""):
    """Expects a refusal with that URI. The Go clients tell it as text, nexus after a CHALLENGE only with the message:
    then that has to contain text."""
    try:
        got = await awaitable
    except Failure as failure:
        shown = f"{failure.uri} {failure.positional} {failure.message}"
        assert (
            failure.uri == uri or uri in failure.uri or (text and text in failure.uri)
        ), f"expected {uri}, got {shown}"
        return failure
    raise AssertionError(f"expected {uri}, got {getattr(got, 'identity', got)!r:.300}")


__all__ = ["Address", "Clients", "Failure", "Held", "Peer", "Session", "refused", "until"]
