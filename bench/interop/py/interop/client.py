"""Autobahn for Python (asyncio) behind the interface of the cases."""

import asyncio

from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.request import Registration, Subscription
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.wamp.types import (
    CallOptions,
    CallResult,
    ComponentConfig,
    PublishOptions,
    RegisterOptions,
    SubscribeOptions,
)

from .login import authenticator, tls_context

SERIALIZERS = {"json": JsonSerializer, "msgpack": MsgPackSerializer, "cbor": CBORSerializer}
TRANSPORTS = ("ws", "wsunix", "tcp", "unix")
PATIENCE = 10.0  # seconds that a case waits for something that should happen at once


def _accept_deflate(response):
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)
    return None


class Failure(Exception):
    """A WAMP ERROR or ABORT."""

    def __init__(self, uri, args=(), kwargs=None, message=None):
        super().__init__(f"{uri} {args!r:.300} {message or ''}")
        self.uri = uri
        self.positional = list(args)
        self.kwargs = kwargs or {}
        self.message = message


async def settled(future):
    """Awaits future with a deadline and turns the library's error into a Failure."""
    try:
        return await asyncio.wait_for(future, PATIENCE)
    except ApplicationError as error:
        raise Failure(error.error, error.args, error.kwargs) from None


def payload(result):
    if isinstance(result, CallResult):
        return list(result.results), dict(result.kwresults)
    return ([] if result is None else [result]), {}


class _Session(ApplicationSession):
    """The library's session; it only reports to its Peer."""

    def __init__(self, peer, realm, login=None):
        super().__init__(ComponentConfig(realm=realm))
        self.peer = peer
        self.login = login
        self.authenticator = authenticator(login) if login else None

    def onConnect(self):
        if not self.login:
            return super().onConnect()
        method, authid, extra = self.login["method"], self.login["authid"], self.authenticator.authextra
        self.join(self.config.realm, authmethods=[method], authid=authid, authextra=extra)

    def onChallenge(self, challenge):
        return self.authenticator.on_challenge(self, challenge)

    def onWelcome(self, welcome):
        return self.authenticator.on_welcome(self, welcome.authextra) if self.login else None

    def onJoin(self, details):
        self.peer.welcome = details
        self.peer.joined.set_result(details)

    def onLeave(self, details):
        self.peer.goodbye = details
        if not self.peer.joined.done():
            self.peer.joined.set_exception(Failure(details.reason, message=details.message))
        self.disconnect()

    def onDisconnect(self):
        if not self.peer.joined.done():
            self.peer.joined.set_exception(ConnectionError("closed before WELCOME"))
        self.peer.closed.set()

    def onUserError(self, fail, msg):
        """Handlers raise errors on purpose: they are not reported."""


class Peer:
    """One session of the library."""

    def __init__(self):
        self.joined = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.welcome = None
        self.goodbye = None
        self.leaving = False  # the case itself ended it

    @classmethod
    async def join(cls, link, address, realm="realm1", serializers=None, login=None, headers=None):
        peer = cls()
        loop = asyncio.get_running_loop()
        peer.session = _Session(peer, realm, login)
        transport, serializer = link
        if transport.startswith("ws"):
            offered = serializers or [SERIALIZERS[serializer]()]
            url = f"{'wss' if transport == 'wss' else 'ws'}://{address.host}:{address.port}/ws"
            if address.tls and address.tls.get("cookie"):
                headers = {"Cookie": address.tls["cookie"], **(headers or {})}
            factory = WampWebSocketClientFactory(lambda: peer.session, url=url, serializers=offered, headers=headers)
            # The router compresses events on the listeners that allow it; the library inflates them.
            factory.setProtocolOptions(
                perMessageCompressionOffers=[PerMessageDeflateOffer()], perMessageCompressionAccept=_accept_deflate
            )
        else:
            factory = WampRawSocketClientFactory(lambda: peer.session, serializer=SERIALIZERS[serializer]())
        if transport in ("ws", "tcp"):
            _, peer.protocol = await loop.create_connection(factory, address.host, address.port)
        elif transport in ("wss", "tcps"):
            context = tls_context(address.tls)
            _, peer.protocol = await loop.create_connection(factory, address.host, address.port, ssl=context)
        else:
            _, peer.protocol = await loop.create_unix_connection(factory, address.unix)
        peer.watch_connection()
        await asyncio.wait_for(peer.joined, PATIENCE)
        return peer

    def watch_connection(self):
        """Ends a join whose connection ends before there is a session: the library tells nobody then."""
        lost = self.protocol.connection_lost

        def connection_lost(error):
            lost(error)
            if not self.joined.done():
                self.joined.set_exception(ConnectionError(f"closed before there was a session: {error}"))

        self.protocol.connection_lost = connection_lost

    @property
    def id(self):
        return self.welcome.session

    @property
    def alive(self):
        return self.session.is_attached()

    async def subscribe(self, topic, on_event, match=None, **more):
        """Calls on_event(args, kwargs, details) for each event."""

        def handler(*args, details, **kwargs):
            on_event(list(args), kwargs, details)

        return await settled(self.session.subscribe(handler, topic, SubscribeOptions(match=match, details_arg="details", **more)))

    async def unsubscribe(self, subscription):
        await settled(subscription.unsubscribe())

    async def publish(self, topic, args=(), kwargs=None, acknowledge=True, **options):
        sent = self.session.publish(
            topic, *args, options=PublishOptions(acknowledge=acknowledge, **options), **(kwargs or {})
        )
        return (await settled(sent)).id if acknowledge else None

    async def register(self, procedure, handler, match=None, invoke=None, **more):
        """Answers calls with what handler(args, kwargs, details), perhaps a coroutine, returns: (args, kwargs)."""

        async def endpoint(*args, details, **kwargs):
            result = handler(list(args), kwargs, details)
            if asyncio.iscoroutine(result):
                result = await result
            result_args, result_kwargs = result
            return CallResult(*result_args, **result_kwargs)

        options = RegisterOptions(match=match, invoke=invoke, details_arg="details", **more)
        return await settled(self.session.register(endpoint, procedure, options=options))

    @staticmethod
    def error(uri, args, kwargs):
        """Returns the exception that a handler raises to answer with ERROR."""
        return ApplicationError(uri, *args, **kwargs)

    async def unregister(self, registration):
        await settled(registration.unregister())

    def start_call(self, procedure, args=(), kwargs=None, on_progress=None, timeout=None):
        """Returns the library's future; cancelling it sends CANCEL. timeout is in milliseconds, as it is sent."""
        options = CallOptions(on_progress=on_progress, timeout=timeout) if on_progress or timeout else None
        return self.session.call(procedure, *args, options=options, **(kwargs or {}))

    async def call(self, procedure, args=(), kwargs=None, on_progress=None, timeout=None):
        return payload(await settled(self.start_call(procedure, args, kwargs, on_progress, timeout)))

    async def unsubscribe_unknown(self, subscription_id):
        """Makes the library send UNSUBSCRIBE for an id it never got."""
        unknown = Subscription(subscription_id, "interop.unknown", self.session, None)
        self.session._subscriptions[subscription_id] = [unknown]
        await self.unsubscribe(unknown)

    async def unregister_unknown(self, registration_id):
        unknown = Registration(self.session, registration_id, "interop.unknown", None)
        self.session._registrations[registration_id] = unknown
        await self.unregister(unknown)

    async def leave(self, reason=None):
        """Says GOODBYE and returns the router's reason when the transport is closed."""
        self.leaving = True
        self.session.leave(reason)
        await asyncio.wait_for(self.closed.wait(), PATIENCE)
        return self.goodbye.reason

    async def ended(self):
        """Waits until the router has ended the session."""
        self.leaving = True
        await asyncio.wait_for(self.closed.wait(), PATIENCE)

    async def drop(self):
        """Cuts the transport without GOODBYE and without a closing handshake."""
        self.leaving = True
        self.protocol.transport.abort()
        await asyncio.wait_for(self.closed.wait(), PATIENCE)
