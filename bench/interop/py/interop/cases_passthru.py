"""Payload that the router passes on as it is: enc_* in the manner of Autobahn's payload codecs. PROTOCOL 12.2."""

import json

from autobahn.wamp.types import EncodedPayload

from .client import Peer
from .stage import Inbox, echo, fails
from .table import case


class Codec:
    """Turns each payload into octets that no serializer of WAMP understands, and counts."""

    def __init__(self, algo, serializer=None, key=None):
        self.algo, self.serializer, self.key = algo, serializer, key
        self.encoded = self.decoded = 0

    def encode(self, _is_originating, uri, args=None, kwargs=None):
        self.encoded += 1
        data = json.dumps([uri, list(args or []), kwargs or {}]).encode()
        return EncodedPayload(bytes(octet ^ 0xA5 for octet in data), self.algo, self.serializer, self.key)

    def decode(self, _is_originating, _uri, encoded):
        got = (encoded.enc_algo, encoded.enc_serializer, encoded.enc_key)
        assert got == (self.algo, self.serializer, self.key), got
        self.decoded += 1
        return json.loads(bytes(octet ^ 0xA5 for octet in encoded.payload))


FORMS = (("cryptobox", "json", "the key"), ("mqtt", None, None), ("x_interop", "x_own", None))


def coded(peers, form):
    for peer in peers:
        codec = Codec(*form)
        peer.session.set_payload_codec(codec)
        yield codec


@case("PPT-11 PPT-12 PPT-14: an event in another form than WAMP's arrives with its keys")
async def coded_event(stage):
    publisher, subscriber = await stage.joins(2)
    inbox = Inbox()
    await subscriber.subscribe(stage.uri("topic"), lambda args, kwargs, details: inbox.put(args, kwargs, details.enc_algo))
    for n, form in enumerate(FORMS):
        sender, receiver = coded((publisher, subscriber), form)
        await publisher.publish(stage.uri("topic"), ["secret", n], {"key": "value"})
        assert (await inbox.take(n + 1))[n] == (["secret", n], {"key": "value"}, form[0])
        assert (sender.encoded, receiver.decoded) == (1, 1)


@case("PPT-11: calls, progressive results, results and errors go there and back in another form than WAMP's")
async def coded_call(stage):
    caller, callee = await stage.joins(2)

    async def steps(args, kwargs, details):
        for n in range(3):
            details.progress("step", n)
        return args, kwargs

    def fail(args, kwargs, _details):
        raise Peer.error("com.example.failed", args, kwargs)

    await callee.register(stage.uri("echo"), echo)
    await callee.register(stage.uri("steps"), steps)
    await callee.register(stage.uri("fail"), fail)
    for form in FORMS:
        codecs = list(coded((caller, callee), form))
        assert await caller.call(stage.uri("echo"), ["a", 1], {"k": [2]}) == (["a", 1], {"k": [2]})
        got = Inbox()
        progress = lambda *args, **_kwargs: got.put(list(args))  # noqa: E731
        assert await caller.call(stage.uri("steps"), [form[0]], on_progress=progress) == ([form[0]], {})
        assert got.items == [["step", n] for n in range(3)]
        failure = await fails(caller.call(stage.uri("fail"), ["why"], {"code": 7}), "com.example.failed")
        assert (failure.positional, failure.kwargs) == (["why"], {"code": 7})
        assert [codec.encoded for codec in codecs] == [3, 6], [codec.encoded for codec in codecs]
        assert [codec.decoded for codec in codecs] == [6, 3], [codec.decoded for codec in codecs]
