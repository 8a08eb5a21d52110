"""Events that the router keeps for whoever asks. PROTOCOL 7.8."""

from .stage import fails
from .table import case

GET_EVENTS = "wamp.subscription.get_events"


@case("PUB-41 PUB-42 PUB-43: get_events returns what is kept, oldest or latest first")
async def history(stage):
    publisher, reader = [await stage.own(space="history") for _ in range(2)]
    topic = stage.uri("topic")
    first = await publisher.publish(topic, ["first"], {"k": 1})
    second = await publisher.publish(topic, ["second"])
    (history_id,), _ = await reader.call("wamp.subscription.lookup", ["interop.", {"match": "prefix"}])

    async def events(**conditions):
        args, _ = await reader.call(GET_EVENTS, [history_id], conditions)
        return args

    got = await events()
    assert [e["publication"] for e in got] == [first, second], got
    assert got[0]["args"] == ["first"] and got[0]["kwargs"] == {"k": 1} and got[0]["details"]["topic"] == topic
    assert [e["publication"] for e in await events(limit=1, reverse=True)] == [second]
    await publisher.publish(topic, ["third"])
    await publisher.publish(topic, ["fourth"])  # three are kept
    assert [e["args"] for e in await events()] == [["second"], ["third"], ["fourth"]]
    await publisher.publish(topic, ["not for readers"], exclude_authid=[reader.welcome.authid])
    assert [e["args"] for e in await events(topic=topic)] == [["third"], ["fourth"]]
    own = await reader.subscribe(stage.uri("other"), lambda *_: None)
    await fails(reader.call(GET_EVENTS, [own.id]), "wamp.error.no_such_subscription")
