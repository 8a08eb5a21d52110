"""A Stage gives a case its sessions and URIs, and cleans up after it."""

import itertools
import os

from .client import Failure, Peer
from .router import Address, until

_serial = itertools.count(1)


class Stage:
    def __init__(self, link):
        self.link = link
        self.transport, self.serializer = link
        self.base = f"interop.py.p{os.getpid()}.n{next(_serial)}"
        self.address = Address.given()
        self.peers = []
        self.routers = []

    def uri(self, name):
        return f"{self.base}.{name}"

    async def join(self, **options):
        options.setdefault("address", self.address)
        peer = await Peer.join(self.link, **options)
        self.peers.append(peer)
        return peer

    async def joins(self, n):
        return [await self.join() for _ in range(n)]

    async def own(self, name="", space="own"):
        """Joins a realm of this case on the router with a configuration file; name is for a second one."""
        realm = f"interop.{space}.{self.uri(name) if name else self.base}"
        return await self.join(address=Address.configured(), realm=realm)

    async def owns(self, n):
        return [await self.own() for _ in range(n)]

    def check(self):
        """Fails if a session was lost: the library ends the connection when the router violates the protocol."""
        for peer in self.peers:
            assert peer.alive or peer.leaving, "a session ended that the case did not end"

    async def end(self):
        for peer in self.peers:
            if peer.alive:
                await peer.leave()
        for router in self.routers:
            await router.stop()


class Inbox:
    """Collects what handlers receive and lets a case wait for it."""

    def __init__(self):
        self.items = []

    def put(self, *item):
        self.items.append(item[0] if len(item) == 1 else item)

    async def take(self, n):
        await until(lambda: len(self.items) >= n, f"{n} items, have {len(self.items)}")
        return self.items


async def fails(awaitable, uri):
    """Expects a WAMP error of that URI and returns it."""
    try:
        got = await awaitable
    except Failure as failure:
        assert failure.uri == uri, f"expected {uri}, got {failure}"
        return failure
    raise AssertionError(f"expected {uri}, got {got!r:.300}")


def echo(args, kwargs, _details):
    return args, kwargs


def named(name):
    return lambda _args, _kwargs, details: ([name, details.procedure], {})


