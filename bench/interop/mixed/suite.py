"""All clients at once: every library, transport and serializer publishes, subscribes, calls and is called.

Every pair is checked, so the router transcodes every serializer into every other one. Received values are compared
with those sent. PROTOCOL 14.4; checklist SER-01 to SER-11, SER-27, TRN-46, PUB-28, RPC-01, RPC-03.
"""

import asyncio
import base64
import binascii
import itertools
import math
import os
import pathlib
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "py"))

from interop.client import PATIENCE, Failure  # noqa: E402 - the path comes first
from interop.router import until  # noqa: E402

from members import LocalMember, Octets, Remote, RemoteMember  # noqa: E402

JS = Remote("node", "js/remote.mjs")
GO = Remote(".build/remote")

MEMBERS = [
    *(RemoteMember(JS, "autobahn-js", "ws", serializer) for serializer in ("json", "msgpack", "cbor")),
    RemoteMember(JS, "autobahn-js", "tcp", "json"),
    *(RemoteMember(JS, "wampy", "ws", serializer) for serializer in ("json", "msgpack", "cbor")),
    LocalMember("ws", "json"),
    LocalMember("tcp", "msgpack"),
    LocalMember("unix", "cbor"),
    LocalMember("wsunix", "json"),
    RemoteMember(GO, "nexus", "ws", "json"),
    RemoteMember(GO, "nexus", "tcp", "msgpack"),
    RemoteMember(GO, "nexus", "unix", "cbor"),
    RemoteMember(GO, "xconn", "ws", "cbor"),
    RemoteMember(GO, "xconn", "tcp", "json"),
    RemoteMember(GO, "xconn", "unix", "msgpack"),
]

BASE = f"interop.mixed.p{os.getpid()}"
_serial = itertools.count(1)
ARGS = [
    None,
    True,
    [0, 1, -1, 255, 65536, -(2**31), 2**32, 2**53 - 1, -(2**53) + 1],
    [0.1, -2.5, 1e300, 5e-324],
    ["", 'quote " and \\', "\x01\n\t", "😀 e\u0301 \U0010ffff שלום", "</script>\u2028"],
    bytes(range(256)),
    {"nested": {"list": [[], {}, [None, {"deep": b"\x00\xff"}]]}},
]
KWARGS = {"none": None, "bytes": b"", "number": 7, "Ω key": ["x", 1.5]}


def spelled(value, member):
    """Returns value as member's application sends it: where only JSON types exist, binary is text after U+0000."""
    if isinstance(value, bytes) and member.spells_binary:
        return "\0" + base64.b64encode(value).decode()
    if isinstance(value, list):
        return [spelled(item, member) for item in value]
    if isinstance(value, dict):
        return {key: spelled(item, member) for key, item in value.items()}
    return value


def same(got, want, loose):
    """Compares values: True is not 1, text is not binary, and 1 is 1.0 only if loose."""
    if isinstance(got, str) and got.startswith("\0") and isinstance(want, bytes):
        try:
            got = base64.b64decode(got[1:], validate=True)
        except binascii.Error:
            return False
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(lambda g, w: same(g, w, loose), got, want))
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and all(same(got[k], want[k], loose) for k in want)
    if isinstance(want, bytes):
        return isinstance(got, bytes) and got == want
    numbers = (int, float)
    if loose and type(want) in numbers and type(got) in numbers:
        return got == want
    return type(got) is type(want) and got == want


def check(got, want, sender, receiver, what):
    loose = sender.loose_numbers or receiver.loose_numbers
    if not same(got, want, loose):
        raise AssertionError(f"{what} from {sender.name} to {receiver.name}: got {got!r:.600}, want {want!r:.600}")


async def received(sender, args, receivers, kwargs=None):
    """Publishes to a new topic and returns the event of each receiver but the sender: exactly one each."""
    topic = f"{BASE}.topic.{next(_serial)}"
    receivers = [member for member in receivers if member is not sender]

    def arrived(member):
        return [(got_args, got_kwargs) for got_topic, got_args, got_kwargs in member.inbox if got_topic == topic]

    await sender.publish(topic, args, kwargs or {})
    for member in receivers:
        await until(lambda m=member: arrived(m), f"{member.name} got the event of {sender.name}")
    got = {member: arrived(member) for member in receivers}
    for member, items in got.items():
        assert len(items) == 1, f"{member.name} got {len(items)} events of one publish"
    return {member: items[0] for member, items in got.items()}


async def events(sender, args, kwargs):
    """One publish of sender reaches every other member once."""
    got = await received(sender, spelled(args, sender), MEMBERS, spelled(kwargs, sender))
    for member, (got_args, got_kwargs) in got.items():
        check([got_args, got_kwargs], [args, kwargs], sender, member, "event")


async def calls(callee, args, kwargs):
    """Every other member calls callee's echo; the payload passes through both."""
    for caller in MEMBERS:
        if caller is not callee:
            got = await caller.call(f"{BASE}.echo.{callee.name}", spelled(args, caller), spelled(kwargs, caller))
            loose = callee if callee.loose_numbers else caller
            check(list(got[:2]), [args, kwargs], loose, caller, f"echo of {callee.name}")


async def errors(callee):
    args, kwargs = ["why", 7, b"\x01\x02"], {"code": 42, "nil": None}
    for caller in MEMBERS:
        if caller is not callee:
            try:
                got = await caller.call(f"{BASE}.fail.{callee.name}", spelled(args, caller), spelled(kwargs, caller))
                raise AssertionError(f"{caller.name} got {got} instead of an error")
            except Failure as failure:
                assert failure.uri == "com.example.mixed", failure
                got = [failure.positional, failure.kwargs]
                check(got, [args, kwargs], callee if callee.loose_numbers else caller, caller, f"error of {callee.name}")


async def steps(callee):
    """Progressive results: ten steps in order and a final one, for callers of every library."""
    args, kwargs = ["step", b"\x07"], {"k": "v"}
    for caller in MEMBERS:
        if caller is not callee:
            got_args, got_kwargs, got_steps = await caller.call(
                f"{BASE}.steps.{callee.name}", spelled(args, caller), spelled(kwargs, caller), progress=True
            )
            loose = callee if callee.loose_numbers else caller
            check([got_args, got_kwargs], [args, kwargs], loose, caller, f"final result of {callee.name}")
            want = [[n, *args] for n in range(10)]
            check([step[0] for step in got_steps], want, loose, caller, f"steps of {callee.name}")


async def turns():
    """All members share one registration; each is called once before anybody is called twice."""
    for member in MEMBERS:
        await member.register(f"{BASE}.shared", "name", invoke="roundrobin")
    names = [(await MEMBERS[0].call(f"{BASE}.shared"))[0][0] for _ in range(2 * len(MEMBERS))]
    assert names == [member.name for member in MEMBERS] * 2, names


async def burst():
    """200 calls of every member to every language at once."""
    targets = [next(m for m in MEMBERS if m.library == library) for library in ("autobahn-js", "autobahn-python", "nexus", "xconn")]

    async def one(caller, callee, n):
        got = await caller.call(f"{BASE}.echo.{callee.name}", [n, caller.name])
        assert same(got[0], [n, caller.name], True), (caller.name, callee.name, got)

    await asyncio.gather(
        *(one(caller, targets[n % len(targets)], n) for caller in MEMBERS for n in range(200) if caller is not targets[n % len(targets)])
    )


def typed(member):
    return not member.loose_numbers


def exact_integers(member):
    """Reports whether the library sends and returns integers beyond 2^53 as integers."""
    return typed(member) or member.name in ("autobahn-js-ws-cbor", "wampy-ws-msgpack")


def bignums(member):
    """Reports whether the library reads a CBOR bignum, which a BigInt becomes, as an integer."""
    return typed(member) and (member.serializer != "cbor" or member.library == "autobahn-python")


async def numbers(sender, values, among):
    """Numbers whose type or last bit matters, between libraries that keep both."""
    for member, (got, _) in (await received(sender, values, filter(among, MEMBERS))).items():
        exact = len(got) == len(values) and all(type(g) is type(w) and repr(g) == repr(w) for g, w in zip(got, values))
        assert exact, f"{sender.name} to {member.name}: got {got}, want {values}"


async def not_in_json(sender):
    """NaN and infinities are unchanged between binary serializers and become null in JSON."""
    values = [math.nan, math.inf, -math.inf]
    for member, (got, _) in (await received(sender, values, MEMBERS)).items():
        want = [None, None, None] if member.serializer == "json" else values
        assert repr(got) == repr(want), f"{sender.name} to {member.name}: got {got}"


async def typed_array(sender):
    """A Uint8Array of JavaScript has a tag in CBOR; receivers with other serializers get plain binary."""
    data = bytes(range(64))
    others = [member for member in MEMBERS if member.serializer != "cbor"]
    for member, (got, _) in (await received(sender, [Octets(data)], others)).items():
        check(got, [data], sender, member, "typed array")


async def once_each():
    """Nobody got an event twice in the whole run."""
    for member in MEMBERS:
        topics = [topic for topic, _, _ in member.inbox]
        assert len(topics) == len(set(topics)), f"{member.name} got an event twice"


def named(name):
    return next(member for member in MEMBERS if member.name == name)


def cases():
    for member in MEMBERS:
        yield f"events of {member.name} to all", events(member, ARGS, KWARGS)
        yield f"calls of all to {member.name}", calls(member, ARGS, KWARGS)
        yield f"errors of {member.name} to all", errors(member)
        # Callees of autobahn-js announce no call_canceling, so they are not asked for progress.
        if member.library != "autobahn-js":
            yield f"progressive results of {member.name} to all", steps(member)
        if member.library == "autobahn-python":
            integers = [2**53 + 1, 2**63 - 1, -(2**63)]
            yield f"integers of 64 bit from {member.name}", numbers(member, integers, exact_integers)
            yield f"integers up to 2^64 from {member.name}", numbers(member, [2**63, 2**64 - 1], typed)
            yield f"floats that look like integers from {member.name}", numbers(member, [1.0, -0.0, 1e15], typed)
    for name in ("nexus-tcp-msgpack", "nexus-unix-cbor", "xconn-ws-cbor", "xconn-unix-msgpack"):
        integers = [2**53 + 1, 2**63 - 1, -(2**63)]
        yield f"integers of 64 bit from {name}", numbers(named(name), integers, exact_integers)
    yield "big integers of a JavaScript BigInt", numbers(named("autobahn-js-ws-cbor"), integers, bignums)
    for name in ("autobahn-python-tcp-msgpack", "autobahn-python-unix-cbor"):
        yield f"NaN and infinities from {name}", not_in_json(named(name))
    for name in ("autobahn-js-ws-cbor", "wampy-ws-cbor"):
        yield f"a typed array from {name}", typed_array(named(name))
    large = ["0123456789abcdeŵ" * 20_000, os.urandom(300_000)]
    for name in ("autobahn-js-ws-cbor", "autobahn-python-ws-json", "nexus-tcp-msgpack"):
        yield f"600 KiB from {name} to all", events(named(name), large, {})
    yield "a registration shared by all takes turns", turns()
    yield "200 calls of each member at once", burst()
    yield "no event came twice", once_each()


async def settle():
    """Joins all members; they subscribe and register for the cases."""
    await asyncio.gather(JS.start(), GO.start())
    for member in MEMBERS:
        await member.join()
    for member in MEMBERS:
        await member.subscribe(f"{BASE}.topic", match="prefix")
        for behaviour in ("echo", "fail", "steps"):
            await member.register(f"{BASE}.{behaviour}.{member.name}", behaviour)


async def main():
    passed = failed = 0
    start = time.monotonic()

    async def attempt(name, case):
        nonlocal passed, failed
        try:
            await asyncio.wait_for(case, 4 * PATIENCE)
            passed += 1
        except Exception:
            failed += 1
            print(f"  FAIL {name}\n      " + traceback.format_exc(limit=-2).strip().replace("\n", "\n      "), flush=True)

    print(f"{len(MEMBERS)} sessions: {', '.join(member.name for member in MEMBERS)}")
    await settle()
    for name, case in cases():
        await attempt(name, case)
    for member in MEMBERS:
        await attempt(f"{member.name} leaves in peace", member.leave())
    await JS.stop()
    await GO.stop()
    print(f"mixed: {passed} passed, {failed} failed, {(time.monotonic() - start) * 1000:.0f} ms")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
