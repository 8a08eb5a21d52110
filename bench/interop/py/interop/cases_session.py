"""Joining, leaving, losing the connection, and joining again. PROTOCOL 4."""

import signal

from autobahn.wamp.serializer import CBORSerializer, JsonSerializer

from .client import Peer
from .router import Router
from .stage import Failure, Inbox, echo, fails, named, until
from .table import case, one_link


@case("SES-01 SES-39: joins and is told realm, identity and session id")
async def joins(stage):
    a = await stage.join()
    assert 1 <= a.id <= 2**53
    details = a.welcome
    assert details.realm == "realm1", details
    for key in ("authid", "authrole", "authmethod", "authprovider"):
        assert isinstance(getattr(details, key), str), key
    features = a.session._router_roles
    assert set(features) == {"broker", "dealer"}, features


@case("SES-03: a realm that does not exist is refused with no_such_realm and a reason")
async def wrong_realm(stage):
    refused = await fails(stage.join(realm="interop.no.such.realm"), "wamp.error.no_such_realm")
    assert refused.message


@case("SES-25 SES-48: GOODBYE is answered with goodbye_and_out, whatever its reason")
async def goodbye(stage):
    for reason in (None, "wamp.close.logout", "wamp.error.close_realm"):
        a = await stage.join()
        assert await a.leave(reason) == "wamp.close.goodbye_and_out"


@case("SES-26 REG-07: after the GOODBYE reply nobody reaches its procedures, and others may register them")
async def goodbye_cleans_up(stage):
    callee, other = await stage.joins(2)
    await callee.register(stage.uri("gone"), named("first"))
    await callee.leave()
    await fails(other.call(stage.uri("gone")), "wamp.error.no_such_procedure")
    await other.register(stage.uri("gone"), named("second"))
    assert (await other.call(stage.uri("gone")))[0][0] == "second"


@case("SES-34 TRN-47: a connection that is cut takes subscriptions and registrations with it")
async def cut(stage):
    lost, other = await stage.joins(2)
    await lost.register(stage.uri("lost"), echo)
    await lost.subscribe(stage.uri("topic"), lambda *_: None)
    await lost.drop()

    async def gone():
        try:
            await other.call(stage.uri("lost"))
        except Failure as failure:
            return failure.uri == "wamp.error.no_such_procedure"
        return False

    await until(gone, "the registration is gone")
    await other.publish(stage.uri("topic"), ["into the void"])


@case("SES-27: the same client joins again, with a new id and working subscriptions")
async def joins_again(stage):
    publisher = await stage.join()
    ids = set()
    for n in range(3):
        a, inbox = await stage.join(), Inbox()
        ids.add(a.id)
        await a.subscribe(stage.uri("again"), lambda args, kwargs, _, inbox=inbox: inbox.put(args))
        await publisher.publish(stage.uri("again"), [n])
        assert await inbox.take(1) == [[n]]
        await a.leave()
    assert len(ids) == 3


@case("SES-41: realms do not see each other, and may hold the same procedure")
async def realms(stage):
    one, two = await stage.join(), await stage.join(realm="realm2")
    await one.register(stage.uri("same"), named("one"))
    await fails(two.call(stage.uri("same")), "wamp.error.no_such_procedure")
    await two.register(stage.uri("same"), named("two"))
    inbox = Inbox()
    await one.subscribe(stage.uri("topic"), lambda args, *_: inbox.put(args))
    for realm in ("realm2", "realm1"):
        a = await stage.join(realm=realm)
        assert (await a.call(stage.uri("same")))[0][0] == {"realm1": "one", "realm2": "two"}[realm]
        await a.publish(stage.uri("topic"), [realm])
    assert await inbox.take(1) == [["realm1"]]


@case("TRN-03: of a batched and a plain subprotocol one that works is chosen", only=lambda link: link[0].startswith("ws"))
async def batched_offer(stage):
    a = await stage.join(serializers=[JsonSerializer(batched=True), CBORSerializer()])
    await a.register(stage.uri("echo"), echo)
    assert await a.call(stage.uri("echo"), [b"bytes", 1], {"k": None}) == ([b"bytes", 1], {"k": None})


async def own_router(stage):
    router = Router()
    stage.routers.append(router)
    await router.run()
    return router


@case("SES-31: a router that shuts down says system_shutdown and closes", only=one_link)
async def shutdown(stage):
    router = await own_router(stage)
    peers = [await stage.join(address=router.address) for _ in range(3)]
    await router.stop(signal.SIGTERM)
    for peer in peers:
        peer.leaving = True
        await until(peer.closed.is_set, "the session was closed")
        assert peer.goodbye.reason == "wamp.close.system_shutdown", peer.goodbye


@case("a router that crashed and came back can be joined again", only=one_link)
async def crash(stage):
    router = await own_router(stage)
    a = await Peer.join(stage.link, router.address)
    await router.stop(signal.SIGKILL)
    await until(a.closed.is_set, "the crash was seen")
    await router.run()
    a, inbox = await stage.join(address=router.address), Inbox()
    b = await stage.join(address=router.address)
    await a.subscribe(stage.uri("anew"), lambda args, *_: inbox.put(args))
    await b.publish(stage.uri("anew"), ["hello"])
    assert await inbox.take(1) == [["hello"]]
