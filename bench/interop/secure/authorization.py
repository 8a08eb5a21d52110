"""Permissions of roles, a dynamic authorizer, and disclosure, as every client sees them. PROTOCOL 11; AUZ."""

import asyncio

from clients import Address, Held, refused, until
from router import EVERYTHING, free_port, realm

REFUSED = "wamp.error.not_authorized"
FAILED = "wamp.error.authorization_failed"

# What a role "limited" may do, and what each client then tries: (AUZ ids, action, URI, match, allowed).
LIMITED = [
    {"uri": "com.exact.call", "allow": ["call", "register"]},
    {"uri": "com.exact.news", "allow": ["publish", "subscribe"]},
    {"uri": "com.exact.read", "allow": ["subscribe"]},
    {"uri": "com.prefix.", "match": "prefix", "allow": ["call", "register", "publish", "subscribe"]},
    {"uri": "com.prefix.secret.", "match": "prefix", "allow": []},
    {"uri": "com.prefix.secret.but.this", "allow": ["publish", "subscribe"]},
    {"uri": "com.star.*", "allow": ["publish", "subscribe"]},
    {"uri": "com.wild..read", "match": "wildcard", "allow": ["subscribe", "call", "register"]},
    {"uri": "com.wild.", "match": "prefix", "allow": ["publish"]},
]
TRIALS = [
    ("AUZ-01", "register", "com.exact.call", "exact", True),
    ("AUZ-01", "call", "com.exact.call", "exact", True),
    ("AUZ-01 AUZ-03", "call", "com.other.call", "exact", False),
    ("AUZ-01 AUZ-03", "register", "com.other.call", "exact", False),
    ("AUZ-01", "call", "com.exact.news", "exact", False),
    ("AUZ-02", "subscribe", "com.exact.news", "exact", True),
    ("AUZ-02", "publish", "com.exact.news", "exact", True),
    ("AUZ-02", "publish", "com.exact.read", "exact", False),
    ("AUZ-01", "subscribe", "com.exact.call", "exact", False),
    ("AUZ-04", "publish", "com.prefix.any.thing", "exact", True),
    ("AUZ-04", "publish", "com.prefix.secret.thing", "exact", False),
    ("AUZ-04", "publish", "com.prefix.secret.but.this", "exact", True),
    ("AUZ-04", "call", "com.prefix.secret.but.this", "exact", False),
    ("AUZ-05", "publish", "com.wild.x", "exact", True),
    ("AUZ-05", "publish", "com.wild.x.read", "exact", False),
    ("AUZ-05", "subscribe", "com.wild.x.read", "exact", True),
    ("AUZ-06", "publish", "com.star.x", "exact", True),
    ("AUZ-06", "call", "com.star.x", "exact", False),
    ("AUZ-07", "subscribe", "com.prefix.more", "prefix", True),
    ("AUZ-07", "subscribe", "com.prefix", "prefix", False),  # the secret ones are among them
    ("AUZ-07", "subscribe", "com", "prefix", False),
    ("AUZ-07", "subscribe", "com.wild..read", "wildcard", True),
    ("AUZ-07", "subscribe", "com..x.read", "wildcard", False),
    ("AUZ-07", "subscribe", "com.exact.news", "prefix", False),
]


async def attempt(session, action, uri, match="exact"):
    match action:
        case "publish":
            await session.publish(uri, ["x"])
        case "subscribe":
            await session.subscribe(uri, match)
        case "register":
            await session.register(uri)
        case "call":
            try:
                await session.call(uri, ["x"])
            except Exception as error:
                if "no_such_procedure" not in str(error):  # that is beyond the check
                    raise


async def trial(session, action, uri, match, allowed):
    await (
        attempt(session, action, uri, match) if allowed else refused(attempt(session, action, uri, match), REFUSED)
    )


def user(role, secret_file):
    return {"role": role, "ticket": {"file": secret_file}}


async def run(suite):
    folder = suite.folder / "authorization"
    folder.mkdir()
    (folder / "ticket").write_text("the ticket of everybody here\n")
    file = str(folder / "ticket")
    port = free_port()
    libraries = suite.clients.all
    roles = {
        "limited": LIMITED,
        "all": EVERYTHING,
        "shown": [{**EVERYTHING[0], "disclose": ["caller", "publisher"]}],
        "nothing": [],
    }
    users = {name: user(name, file) for name in roles}
    realms = []
    for library in libraries:
        realms.append(realm(f"static.{library.name}", {"ticket": {}}, roles, users=users))
        # Each client is once the authorizer. "asks" has it for everything but what a permission decides.
        uri = f"com.example.authorize.{library.name}"
        entry = realm(
            library.name,
            {"ticket": {}},
            {"all": EVERYTHING},
            users=users
            | {"asks": user("asks", file), "asked": user("asks", file), "uncached": user("uncached", file)},
        )
        fixed = [{"uri": "com.fixed.no", "allow": []}, {"uri": "com.fixed.yes", "allow": ["publish"]}]
        for role, cache in (("asks", "1h"), ("uncached", 0)):
            entry["roles"].append(
                {
                    "name": role,
                    "permissions": fixed,
                    "authorizer": {"procedure": uri, "timeout": "5s", "cache": cache},
                }
            )
        entry["users"] = {
            name: value for name, value in entry["users"].items() if value["role"] in ("all", "asks", "uncached")
        }
        realms.append(entry)
    entry = realm("silent", {"ticket": {}}, {"all": EVERYTHING}, users=users | {"asks": user("asks", file)})
    entry["roles"].append({"name": "asks", "authorizer": {"procedure": "com.silent", "timeout": "300ms"}})
    entry["users"] = {name: entry["users"][name] for name in ("all", "asks")}
    realms.append(entry)
    router = await suite.router("authorization", listeners=[{"address": f"127.0.0.1:{port}"}], realms=realms)
    at = Address(port, None)

    async def join(library, uri, authid, n=0):
        login = {"method": "ticket", "authid": authid, "secret": "the ticket of everybody here"}
        return await library.join(library.link(n), at, uri, login)

    async def each(library):
        await static(suite, library, join)
        await authorizer(suite, library, join)

    await asyncio.gather(*map(each, libraries))
    await disclosure(suite, libraries, join)
    await silence(suite, libraries, join)
    await router.stop()


async def static(suite, library, join):
    own = f"static.{library.name}"
    session = await join(library, own, "limited", 1)
    for ids, action, uri, match, allowed in TRIALS:
        word = "may" if allowed else "may not"
        await suite.case(
            f"{ids}: {library.name} {word} {action} {uri} ({match})", trial(session, action, uri, match, allowed)
        )
    await suite.case(
        f"AUZ-02: {library.name} publishes where it may not, and nobody hears it",
        unheard(library, own, join, session),
    )
    nothing = await join(library, own, "nothing")
    for action in ("publish", "subscribe", "register", "call"):
        await suite.case(
            f"AUZ-03: {library.name} with no permissions may not {action}",
            trial(nothing, action, "com.exact.news", "exact", False),
        )
    await nothing.leave()
    await suite.case(f"AUZ-13: {library.name} leaves in peace", session.leave())


async def unheard(library, own, join, session):
    listener = await join(library, own, "all", 2)
    topic = f"com.prefix.secret.{library.name}"
    await listener.subscribe(topic)
    await refused(session.publish(topic, ["not this"]), REFUSED)
    speaker = await join(library, own, "all")
    await speaker.publish(topic, ["but this"])
    assert await listener.heard(1) == ["but this"]
    await listener.leave()
    await speaker.leave()


async def authorizer(suite, callee, join):
    """callee answers for its realm; every client asks."""
    uri = f"com.example.authorize.{callee.name}"
    judge = await join(callee, callee.name, "all")
    asked = await join(suite.clients.nexus, callee.name, "all")
    table = {
        "com.yes publish": True,
        "com.yes call": True,
        "com.yes register": True,
        "com.yes subscribe": True,
        "com.rich publish": {"allow": True, "disclose": True},
        "com.rich subscribe": True,
        "com.raises publish": {"error": "com.example.angry", "message": "no time"},
        "com.rubbish publish": "perhaps",
        "*": False,
    }
    await suite.case(f"AUZ-11: {callee.name} registers an authorizer", judge.register(uri, "table", table))
    for n, library in enumerate(suite.clients.all):
        session = await join(library, callee.name, "asks" if n % 2 else "uncached", n)
        name = f"{library.name}, {callee.name} decides"
        for action in ("publish", "subscribe", "register", "call"):
            await suite.case(f"AUZ-08: {name}: may {action}", trial(session, action, "com.yes", "exact", True))
            await suite.case(f"AUZ-08: {name}: may not {action}", trial(session, action, "com.no", "exact", False))
        await suite.case(
            f"AUZ-08: {name}: a permission stands above it", trial(session, "publish", "com.fixed.no", "exact", False)
        )
        await suite.case(
            f"AUZ-08: {name}: a permission is enough", trial(session, "publish", "com.fixed.yes", "exact", True)
        )
        await suite.case(f"AUZ-08 AUZ-12: {name}: {{allow, disclose}}", rich(library, session, asked))
        for topic in ("com.raises", "com.rubbish"):
            await suite.case(f"AUZ-09: {name}: {topic}", refused(attempt(session, "publish", topic), FAILED))
        await session.leave()
    await suite.case(f"AUZ-10: answers of {callee.name} are kept", kept(suite, callee, join, judge))
    await asked.leave()


async def rich(library, session, listener):
    seen = len(listener.events)
    if not seen:
        await listener.subscribe("com.rich")
    await session.publish("com.rich", [library.name])
    await until(lambda: len(listener.events) > seen, "the event")
    event = listener.events[-1]
    assert event.args == [library.name], event.args
    assert event.details.get("publisher"), event.details


async def kept(suite, callee, join, judge):
    """With cache an authorizer that has left is not missed; without, and for another authid, it is."""
    first, other = await join(callee, callee.name, "asks", 1), await join(callee, callee.name, "asked", 1)
    uncached = await join(callee, callee.name, "uncached", 1)
    for _ in range(2):
        await first.publish("com.yes", ["x"])
        await uncached.publish("com.yes", ["x"])
    await judge.leave()
    await first.publish("com.yes", ["x"])
    await refused(other.publish("com.yes", ["x"]), FAILED)
    await refused(uncached.publish("com.yes", ["x"]), FAILED)
    for session in (first, other, uncached):
        await session.leave()


async def silence(suite, libraries, join):
    """An authorizer that does not answer in time has said nothing, and nothing is allowed. Its answer, when it comes,
    is too late."""
    judge = await join(suite.clients.python, "silent", "all", 1)
    held = await Held().register(judge, "com.silent")
    witness = await join(suite.clients.python, "silent", "all")
    await witness.subscribe("com.topic")

    async def unanswered(library, n):
        session = await join(library, "silent", "asks", n)
        before = held.called
        for action in ("publish", "subscribe", "register", "call"):
            await refused(attempt(session, action, "com.topic"), FAILED)
        assert held.called == before + 4, held.called - before
        await session.leave()

    for n, library in enumerate(libraries):
        await suite.case(f"AUZ-09: {library.name}: an authorizer does not answer", unanswered(library, n))

    async def late():
        held.open.set()
        await witness.publish("com.topic", ["true"], exclude_me=False)
        assert await witness.heard(1) == ["true"]

    await suite.case("AUZ-09: what an authorizer says later has no effect", late())
    await witness.leave()
    await judge.leave()


async def disclosure(suite, libraries, join):
    """A permission discloses the publisher and the caller, although they do not ask for it."""
    for n, library in enumerate(libraries):
        for m, other in enumerate(libraries):
            await suite.case(f"AUZ-12: {library.name} is told who {other.name} is", told(library, other, n + m, join))


async def told(library, other, n, join):
    receiver = await join(library, "static.nexus", "all", n)
    base = f"com.disclosed.{receiver.name}"
    await receiver.subscribe(base)
    await receiver.register(base, "details")
    for role, disclosed in (("shown", True), ("all", False)):
        sender = await join(other, "static.nexus", role, n)
        seen = len(receiver.events)
        await sender.publish(base, ["x"])
        details = (await sender.call(base))[0]
        await until(lambda: len(receiver.events) > seen, "the event")
        event = receiver.events[-1].details
        for got, who in ((event, "publisher"), (details, "caller")):
            assert bool(got.get(who)) == disclosed, got
            if disclosed:
                assert (got[f"{who}_authid"], got[f"{who}_authrole"]) == ("shown", "shown"), got
        await sender.leave()
    await receiver.leave()
