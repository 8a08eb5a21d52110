"""Events that the router keeps for those who subscribe later. PROTOCOL 7.9."""

from .stage import Inbox
from .table import case


@case("PUB-31 PUB-32 PUB-33 PUB-34 PUB-36 PUB-38 PUB-39: who subscribes later is told the retained event, if it asks")
async def retained(stage):
    publisher = await stage.join()
    topic = stage.uri("topic")
    await publisher.publish(topic, ["older"], retain=True)
    publication = await publisher.publish(topic, ["newer"], {"k": "v"}, retain=True)
    await publisher.publish(topic, ["not retained"])
    await publisher.leave()
    asks, another, other = await stage.joins(3)
    inbox, silent = Inbox(), Inbox()

    def into(box):
        return lambda args, kwargs, details: box.put(args, kwargs, bool(details.retained), details.publication)

    await asks.subscribe(topic, into(inbox), get_retained=True)
    assert await inbox.take(1) == [(["newer"], {"k": "v"}, True, publication)]
    await another.subscribe(topic, into(silent))
    live = await other.publish(topic, ["live"])
    assert (await inbox.take(2))[1] == (["live"], {}, False, live)
    assert await silent.take(1) == [(["live"], {}, False, live)]


@case("PUB-35 PUB-37: a pattern is told of every retained topic, and nobody of what was not for it")
async def retained_pattern(stage):
    publisher, subscriber = await stage.joins(2)
    for n in (1, 2, 3):
        await publisher.publish(stage.uri(f"t.{n}"), [n], retain=True)
    await publisher.publish(stage.uri("t.4"), [4], retain=True, exclude_authid=[subscriber.welcome.authid])
    await publisher.publish(stage.uri("t.5"), [5], retain=True, eligible_authrole=["anonymous"])
    inbox = Inbox()
    await subscriber.subscribe(
        stage.uri("t"), lambda args, _, details: inbox.put(details.topic, args[0]), "prefix", get_retained=True
    )
    await publisher.publish(stage.uri("t.6"), [6])
    assert await inbox.take(5) == [(stage.uri(f"t.{n}"), n) for n in (1, 2, 3, 5, 6)]
