"""The meta API and testaments: PROTOCOL 9 and 7.12. Each case has a realm of its own on the router with a configuration
file, where anonymous sessions may call everything."""

import re

from .stage import Inbox, echo, fails, named
from .table import case

NO_SESSION = "wamp.error.no_such_session"
BAD_ARGUMENT = "wamp.error.invalid_argument"
NOBODY = 2**52  # an id that nothing has
DATE = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NOTHING = []  # a result of one null: the library does not tell it from one without arguments


async def ask(peer, procedure, *args, **kwargs):
    """Calls a procedure and returns its positional results."""
    results, named_results = await peer.call(procedure, args, kwargs)
    assert not named_results, named_results
    return results


async def listen(peer, topic, match=None):
    """Returns an inbox of lists: the last part of the topic and the arguments."""
    inbox = Inbox()
    await peer.subscribe(
        topic, lambda args, _kwargs, details: inbox.put([(details.topic or topic).rsplit(".", 1)[-1], *args]), match
    )
    return inbox


async def told(peer, reason):
    """Waits until the router has ended the session."""
    await peer.ended()
    assert peer.goodbye.reason == reason, peer.goodbye


@case("META-01 META-02: sessions are counted and listed, by role too")
async def counting(stage):
    a, b, c = await stage.owns(3)
    assert await ask(a, "wamp.session.count") == [3]
    assert sorted((await ask(a, "wamp.session.list"))[0]) == sorted((a.id, b.id, c.id))
    assert await ask(a, "wamp.session.count", ["nobody", "anonymous"]) == [3]
    assert await ask(a, "wamp.session.count", ["nobody"]) == [0]
    assert await ask(a, "wamp.session.list", ["nobody"]) == [[]]
    await b.leave()
    assert sorted((await ask(a, "wamp.session.list", ["anonymous"]))[0]) == sorted((a.id, c.id))
    await fails(ask(a, "wamp.session.list", "anonymous"), BAD_ARGUMENT)


@case("META-03 META-04 META-05 META-42: a session is looked up")
async def looking_up(stage):
    a, b = await stage.owns(2)
    for peer in (a, b):
        (got,) = await ask(a, "wamp.session.get", peer.id)
        assert got["session"] == peer.id and got["transport"]["type"], got
        for key in ("authid", "authrole", "authmethod", "authprovider"):
            assert got[key] == getattr(peer.welcome, key), got
    gone = b.id
    await b.leave()
    await fails(ask(a, "wamp.session.get", gone), NO_SESSION)
    for args in ((), ("x",), (-1,), (1.5,), (a.id, 1)):
        await fails(ask(a, "wamp.session.get", *args), BAD_ARGUMENT)
    await fails(ask(a, "wamp.session.no_such_thing"), "wamp.error.no_such_procedure")


@case("META-15 META-16 META-17: joining and leaving are told, within the realm")
async def coming_and_going(stage):
    a, far = await stage.own(), await stage.own("other")
    inbox, elsewhere = [await listen(peer, "wamp.session", "prefix") for peer in (a, far)]
    b = await stage.own()
    topic, joined = (await inbox.take(1))[0]
    assert (topic, joined["session"], joined["authid"]) == ("on_join", b.id, b.welcome.authid)
    assert (joined["authrole"], joined["authmethod"], joined["authprovider"]) == ("anonymous", "anonymous", "static")
    for n, how in enumerate(("leave", "drop")):
        await getattr(b, how)()
        assert (await inbox.take(2 + 2 * n))[-1] == ["on_leave", b.id, b.welcome.authid, "anonymous"]
        b = await stage.own()
        await inbox.take(3 + 2 * n)
    assert not elsewhere.items


@case("META-06 META-07 META-16: a session is killed and told why")
async def killing(stage):
    a, b, c, d = await stage.owns(4)
    inbox = await listen(a, "wamp.session.on_leave")
    await d.register(stage.uri("of.killed"), echo)
    for n, (peer, words, reason) in enumerate(
        (
            (b, {}, "wamp.close.killed"),
            (c, {"reason": "com.example.enough"}, "com.example.enough"),
            (d, {"reason": "com.example.over", "message": "go home"}, "com.example.over"),
        )
    ):
        assert await ask(a, "wamp.session.kill", peer.id, **words) == []
        await told(peer, reason)
        assert peer.goodbye.message == words.get("message"), peer.goodbye
        assert (await inbox.take(n + 1))[n] == ["on_leave", peer.id, peer.welcome.authid, "anonymous"]
    await fails(a.call(stage.uri("of.killed")), "wamp.error.no_such_procedure")


@case("META-08 META-09 META-10: nobody is killed by a wrong request")
async def not_killing(stage):
    a, b = await stage.owns(2)
    await fails(ask(a, "wamp.session.kill", a.id), NO_SESSION)
    await fails(ask(a, "wamp.session.kill", NOBODY), NO_SESSION)
    await fails(ask(a, "wamp.session.kill"), BAD_ARGUMENT)
    await fails(ask(a, "wamp.session.kill", "x"), BAD_ARGUMENT)
    await fails(ask(a, "wamp.session.kill", b.id, message=1), BAD_ARGUMENT)
    await fails(ask(a, "wamp.session.kill_by_authid", 7), BAD_ARGUMENT)
    await fails(ask(a, "wamp.session.kill", b.id, reason="not a uri"), "wamp.error.invalid_uri")
    await fails(ask(a, "wamp.session.kill_all", reason="not a uri"), "wamp.error.invalid_uri")
    assert await ask(b, "wamp.session.count") == [2]


@case("META-11 META-12 META-13: sessions are killed by authid and by role")
async def killing_many(stage):
    a, b, c, d = await stage.owns(4)
    assert await ask(a, "wamp.session.kill_by_authid", "no such authid") == [[]]
    assert await ask(a, "wamp.session.kill_by_authrole", "no such role") == [0]
    assert await ask(a, "wamp.session.kill_by_authid", b.welcome.authid) == [[b.id]]
    await told(b, "wamp.close.killed")
    assert await ask(a, "wamp.session.kill_by_authrole", "anonymous", reason="com.example.role") == [2]
    for peer in (c, d):
        await told(peer, "com.example.role")
    assert await ask(a, "wamp.session.list") == [[a.id]]


@case("META-14 TST-12: kill_all ends all others and tells nobody of it")
async def killing_all(stage):
    a, b, c = await stage.owns(3)
    inbox, wills = await listen(a, "wamp.session", "prefix"), await listen(a, stage.uri("will"))
    await ask(b, "wamp.session.add_testament", stage.uri("will"), ["never"], {})
    assert await ask(a, "wamp.session.kill_all") == [2]
    for peer in (b, c):
        await told(peer, "wamp.close.killed")
    d = await stage.own()
    await ask(d, "wamp.session.add_testament", stage.uri("will"), ["now"], {})
    await d.leave()
    assert await wills.take(1) == [["will", "now"]]
    assert [topic for topic, *_ in await inbox.take(2)] == ["on_join", "on_leave"]


@case("META-18 META-19 META-20 META-21 META-22 META-37: subscriptions come and go, and their session is told")
async def subscriptions(stage):
    a, b = await stage.owns(2)
    inbox = await listen(a, "wamp.subscription", "prefix")
    topic = stage.uri("topic")
    subscription = await a.subscribe(topic, lambda *_: None)
    create, subscribe = await inbox.take(2)
    details = {"id": subscription.id, "created": create[2]["created"], "uri": topic, "match": "exact"}
    assert DATE.fullmatch(details["created"]), details
    assert [create, subscribe] == [["on_create", a.id, details], ["on_subscribe", a.id, subscription.id]]
    for _ in range(2):
        await b.subscribe(topic, lambda *_: None)
    await inbox.take(3)
    await a.unsubscribe(subscription)
    await inbox.take(4)
    await b.drop()
    assert (await inbox.take(6))[2:] == [
        ["on_subscribe", b.id, subscription.id],
        ["on_unsubscribe", a.id, subscription.id],
        ["on_unsubscribe", b.id, subscription.id],
        ["on_delete", b.id, subscription.id],
    ]


@case("META-23 META-24 META-25 META-26 META-27 META-28 META-35 META-36: subscriptions are listed and found")
async def finding_subscriptions(stage):
    a, b = await stage.owns(2)
    await listen(a, "wamp.session.on_join")  # not to be seen
    ids = {}
    for match, topic in (("exact", "t.a.b"), ("prefix", "t.a"), ("wildcard", "t..b")):
        ids[match] = (await a.subscribe(stage.uri(topic), lambda *_: None, match)).id
        assert await ask(b, "wamp.subscription.lookup", stage.uri(topic), {"match": match}) == [ids[match]]
    await b.subscribe(stage.uri("t.a"), lambda *_: None, "prefix")
    assert await ask(b, "wamp.subscription.list") == [{match: [one] for match, one in ids.items()}]
    assert await ask(b, "wamp.subscription.lookup", stage.uri("t.a.b")) == [ids["exact"]]
    for topic in (stage.uri("t.a"), "wamp.session.on_join"):
        assert await ask(b, "wamp.subscription.lookup", topic) == NOTHING
    assert sorted((await ask(b, "wamp.subscription.match", stage.uri("t.a.b")))[0]) == sorted(ids.values())
    assert await ask(b, "wamp.subscription.match", stage.uri("t.a.c")) == [[ids["prefix"]]]
    assert await ask(b, "wamp.subscription.match", stage.uri("x")) == NOTHING
    (details,) = await ask(b, "wamp.subscription.get", ids["wildcard"])
    assert DATE.fullmatch(details.pop("created")), details
    assert details == {"id": ids["wildcard"], "uri": stage.uri("t..b"), "match": "wildcard"}
    assert sorted((await ask(b, "wamp.subscription.list_subscribers", ids["prefix"]))[0]) == sorted((a.id, b.id))
    assert await ask(b, "wamp.subscription.count_subscribers", ids["prefix"]) == [2]
    for name in ("get", "list_subscribers", "count_subscribers"):
        await fails(ask(b, f"wamp.subscription.{name}", NOBODY), "wamp.error.no_such_subscription")
        await fails(ask(b, f"wamp.subscription.{name}", "x"), BAD_ARGUMENT)


@case("META-29 META-30 META-31: registrations come and go")
async def registrations(stage):
    a, b, c = await stage.owns(3)
    inbox = await listen(a, "wamp.registration", "prefix")
    registration = await b.register(stage.uri("shared"), echo, "prefix", "roundrobin")
    create, register = await inbox.take(2)
    details = {"id": registration.id, "created": create[2]["created"], "uri": stage.uri("shared")}
    assert DATE.fullmatch(details["created"]), details
    details |= {"match": "prefix", "invoke": "roundrobin"}
    assert [create, register] == [["on_create", b.id, details], ["on_register", b.id, registration.id]]
    await c.register(stage.uri("shared"), echo, "prefix", "roundrobin")
    await b.unregister(registration)
    await c.leave()
    assert (await inbox.take(6))[2:] == [
        ["on_register", c.id, registration.id],
        ["on_unregister", b.id, registration.id],
        ["on_unregister", c.id, registration.id],
        ["on_delete", c.id, registration.id],
    ]


@case("META-32 META-33 META-34 META-35: registrations are listed and found")
async def finding_registrations(stage):
    a, b = await stage.owns(2)
    ids = {}
    for match, procedure in (("exact", "p.a.b"), ("prefix", "p.a"), ("wildcard", "p..b")):
        ids[match] = (await a.register(stage.uri(procedure), named(match), match, "last")).id
        assert await ask(b, "wamp.registration.lookup", stage.uri(procedure), {"match": match}) == [ids[match]]
    await b.register(stage.uri("p.a.b"), named("exact"), invoke="last")
    assert await ask(b, "wamp.registration.list") == [{match: [one] for match, one in ids.items()}]
    assert await ask(b, "wamp.registration.lookup", stage.uri("p.a")) == NOTHING
    for name, match in (("p.a.b", "exact"), ("p.a.c", "prefix"), ("p.x.b", "wildcard")):
        assert await ask(b, "wamp.registration.match", stage.uri(name)) == [ids[match]]
        assert (await b.call(stage.uri(name)))[0][0] == match
    assert await ask(b, "wamp.registration.match", stage.uri("p.x.c")) == NOTHING
    (details,) = await ask(b, "wamp.registration.get", ids["prefix"])
    assert DATE.fullmatch(details.pop("created")), details
    assert details == {"id": ids["prefix"], "uri": stage.uri("p.a"), "match": "prefix", "invoke": "last"}
    assert sorted((await ask(b, "wamp.registration.list_callees", ids["exact"]))[0]) == sorted((a.id, b.id))
    assert await ask(b, "wamp.registration.count_callees", ids["exact"]) == [2]
    for name in ("get", "list_callees", "count_callees"):
        await fails(ask(b, f"wamp.registration.{name}", NOBODY), "wamp.error.no_such_registration")
        await fails(ask(b, f"wamp.registration.{name}"), BAD_ARGUMENT)


@case("META-40 META-41 REG-21: a registration is taken away")
async def taking_away(stage):
    """Only a registration: the library announces that subscriptions may be revoked too, and fails when one is."""
    a, b, c = await stage.owns(3)
    for peer, name in ((c, "c"), (b, "b")):
        await peer.register(stage.uri("shared"), named(name), invoke="first")
    subscription = await b.subscribe(stage.uri("topic"), lambda *_: None)
    (registration,) = await ask(a, "wamp.registration.lookup", stage.uri("shared"))
    await fails(ask(a, "wamp.subscription.remove_subscriber", subscription.id, a.id), NO_SESSION)
    await fails(ask(a, "wamp.registration.remove_callee", registration, a.id), NO_SESSION)
    await fails(ask(a, "wamp.subscription.remove_subscriber", NOBODY, b.id), "wamp.error.no_such_subscription")
    await fails(ask(a, "wamp.registration.remove_callee", NOBODY, b.id), "wamp.error.no_such_registration")
    tell = await listen(a, "wamp", "prefix")
    assert await ask(a, "wamp.registration.remove_callee", registration, c.id, reason="com.example.enough") == []
    assert (await tell.take(1))[0] == ["on_unregister", c.id, registration]
    assert (await c.call(stage.uri("shared")))[0][0] == "b"


@case("META-44: details of a session are changed")
async def modify(stage):
    a, b = await stage.owns(2)
    assert await ask(a, "wamp.session.modify_details", b.id, {"authid": "bob", "pi": 3.5}) == []
    (got,) = await ask(a, "wamp.session.get", b.id)
    assert (got["authid"], got["pi"]) == ("bob", 3.5)
    await ask(a, "wamp.session.modify_details", b.id, {"pi": None})
    assert "pi" not in (await ask(a, "wamp.session.get", b.id))[0]
    await fails(ask(a, "wamp.session.modify_details", b.id, {"session": 1}), BAD_ARGUMENT)
    await fails(ask(a, "wamp.session.modify_details", NOBODY, {}), NO_SESSION)
    await fails(ask(await stage.join(), "wamp.session.modify_details", 1, {}), "wamp.error.no_such_procedure")


@case("META-38: nobody kills without a permission that names it")
async def unnamed(stage):
    a, b = await stage.joins(2)  # the other router: everything is allowed, by no rule
    for name, args in (
        ("session.kill", (b.id,)),
        ("session.kill_by_authid", (b.welcome.authid,)),
        ("session.kill_by_authrole", ("anonymous",)),
        ("session.kill_all", ()),
        ("subscription.remove_subscriber", (1, b.id)),
        ("registration.remove_callee", (1, b.id)),
    ):
        await fails(ask(a, f"wamp.{name}", *args), "wamp.error.not_authorized")
    assert (await ask(a, "wamp.session.get", b.id))[0]["session"] == b.id


@case("TST-01 TST-02 TST-03 TST-13: a testament follows every end of a session")
async def testaments(stage):
    a = await stage.own()
    inbox = Inbox()
    await a.subscribe(stage.uri("will"), lambda args, kwargs, details: inbox.put(args, kwargs, details.publisher))
    for n, end in enumerate(
        (lambda peer: peer.leave(), lambda peer: peer.drop(), lambda peer: ask(a, "wamp.session.kill", peer.id))
    ):
        b = await stage.own()
        b.leaving = True
        assert await b.call("wamp.session.add_testament", [stage.uri("will"), ["of", n], {"key": "value"}]) == ([], {})
        assert len(inbox.items) == n
        await end(b)
        assert (await inbox.take(n + 1))[n] == (["of", n], {"key": "value"}, None)


@case("TST-04 TST-14: those of the scope detached come first, and all before on_leave")
async def scopes(stage):
    a, b = await stage.owns(2)
    inbox = Inbox()  # of two subscriptions: the order between them is that of the router
    await a.subscribe(stage.uri("will"), lambda args, *_: inbox.put(args[0]))
    await a.subscribe("wamp.session.on_leave", lambda args, *_: inbox.put(args[0]))
    for n, scope in enumerate(("destroyed", "detached", None, "detached")):
        await ask(b, "wamp.session.add_testament", stage.uri("will"), [n], {}, **({"scope": scope} if scope else {}))
    await b.leave()
    assert await inbox.take(5) == [1, 3, 0, 2, b.id]


@case("TST-05 TST-06 TST-09: testaments are taken back by scope")
async def flushing(stage):
    a = await stage.own()
    inbox = await listen(a, stage.uri("will"))
    for n, (flush, left) in enumerate(
        (({}, "detached"), ({"scope": "destroyed"}, "detached"), ({"scope": "detached"}, "destroyed"))
    ):
        b = await stage.own()
        for scope in ("destroyed", "detached"):
            await ask(b, "wamp.session.add_testament", stage.uri("will"), [scope], {}, scope=scope)
        assert await ask(b, "wamp.session.flush_testaments", **flush) == []
        await b.leave()
        assert (await inbox.take(n + 1))[n] == ["will", left]


@case("TST-08: the options of a testament choose receivers and show its publisher")
async def testament_options(stage):
    a, b, c = await stage.owns(3)
    inboxes = [Inbox(), Inbox()]
    for peer, inbox in zip((a, b), inboxes):
        await peer.subscribe(
            stage.uri("will"), lambda args, _kwargs, details, inbox=inbox: inbox.put(args[0], details.publisher)
        )
    for n, options in enumerate(({"exclude": [a.id], "acknowledge": True}, {"eligible": [a.id]}, {"disclose_me": True})):
        await ask(c, "wamp.session.add_testament", stage.uri("will"), [n], {}, publish_options=options)
    await c.leave()
    assert await inboxes[0].take(2) == [(1, None), (2, c.id)]
    assert await inboxes[1].take(2) == [(0, None), (2, c.id)]


@case("TST-07 TST-11: a testament of the wrong form is refused")
async def wrong_testaments(stage):
    a = await stage.own()
    add, topic = "wamp.session.add_testament", stage.uri("will")
    for args in ((), (7, [], {}), (topic, "no list", {}), (topic, [], "no dict")):
        await fails(ask(a, add, *args), BAD_ARGUMENT)
    await fails(ask(a, add, topic, [], {}, scope="bogus"), BAD_ARGUMENT)
    for uri in ("wamp.session.on_join", "no uri"):
        await fails(ask(a, add, uri, [], {}), "wamp.error.invalid_uri")
    await fails(ask(a, "wamp.session.flush_testaments", scope="bogus"), BAD_ARGUMENT)
