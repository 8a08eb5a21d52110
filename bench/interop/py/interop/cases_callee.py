"""Callees that have enough to do, or say that they have, and timeouts in seconds. PROTOCOL 8.7, 8.16, 8.17."""

import asyncio

from .client import Peer
from .stage import Inbox, echo, fails, named
from .table import case, one_link


@case("REG concurrency: a callee has as many open calls as it wants")
async def concurrency(stage):
    callee, caller = await stage.joins(2)
    called, answer = Inbox(), asyncio.Event()

    async def busy(args, _kwargs, _details):
        called.put(1)
        await answer.wait()
        return args, {}

    await callee.register(stage.uri("busy"), busy, concurrency=2)
    calls = [asyncio.ensure_future(caller.call(stage.uri("busy"), ["call", n])) for n in (1, 2)]
    await called.take(2)
    await fails(caller.call(stage.uri("busy")), "wamp.error.unavailable")
    answer.set()
    assert await asyncio.gather(*calls) == [(["call", 1], {}), (["call", 2], {})]
    assert await caller.call(stage.uri("busy"), ["call", 3]) == (["call", 3], {})


@case("RPC-85: a callee that says it is unavailable says so to its caller, unless it asked to be passed by")
async def unavailable(stage):
    callee, other, caller = await stage.joins(3)

    def busy(_args, _kwargs, _details):
        raise Peer.error("wamp.error.unavailable", ["not now"], {})

    await callee.register(stage.uri("shared"), busy, invoke="first")
    await other.register(stage.uri("shared"), echo, invoke="first")
    failure = await fails(caller.call(stage.uri("shared")), "wamp.error.unavailable")
    assert failure.positional == ["not now"]


@case("RPC-46 RPC-54 in seconds: a realm whose clients think in seconds takes timeouts so", only=one_link)
async def seconds(stage):
    callee, caller = [await stage.own(space="seconds") for _ in range(2)]
    answer = asyncio.Event()

    async def slow(args, _kwargs, _details):
        await answer.wait()
        return args, {}

    await callee.register(stage.uri("slow"), slow)
    start = asyncio.get_running_loop().time()
    await fails(caller.call(stage.uri("slow"), timeout=1), "wamp.error.timeout")
    took = asyncio.get_running_loop().time() - start
    assert 0.9 < took < 5, took
    pending = asyncio.ensure_future(caller.call(stage.uri("slow"), ["in time"], timeout=20))
    await asyncio.sleep(0.1)  # 20 ms have long been over
    answer.set()
    assert await pending == (["in time"], {})


@case("REG-21 REG-24: force_reregister takes a procedure over, from those who may")
async def force(stage):
    caller, older, newer = await stage.owns(3)
    await older.register(stage.uri("mine"), named("older"), force_reregister=True)
    await newer.register(stage.uri("mine"), named("newer"), force_reregister=True)
    assert (await caller.call(stage.uri("mine")))[0][0] == "newer"
    assert (await older.call(stage.uri("mine")))[0][0] == "newer"  # it lives, and has been told
    a, b = await stage.joins(2)  # the other router: a realm without rules lets nobody do it
    await a.register(stage.uri("mine"), named("a"), force_reregister=True)
    await fails(b.register(stage.uri("mine"), named("b"), force_reregister=True), "wamp.error.option_not_allowed")
