"""Remote procedure calls. PROTOCOL 8."""

import asyncio

from autobahn.wamp.exception import ApplicationError

from .stage import Inbox, echo, fails, named
from .table import case


async def who(peer, procedure):
    return (await peer.call(procedure))[0][0]


@case("RPC-01 RPC-04: a call carries args and kwargs there and back, or nothing at all")
async def there_and_back(stage):
    callee, caller = await stage.joins(2)
    await callee.register(stage.uri("echo"), echo)
    for args, kwargs in ((["a", 2, [3]], {"k": {"deep": "v"}}), ([], {}), ([], {"only": "kwargs"}), (["one"], {})):
        assert await caller.call(stage.uri("echo"), args, kwargs) == (args, kwargs)


@case("RPC-03: an error carries its URI, args and kwargs back to the caller")
async def error(stage):
    callee, caller = await stage.joins(2)

    def fail(args, kwargs, _details):
        raise ApplicationError("com.example.failed", *args, **kwargs)

    await callee.register(stage.uri("fail"), fail)
    failure = await fails(caller.call(stage.uri("fail"), ["why", 7], {"code": 42}), "com.example.failed")
    assert (failure.positional, failure.kwargs) == (["why", 7], {"code": 42})


@case("RPC-02 URI-24: unknown procedures, and procedures of the protocol")
async def refused(stage):
    a = await stage.join()
    await fails(a.call(stage.uri("nope")), "wamp.error.no_such_procedure")
    await fails(a.call("wamp.no.such.thing"), "wamp.error.no_such_procedure")
    await fails(a.register("wamp.mine", echo), "wamp.error.invalid_uri")


@case("REG-02 REG-03 REG-20: a second registration is procedure_already_exists until the first is gone")
async def second_registration(stage):
    a, b = await stage.joins(2)
    registration = await a.register(stage.uri("mine"), named("a"))
    for peer, invoke in ((b, None), (b, "roundrobin"), (a, None)):
        await fails(peer.register(stage.uri("mine"), named("x"), invoke=invoke), "wamp.error.procedure_already_exists")
    assert await who(b, stage.uri("mine")) == "a"
    await a.unregister(registration)
    await fails(b.call(stage.uri("mine")), "wamp.error.no_such_procedure")
    await b.register(stage.uri("mine"), named("b"))
    assert await who(a, stage.uri("mine")) == "b"


@case("REG-05 REG-06: UNREGISTER of an unknown or foreign id is no_such_registration")
async def unregistering_nothing(stage):
    a, b = await stage.joins(2)
    theirs = await b.register(stage.uri("theirs"), named("b"))
    await fails(a.unregister_unknown(2**52), "wamp.error.no_such_registration")
    await fails(a.unregister_unknown(theirs.id), "wamp.error.no_such_registration")
    assert await who(a, stage.uri("theirs")) == "b"


@case("RPC-23 URI-15 URI-16 URI-17 URI-22: exact beats prefix beats wildcard, patterns are told the procedure")
async def patterns(stage):
    callee, caller = await stage.joins(2)
    for pattern, match, name in (
        ("p.q.r", "exact", "exact"),
        ("p.q", "prefix", "prefix"),
        ("p.q.long", "prefix", "longer"),
        ("p..s", "wildcard", "wildcard"),
    ):
        await callee.register(stage.uri(pattern), named(name), match=match)
    for name, winner in (
        ("p.q.r", "exact"),
        ("p.q.s", "prefix"),
        ("p.q.longest", "longer"),
        ("p.quick", "prefix"),
        ("p.x.s", "wildcard"),
    ):
        assert await caller.call(stage.uri(name)) == ([winner, stage.uri(name)], {}), name
    await fails(caller.call(stage.uri("p.x.t")), "wamp.error.no_such_procedure")


@case("REG-08 REG-12 REG-17: round robin takes turns, and goes on without the one who left")
async def round_robin(stage):
    caller, *callees = await stage.joins(4)
    ids = {(await c.register(stage.uri("shared"), named(n), invoke="roundrobin")).id for c, n in zip(callees, "abc")}
    assert len(ids) == 1
    assert "".join([await who(caller, stage.uri("shared")) for _ in range(6)]) == "abcabc"
    await callees[1].leave()
    assert "".join([await who(caller, stage.uri("shared")) for _ in range(4)]) in ("acac", "caca")


@case("REG-09 REG-14 REG-15 REG-16: first, last and random; another policy is procedure_already_exists")
async def policies(stage):
    a, b, caller = await stage.joins(3)
    for invoke in ("first", "last", "random"):
        for peer, name in ((a, "a"), (b, "b")):
            await peer.register(stage.uri(invoke), named(name), invoke=invoke)
    await fails(caller.register(stage.uri("first"), named("c"), invoke="last"), "wamp.error.procedure_already_exists")
    assert {await who(caller, stage.uri("first")) for _ in range(5)} == {"a"}
    assert {await who(caller, stage.uri("last")) for _ in range(5)} == {"b"}
    assert {await who(caller, stage.uri("random")) for _ in range(200)} == {"a", "b"}
    await a.leave()
    assert await who(caller, stage.uri("first")) == "b"


@case("RPC-06: 1 000 calls in flight, answered in reverse order, each get their own result")
async def in_flight(stage):
    callee, caller = await stage.joins(2)
    waiting = []

    async def late(args, _kwargs, _details):
        answer = asyncio.get_running_loop().create_future()
        waiting.append(answer)
        if len(waiting) == 1000:
            for future in reversed(waiting):
                future.set_result(None)
        await answer
        return ["late", args[0]], {}

    await callee.register(stage.uri("late"), late)
    results = await asyncio.gather(*(caller.call(stage.uri("late"), [n]) for n in range(1000)))
    assert results == [(["late", n], {}) for n in range(1000)]


@case("ORD-03: calls over several procedures reach the callee in call order")
async def order(stage):
    callee, caller = await stage.joins(2)
    seen = Inbox()

    def note(args, _kwargs, _details):
        seen.put(args[0])
        return args, {}

    for n in range(4):
        await callee.register(stage.uri(f"p{n}"), note)
    await asyncio.gather(*(caller.call(stage.uri(f"p{n % 4}"), [n]) for n in range(500)))
    assert seen.items == list(range(500))


@case("RPC-08 RPC-09: a callee that leaves or is cut off during a call leaves its caller with canceled")
async def callee_leaves(stage):
    caller = await stage.join()
    for how in ("leave", "drop"):
        callee, called = await stage.join(), Inbox()

        async def never(_args, _kwargs, _details, called=called):
            called.put(1)
            await asyncio.Event().wait()

        await callee.register(stage.uri(how), never)
        pending = asyncio.ensure_future(fails(caller.call(stage.uri(how)), "wamp.error.canceled"))
        await called.take(1)
        await getattr(callee, how)()
        await pending


def interruptible(called, interrupted):
    async def wait(_args, _kwargs, _details):
        called.put(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.put(1)
            raise

    return wait


@case("RPC-11: a caller that leaves during a call has its callee interrupted")
async def caller_leaves(stage):
    callee, gone, caller = await stage.joins(3)
    called, interrupted = Inbox(), Inbox()
    await callee.register(stage.uri("slow"), interruptible(called, interrupted))
    await callee.register(stage.uri("fine"), echo)
    gone.start_call(stage.uri("slow"))  # the library never completes it
    await called.take(1)
    await gone.leave()
    await interrupted.take(1)
    assert await caller.call(stage.uri("fine"), ["alive"]) == (["alive"], {})


@case("RPC-60 RPC-70: CANCEL without a mode interrupts the callee; both sessions live on")
async def cancel(stage):
    callee, caller = await stage.joins(2)
    called, interrupted = Inbox(), Inbox()
    await callee.register(stage.uri("slow"), interruptible(called, interrupted))
    await callee.register(stage.uri("fine"), echo)
    pending = caller.start_call(stage.uri("slow"))
    await called.take(1)
    pending.cancel()
    await interrupted.take(1)
    assert await caller.call(stage.uri("fine"), ["alive"]) == (["alive"], {})


@case("RPC-25 RPC-32 ORD-07: progressive results come in order, then the final one")
async def progress(stage):
    callee, caller = await stage.joins(2)

    async def steps(args, _kwargs, details):
        assert details.progress, "the callee is told that the caller wants progress"
        for n in range(args[0]):
            details.progress("step", n, half=n / 2)
        return ["done", args[0]], {}

    await callee.register(stage.uri("steps"), steps)
    got = Inbox()
    result = await caller.call(
        stage.uri("steps"), [50], on_progress=lambda *args, **kwargs: got.put(list(args), kwargs)
    )
    assert result == (["done", 50], {})
    assert got.items == [(["step", n], {"half": n / 2}) for n in range(50)]


@case("RPC-28: progressive results may end in an error")
async def progress_then_error(stage):
    callee, caller = await stage.joins(2)

    async def steps(_args, _kwargs, details):
        details.progress(1)
        raise ApplicationError("com.example.broke", "half way")

    await callee.register(stage.uri("steps"), steps)
    got = Inbox()
    await fails(caller.call(stage.uri("steps"), on_progress=got.put), "com.example.broke")
    assert got.items == [1]


@case("RPC-25: a caller that does not ask is not offered progress")
async def no_progress(stage):
    callee, caller = await stage.joins(2)
    await callee.register(stage.uri("plain"), lambda args, kwargs, details: ([details.progress is None], {}))
    assert await caller.call(stage.uri("plain")) == ([True], {})


@case("RPC-46 RPC-52: a call that takes too long ends with timeout and its callee is interrupted; a quick one is not")
async def timeout(stage):
    callee, caller = await stage.joins(2)
    called, interrupted = Inbox(), Inbox()
    await callee.register(stage.uri("slow"), interruptible(called, interrupted))
    await callee.register(stage.uri("quick"), echo)
    await fails(caller.call(stage.uri("slow"), timeout=50), "wamp.error.timeout")
    await interrupted.take(1)
    assert await caller.call(stage.uri("quick"), ["alive"], timeout=20_000) == (["alive"], {})
