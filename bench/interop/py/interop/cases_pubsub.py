"""Publish and subscribe. PROTOCOL 7."""

from .stage import Inbox, fails
from .table import case


def into(inbox):
    return lambda args, kwargs, details: inbox.put(args, kwargs)


def args_into(inbox):
    return lambda args, kwargs, details: inbox.put(args)


def topics_into(inbox):
    return lambda args, kwargs, details: inbox.put((args[0], details.topic))


@case("PUB-01 PUB-28: an event carries args and kwargs to every subscriber, once")
async def fan_out(stage):
    publisher, *subscribers = await stage.joins(6)
    inboxes = []
    for subscriber in subscribers:
        inboxes.append(Inbox())
        await subscriber.subscribe(stage.uri("news"), into(inboxes[-1]))
    await publisher.publish(stage.uri("news"), ["first", 2], {"three": 3}, acknowledge=False)
    await publisher.publish(stage.uri("news"), ["second"])
    for inbox in inboxes:
        assert await inbox.take(2) == [(["first", 2], {"three": 3}), (["second"], {})]


@case("PUB-02 PUB-03 ID-12: an acknowledged publish returns the publication id that the event carries")
async def publication_id(stage):
    publisher, subscriber = await stage.joins(2)
    inbox = Inbox()
    assert await publisher.publish(stage.uri("nobody")) > 0
    await subscriber.subscribe(stage.uri("topic"), lambda args, kwargs, details: inbox.put(details.publication))
    publication = await publisher.publish(stage.uri("topic"), [1])
    assert await inbox.take(1) == [publication]


@case("SER-22: kwargs without args, args without kwargs, and no payload at all")
async def shapes(stage):
    publisher, subscriber = await stage.joins(2)
    inbox = Inbox()
    await subscriber.subscribe(stage.uri("topic"), into(inbox))
    await publisher.publish(stage.uri("topic"), [], {"only": "kwargs"})
    await publisher.publish(stage.uri("topic"), ["only args"])
    await publisher.publish(stage.uri("topic"))
    assert await inbox.take(3) == [([], {"only": "kwargs"}), (["only args"], {}), ([], {})]


@case("SUB-10 SUB-11 URI-12 URI-13: exact, prefix and wildcard each get one event, patterns with the topic")
async def patterns(stage):
    publisher, subscriber = await stage.joins(2)
    inboxes = {match: Inbox() for match in ("exact", "prefix", "wildcard")}
    ids = set()
    for match, pattern in (("exact", "a.b.c"), ("prefix", "a.b"), ("wildcard", "a..c")):
        subscription = await subscriber.subscribe(stage.uri(pattern), topics_into(inboxes[match]), match=match)
        ids.add(subscription.id)
    assert len(ids) == 3
    for name in ("a.b.c", "a.bee", "a.x.c", "a.x", "a.x.c.d", "z.b.c"):
        await publisher.publish(stage.uri(name), [name])
    await publisher.publish(stage.uri("a.b.c"), ["a.b.c"])
    expected = {
        "exact": ["a.b.c", "a.b.c"],
        "prefix": ["a.b.c", "a.bee", "a.b.c"],
        "wildcard": ["a.b.c", "a.x.c", "a.b.c"],
    }
    for match, names in expected.items():
        assert await inboxes[match].take(len(names)) == [(name, stage.uri(name)) for name in names], match


@case("PUB-07 PUB-08 PUB-09: the publisher hears itself only with exclude_me false")
async def exclusion(stage):
    a, b = await stage.joins(2)
    inbox = Inbox()
    await a.subscribe(stage.uri("topic"), args_into(inbox))
    await a.publish(stage.uri("topic"), ["not this"])
    await a.publish(stage.uri("topic"), ["nor this"], exclude_me=True)
    await a.publish(stage.uri("topic"), ["mine"], exclude_me=False)
    await b.publish(stage.uri("topic"), ["yours"])
    assert await inbox.take(2) == [["mine"], ["yours"]]


@case("SUB-02 SUB-08: two subscriptions to one topic share an id, and one event feeds both handlers")
async def twice(stage):
    publisher, subscriber = await stage.joins(2)
    first, second = Inbox(), Inbox()
    one = await subscriber.subscribe(stage.uri("topic"), args_into(first))
    two = await subscriber.subscribe(stage.uri("topic"), args_into(second))
    assert one.id == two.id
    for n in range(2):
        await publisher.publish(stage.uri("topic"), [n])
    for inbox in (first, second):
        assert await inbox.take(2) == [[0], [1]]


@case("SUB-03 SUB-07 SUB-14: after UNSUBSCRIBED no event comes; others go on; subscribing anew works")
async def unsubscribing(stage):
    publisher, a, b = await stage.joins(3)
    inbox_a, inbox_b, inbox_a2 = Inbox(), Inbox(), Inbox()
    subscription = await a.subscribe(stage.uri("topic"), args_into(inbox_a))
    await b.subscribe(stage.uri("topic"), args_into(inbox_b))
    await publisher.publish(stage.uri("topic"), [1])
    await inbox_a.take(1)
    await a.unsubscribe(subscription)
    await publisher.publish(stage.uri("topic"), [2])
    await inbox_b.take(2)
    await a.subscribe(stage.uri("topic"), args_into(inbox_a2))
    await publisher.publish(stage.uri("topic"), [3])
    assert await inbox_a2.take(1) == [[3]]
    assert inbox_a.items == [[1]]


@case("SUB-05 SUB-06: UNSUBSCRIBE of an unknown or foreign id is no_such_subscription")
async def unsubscribing_nothing(stage):
    a, b = await stage.joins(2)
    inbox = Inbox()
    theirs = await b.subscribe(stage.uri("topic"), args_into(inbox))
    await fails(a.unsubscribe_unknown(2**52), "wamp.error.no_such_subscription")
    await fails(a.unsubscribe_unknown(theirs.id), "wamp.error.no_such_subscription")
    await a.publish(stage.uri("topic"), ["still there"])
    await inbox.take(1)


@case("URI-25 URI-05: topics of the protocol are refused with invalid_uri; other alphabets are fine")
async def uris(stage):
    a, b = await stage.joins(2)
    await fails(a.publish("wamp.session.on_join", [1]), "wamp.error.invalid_uri")
    inbox = Inbox()
    await a.subscribe(stage.uri("Größe-Ω.日本"), args_into(inbox))
    await b.publish(stage.uri("Größe-Ω.日本"), ["found"])
    await inbox.take(1)


@case("ORD-01: 2 000 events over four topics arrive in the order published, whatever the subscription")
async def order(stage):
    publisher, subscriber = await stage.joins(2)
    exact, everything = Inbox(), Inbox()
    for n in range(4):
        await subscriber.subscribe(stage.uri(f"t{n}"), lambda args, *_: exact.put(args[0]))
    await subscriber.subscribe(stage.base, lambda args, *_: everything.put(args[0]), match="prefix")
    for n in range(2000):
        await publisher.publish(stage.uri(f"t{n % 4}"), [n], acknowledge=False)
    for inbox in (exact, everything):
        assert await inbox.take(2000) == list(range(2000))


@case("PUB-11 PUB-12 PUB-13 PUB-15 PUB-17: black and white lists choose the receivers")
async def lists(stage):
    publisher, *others = await stage.joins(4)
    b, c, _ = (peer.id for peer in others)
    inboxes = [Inbox(), Inbox(), Inbox()]
    for peer, inbox in zip(others, inboxes):
        await peer.subscribe(stage.uri("lists"), args_into(inbox))
    for n, chosen in enumerate(
        (
            {"exclude": [b]},
            {"eligible": [b]},
            {"eligible": [b, c], "exclude": [b]},
            {"eligible_authrole": ["anonymous"], "exclude_authid": [others[1].welcome.authid]},
            {"eligible_authrole": ["nobody"]},
            {"exclude": []},
        )
    ):
        await publisher.publish(stage.uri("lists"), [n], **chosen)
    for inbox, want in zip(inboxes, ([1, 3, 5], [0, 2, 5], [0, 3, 5])):
        assert await inbox.take(len(want)) == [[n] for n in want], (inbox.items, want)


@case("PUB-12 PUB-14: an empty list of eligible sessions admits nobody")
async def nobody_eligible(stage):
    publisher, subscriber = await stage.joins(2)
    inbox = Inbox()
    await subscriber.subscribe(stage.uri("topic"), args_into(inbox))
    await publisher.publish(stage.uri("topic"), ["for nobody"], eligible=[])
    await publisher.publish(stage.uri("topic"), ["for all"])
    assert await inbox.take(1) == [["for all"]]
