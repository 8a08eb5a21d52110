// The meta API and testaments: PROTOCOL 9 and 7.12. Each case has a realm of its own on the router with a configuration
// file, where anonymous sessions may call everything.
import assert from 'node:assert/strict';
import { Inbox, fails } from './inbox.mjs';

const echo = ({ args, kwargs }) => ({ args, kwargs });
const named = (name) => () => ({ args: [name, ''] });
const ask = async (session, procedure, args, kwargs) => (await session.call(procedure, args, kwargs).result).args;
const plain = (value) => JSON.parse(JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? Number(v) : v)));
const equal = (got, want) => assert.deepEqual(plain(got), plain(want));
const sorted = (...ids) => ids.map(Number).sort((a, b) => a - b);
const date = /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
const noSession = 'wamp.error.no_such_session';
const badArgument = 'wamp.error.invalid_argument';

/** nothing is a result of one null; autobahn-js does not tell it from one without arguments. */
const nothing = (stage) => (stage.can.tellNull ? [null] : []);

/** listen returns an inbox of [last part of the topic, ...arguments]. */
async function listen(session, topic, match) {
  const inbox = new Inbox();
  await session.subscribe(topic, (event) => inbox.put(plain([event.topic.split('.').at(-1), ...event.args])),
    match ? { match } : undefined);
  return inbox;
}

/** killed waits until the router has ended a session; the reason is undefined if the library does not tell it. */
async function killed(stage, session, reason, message) {
  const end = await session.closed;
  if (stage.can.reasonOfGoodbye) assert.deepEqual([end.reason, end.message || undefined], [reason, message]);
}

const own = (stage) => async (n) => {
  const sessions = [];
  for (let i = 0; i < n; i++) sessions.push(await stage.own());
  return sessions;
};

export const metaCases = [
  {
    name: 'META-01 META-02: sessions are counted and listed, by role too',
    async run(stage) {
      const [a, b, c] = await own(stage)(3);
      equal(await ask(a, 'wamp.session.count'), [3]);
      equal(sorted(...(await ask(a, 'wamp.session.list'))[0]), sorted(a.id, b.id, c.id));
      equal(await ask(a, 'wamp.session.count', [['nobody', 'anonymous']]), [3]);
      equal(await ask(a, 'wamp.session.count', [['nobody']]), [0]);
      equal(await ask(a, 'wamp.session.list', [['nobody']]), [[]]);
      await b.leave();
      equal(sorted(...(await ask(a, 'wamp.session.list', [['anonymous']]))[0]), sorted(a.id, c.id));
      await fails(a.call('wamp.session.list', ['anonymous']).result, badArgument);
    },
  },
  {
    name: 'META-03 META-04 META-05 META-42: a session is looked up',
    async run(stage) {
      const [a, b] = await own(stage)(2);
      for (const one of [a, b]) {
        const [got] = await ask(a, 'wamp.session.get', [one.id]);
        assert.equal(Number(got.session), Number(one.id));
        for (const key of ['authid', 'authrole', 'authmethod', 'authprovider']) assert.equal(got[key], one.welcome[key], key);
        assert.equal(typeof got.transport.type, 'string');
      }
      await b.leave();
      await fails(a.call('wamp.session.get', [b.welcome.id ?? 4503599627370496]).result, noSession);
      for (const args of [[], ['x'], [-1], [1.5], [a.id, 1]]) await fails(a.call('wamp.session.get', args).result, badArgument);
      await fails(a.call('wamp.session.no_such_thing').result, 'wamp.error.no_such_procedure');
    },
  },
  {
    name: 'META-15 META-16 META-17: joining and leaving are told, within the realm',
    async run(stage) {
      const [a, far] = [await stage.own(), await stage.own('other')];
      const [inbox, elsewhere] = [await listen(a, 'wamp.session', 'prefix'), await listen(far, 'wamp.session', 'prefix')];
      const b = await stage.own();
      const id = Number(b.id);
      const [topic, joined] = (await inbox.take(1))[0];
      assert.deepEqual([topic, joined.session, joined.authid], ['on_join', id, b.welcome.authid]);
      assert.deepEqual([joined.authrole, joined.authmethod, joined.authprovider], ['anonymous', 'anonymous', 'static']);
      await b.leave();
      assert.deepEqual((await inbox.take(2))[1], ['on_leave', id, b.welcome.authid, 'anonymous']);
      const c = await stage.own();
      const lost = Number(c.id);
      await inbox.take(3);
      await c.drop();
      assert.deepEqual((await inbox.take(4))[3], ['on_leave', lost, c.welcome.authid, 'anonymous']);
      assert.equal(elsewhere.length, 0);
    },
  },
  {
    name: 'META-06 META-07 META-16: a session is killed and told why',
    needs: (can, link) => can.seeLoss(link),
    async run(stage) {
      const [a, b, c, d] = await own(stage)(4);
      const inbox = await listen(a, 'wamp.session.on_leave');
      await d.register(stage.uri('of.killed'), echo);
      const victims = [
        [b, {}, 'wamp.close.killed', undefined],
        [c, { reason: 'com.example.enough' }, 'com.example.enough', undefined],
        [d, { reason: 'com.example.over', message: 'go home' }, 'com.example.over', 'go home'],
      ];
      for (const [n, [one, kwargs, reason, message]] of victims.entries()) {
        const id = Number(one.id);
        assert.deepEqual(await a.call('wamp.session.kill', [id], kwargs).result, { args: [], kwargs: {} });
        await killed(stage, one, reason, message);
        assert.deepEqual((await inbox.take(n + 1))[n], ['on_leave', id, one.welcome.authid, 'anonymous']);
      }
      await fails(a.call(stage.uri('of.killed')).result, 'wamp.error.no_such_procedure');
    },
  },
  {
    name: 'META-08 META-09 META-10: nobody is killed by a wrong request',
    async run(stage) {
      const [a, b] = await own(stage)(2);
      const kill = (args, kwargs) => a.call('wamp.session.kill', args, kwargs).result;
      await fails(kill([a.id]), noSession);
      await fails(kill([4503599627370496]), noSession);
      for (const args of [[], ['x']]) await fails(kill(args), badArgument);
      await fails(kill([b.id], { message: 1 }), badArgument);
      await fails(kill([b.id], { reason: 'not a uri' }), 'wamp.error.invalid_uri');
      await fails(a.call('wamp.session.kill_by_authid', [7]).result, badArgument);
      await fails(a.call('wamp.session.kill_all', [], { reason: 'not a uri' }).result, 'wamp.error.invalid_uri');
      equal(await ask(b, 'wamp.session.count'), [2]);
    },
  },
  {
    name: 'META-11 META-12 META-13: sessions are killed by authid and by role',
    needs: (can, link) => can.seeLoss(link),
    async run(stage) {
      const [a, b, c, d] = await own(stage)(4);
      const id = Number(b.id);
      equal(await ask(a, 'wamp.session.kill_by_authid', ['no such authid']), [[]]);
      equal(await ask(a, 'wamp.session.kill_by_authrole', ['no such role']), [0]);
      equal(await ask(a, 'wamp.session.kill_by_authid', [b.welcome.authid]), [[id]]);
      await killed(stage, b, 'wamp.close.killed');
      equal(await ask(a, 'wamp.session.kill_by_authrole', ['anonymous'], { reason: 'com.example.role' }), [2]);
      for (const one of [c, d]) await killed(stage, one, 'com.example.role');
      equal(await ask(a, 'wamp.session.list'), [[a.id]]);
    },
  },
  {
    name: 'META-14 TST-12: kill_all ends all others and tells nobody of it',
    needs: (can, link) => can.seeLoss(link),
    async run(stage) {
      const [a, b, c] = await own(stage)(3);
      const [inbox, wills] = [await listen(a, 'wamp.session', 'prefix'), await listen(a, stage.uri('will'))];
      await ask(b, 'wamp.session.add_testament', [stage.uri('will'), ['never'], {}]);
      equal(await ask(a, 'wamp.session.kill_all'), [2]);
      for (const one of [b, c]) await killed(stage, one, 'wamp.close.killed');
      const d = await stage.own();
      await ask(d, 'wamp.session.add_testament', [stage.uri('will'), ['now'], {}]);
      await d.leave();
      assert.deepEqual(await wills.take(1), [['will', 'now']]);
      assert.deepEqual((await inbox.take(2)).map(([topic]) => topic), ['on_join', 'on_leave']);
    },
  },
  {
    name: 'META-18 META-19 META-20 META-21 META-22 META-37: subscriptions come and go, and their session is told',
    async run(stage) {
      const [a, b] = await own(stage)(2);
      const inbox = await listen(a, 'wamp.subscription', 'prefix');
      const topic = stage.uri('topic');
      const [one, two] = [Number(a.id), Number(b.id)];
      const subscription = await a.subscribe(topic, () => {});
      const [create, subscribe] = await inbox.take(2);
      const id = create[2].id;
      assert.match(create[2].created, date);
      const details = { id, created: create[2].created, uri: topic, match: 'exact' };
      assert.deepEqual([create, subscribe], [['on_create', one, details], ['on_subscribe', one, id]]);
      await b.subscribe(topic, () => {});
      await b.subscribe(topic, () => {});
      await inbox.take(3);
      await a.unsubscribe(subscription);
      await inbox.take(4);
      await b.drop();
      assert.deepEqual((await inbox.take(6)).slice(2), [
        ['on_subscribe', two, id], ['on_unsubscribe', one, id], ['on_unsubscribe', two, id], ['on_delete', two, id],
      ]);
    },
  },
  {
    name: 'META-23 META-24 META-25 META-26 META-27 META-28 META-35 META-36: subscriptions are listed and found',
    async run(stage) {
      const [a, b] = await own(stage)(2);
      await listen(a, 'wamp.session.on_join'); // not to be seen
      const topics = { exact: 't.a.b', prefix: 't.a', wildcard: 't..b' };
      const id = {};
      for (const [match, topic] of Object.entries(topics)) {
        await a.subscribe(stage.uri(topic), () => {}, { match });
        [id[match]] = plain(await ask(b, 'wamp.subscription.lookup', [stage.uri(topic), { match }]));
        assert.equal(typeof id[match], 'number', match);
      }
      await b.subscribe(stage.uri('t.a'), () => {}, { match: 'prefix' });
      equal(await ask(b, 'wamp.subscription.list'), [{ exact: [id.exact], prefix: [id.prefix], wildcard: [id.wildcard] }]);
      equal(await ask(b, 'wamp.subscription.lookup', [stage.uri('t.a.b')]), [id.exact]);
      for (const topic of [stage.uri('t.a'), 'wamp.session.on_join']) equal(await ask(b, 'wamp.subscription.lookup', [topic]), nothing(stage));
      equal(sorted(...(await ask(b, 'wamp.subscription.match', [stage.uri('t.a.b')]))[0]), sorted(...Object.values(id)));
      equal(await ask(b, 'wamp.subscription.match', [stage.uri('t.a.c')]), [[id.prefix]]);
      equal(await ask(b, 'wamp.subscription.match', [stage.uri('x')]), nothing(stage));
      const [details] = plain(await ask(b, 'wamp.subscription.get', [id.wildcard]));
      assert.match(details.created, date);
      assert.deepEqual(details, { id: id.wildcard, created: details.created, uri: stage.uri('t..b'), match: 'wildcard' });
      equal(sorted(...(await ask(b, 'wamp.subscription.list_subscribers', [id.prefix]))[0]), sorted(a.id, b.id));
      equal(await ask(b, 'wamp.subscription.count_subscribers', [id.prefix]), [2]);
      for (const name of ['get', 'list_subscribers', 'count_subscribers']) {
        await fails(b.call(`wamp.subscription.${name}`, [4503599627370496]).result, 'wamp.error.no_such_subscription');
        await fails(b.call(`wamp.subscription.${name}`, ['x']).result, badArgument);
      }
    },
  },
  {
    name: 'META-29 META-30 META-31: registrations come and go',
    async run(stage) {
      const [a, b, c] = await own(stage)(3);
      const inbox = await listen(a, 'wamp.registration', 'prefix');
      const [two, three] = [Number(b.id), Number(c.id)];
      const options = { invoke: 'roundrobin', match: 'prefix' };
      const registration = await b.register(stage.uri('shared'), echo, { ...options });
      const [create, register] = await inbox.take(2);
      const { id, created } = create[2];
      assert.match(created, date);
      const details = { id, created, uri: stage.uri('shared'), match: 'prefix', invoke: 'roundrobin' };
      assert.deepEqual([create, register], [['on_create', two, details], ['on_register', two, id]]);
      await c.register(stage.uri('shared'), echo, { ...options });
      await b.unregister(registration);
      await c.leave();
      assert.deepEqual((await inbox.take(6)).slice(2), [
        ['on_register', three, id], ['on_unregister', two, id], ['on_unregister', three, id], ['on_delete', three, id],
      ]);
    },
  },
  {
    name: 'META-32 META-33 META-34 META-35: registrations are listed and found',
    async run(stage) {
      const [a, b] = await own(stage)(2);
      const procedures = { exact: 'p.a.b', prefix: 'p.a', wildcard: 'p..b' };
      const id = {};
      for (const [match, procedure] of Object.entries(procedures)) {
        await a.register(stage.uri(procedure), named(match), { match, invoke: 'last' });
        [id[match]] = plain(await ask(b, 'wamp.registration.lookup', [stage.uri(procedure), { match }]));
      }
      await b.register(stage.uri('p.a.b'), named('exact'), { invoke: 'last' });
      equal(await ask(b, 'wamp.registration.list'), [{ exact: [id.exact], prefix: [id.prefix], wildcard: [id.wildcard] }]);
      equal(await ask(b, 'wamp.registration.lookup', [stage.uri('p.a')]), nothing(stage));
      for (const [name, match] of [['p.a.b', 'exact'], ['p.a.c', 'prefix'], ['p.x.b', 'wildcard']]) {
        equal(await ask(b, 'wamp.registration.match', [stage.uri(name)]), [id[match]]);
        assert.equal((await ask(b, stage.uri(name)))[0], match);
      }
      equal(await ask(b, 'wamp.registration.match', [stage.uri('p.x.c')]), nothing(stage));
      const [details] = plain(await ask(b, 'wamp.registration.get', [id.prefix]));
      assert.match(details.created, date);
      const { created } = details;
      assert.deepEqual(details, { id: id.prefix, created, uri: stage.uri('p.a'), match: 'prefix', invoke: 'last' });
      equal(sorted(...(await ask(b, 'wamp.registration.list_callees', [id.exact]))[0]), sorted(a.id, b.id));
      equal(await ask(b, 'wamp.registration.count_callees', [id.exact]), [2]);
      for (const name of ['get', 'list_callees', 'count_callees']) {
        await fails(b.call(`wamp.registration.${name}`, [4503599627370496]).result, 'wamp.error.no_such_registration');
        await fails(b.call(`wamp.registration.${name}`).result, badArgument);
      }
    },
  },
  {
    name: 'META-40 META-41 SUB-15 REG-21: subscriptions and registrations are taken away',
    async run(stage) {
      const [a, b, c] = await own(stage)(3);
      const [inbox, kept] = [await listen(c, stage.uri('topic')), await listen(b, stage.uri('topic'))];
      await c.register(stage.uri('shared'), named('c'), { invoke: 'first' });
      await b.register(stage.uri('shared'), named('b'), { invoke: 'first' });
      const [sub] = plain(await ask(a, 'wamp.subscription.lookup', [stage.uri('topic')]));
      const [reg] = plain(await ask(a, 'wamp.registration.lookup', [stage.uri('shared')]));
      await fails(a.call('wamp.subscription.remove_subscriber', [sub, a.id]).result, noSession);
      await fails(a.call('wamp.registration.remove_callee', [reg, a.id]).result, noSession);
      await fails(a.call('wamp.subscription.remove_subscriber', [4503599627370496, c.id]).result, 'wamp.error.no_such_subscription');
      await fails(a.call('wamp.registration.remove_callee', [4503599627370496, c.id]).result, 'wamp.error.no_such_registration');
      const tell = await listen(a, 'wamp', 'prefix');
      const reason = { reason: 'com.example.enough' };
      assert.deepEqual(await a.call('wamp.subscription.remove_subscriber', [sub, c.id], reason).result, { args: [], kwargs: {} });
      assert.deepEqual(await a.call('wamp.registration.remove_callee', [reg, c.id], reason).result, { args: [], kwargs: {} });
      assert.deepEqual((await tell.take(2)).map(([topic]) => topic), ['on_unsubscribe', 'on_unregister']);
      await a.publish(stage.uri('topic'), [1], {}, { acknowledge: true });
      await kept.take(1);
      assert.equal((await ask(c, stage.uri('shared')))[0], 'b');
      assert.equal(inbox.length, 0);
      if (c.revoked) assert.deepEqual(c.revoked, [['subscription', reason.reason], ['registration', reason.reason]]);
    },
  },
  {
    name: 'META-44: details of a session are changed',
    async run(stage) {
      const [a, b] = await own(stage)(2);
      assert.deepEqual(await a.call('wamp.session.modify_details', [b.id, { authid: 'bob', pi: 3.5 }]).result, { args: [], kwargs: {} });
      let [got] = await ask(a, 'wamp.session.get', [b.id]);
      assert.deepEqual([got.authid, got.pi], ['bob', 3.5]);
      await ask(a, 'wamp.session.modify_details', [b.id, { pi: null }]);
      [got] = await ask(a, 'wamp.session.get', [b.id]);
      assert.ok(!('pi' in got));
      await fails(a.call('wamp.session.modify_details', [b.id, { session: 1 }]).result, badArgument);
      await fails(a.call('wamp.session.modify_details', [4503599627370496, {}]).result, noSession);
      await fails((await stage.join()).call('wamp.session.modify_details', [1, {}]).result, 'wamp.error.no_such_procedure');
    },
  },
  {
    name: 'META-38: nobody kills without a permission that names it',
    async run(stage) {
      const [a, b] = [await stage.join(), await stage.join()]; // the other router: everything is allowed, by no rule
      const requests = {
        'session.kill': [b.id], 'session.kill_by_authid': [b.welcome.authid], 'session.kill_by_authrole': ['anonymous'],
        'session.kill_all': [], 'subscription.remove_subscriber': [1, b.id], 'registration.remove_callee': [1, b.id],
      };
      for (const [name, args] of Object.entries(requests)) await fails(a.call(`wamp.${name}`, args).result, 'wamp.error.not_authorized');
      equal((await ask(a, 'wamp.session.get', [b.id]))[0].session, Number(b.id));
    },
  },
  {
    name: 'TST-01 TST-02 TST-03 TST-13: a testament follows every end of a session',
    needs: (can, link) => can.seeLoss(link),
    async run(stage) {
      const a = await stage.own();
      const inbox = new Inbox();
      await a.subscribe(stage.uri('will'), ({ args, kwargs, publisher }) => inbox.put(plain([args, kwargs, publisher ?? null])));
      const ends = [(one) => one.leave(), (one) => one.drop(), (one) => ask(a, 'wamp.session.kill', [one.id])];
      for (const [n, end] of ends.entries()) {
        const b = await stage.own();
        const added = await b.call('wamp.session.add_testament', [stage.uri('will'), ['of', n], { key: 'value' }]).result;
        assert.deepEqual(added, { args: [], kwargs: {} });
        assert.equal(inbox.length, n);
        await end(b);
        assert.deepEqual((await inbox.take(n + 1))[n], [['of', n], { key: 'value' }, null]);
      }
    },
  },
  {
    name: 'TST-04 TST-14: those of the scope detached come first, and all before on_leave',
    async run(stage) {
      const [a, b] = await own(stage)(2);
      const seen = [];
      const inbox = new Inbox();
      // Two subscriptions of one session: the order between them is that of the router.
      for (const topic of [stage.uri('will'), 'wamp.session.on_leave']) {
        await a.subscribe(topic, (event) => { seen.push(event.topic === topic ? event.args[0] : event.topic); inbox.put(1); });
      }
      for (const [n, scope] of ['destroyed', 'detached', undefined, 'detached'].entries()) {
        await ask(b, 'wamp.session.add_testament', [stage.uri('will'), [n], {}], scope ? { scope } : {});
      }
      const id = Number(b.id);
      await b.leave();
      await inbox.take(5);
      assert.deepEqual(plain(seen), [1, 3, 0, 2, id]);
    },
  },
  {
    name: 'TST-05 TST-06 TST-09: testaments are taken back by scope',
    async run(stage) {
      const a = await stage.own();
      const inbox = await listen(a, stage.uri('will'));
      const flushes = [[{}, 'detached'], [{ scope: 'destroyed' }, 'detached'], [{ scope: 'detached' }, 'destroyed']];
      for (const [n, [flush, left]] of flushes.entries()) {
        const b = await stage.own();
        for (const scope of ['destroyed', 'detached']) {
          await ask(b, 'wamp.session.add_testament', [stage.uri('will'), [scope], {}], { scope });
        }
        assert.deepEqual(await b.call('wamp.session.flush_testaments', [], flush).result, { args: [], kwargs: {} });
        await b.leave();
        assert.deepEqual((await inbox.take(n + 1))[n], ['will', left]);
      }
    },
  },
  {
    name: 'TST-08: the options of a testament choose receivers and show its publisher',
    async run(stage) {
      const [a, b, c] = await own(stage)(3);
      const inboxes = [new Inbox(), new Inbox()];
      for (const [n, one] of [a, b].entries()) {
        await one.subscribe(stage.uri('will'), ({ args, publisher }) => inboxes[n].put([Number(args[0]), Number(publisher ?? 0)]));
      }
      const id = Number(c.id);
      const options = [{ exclude: [a.id], acknowledge: true }, { eligible: [a.id] }, { disclose_me: true }];
      for (const [n, publish_options] of options.entries()) {
        await ask(c, 'wamp.session.add_testament', [stage.uri('will'), [n], {}], { publish_options });
      }
      await c.leave();
      assert.deepEqual(await inboxes[0].take(2), [[1, 0], [2, id]]);
      assert.deepEqual(await inboxes[1].take(2), [[0, 0], [2, id]]);
    },
  },
  {
    name: 'TST-07 TST-11: a testament of the wrong form is refused',
    async run(stage) {
      const a = await stage.own();
      const will = stage.uri('will');
      const wrong = [
        [[], {}], [[7, [], {}], {}], [[will, 'no list', {}], {}], [[will, [], 'no dict'], {}], [[will, [], {}], { scope: 'bogus' }],
      ];
      for (const [args, kwargs] of wrong) await fails(a.call('wamp.session.add_testament', args, kwargs).result, badArgument);
      for (const topic of ['wamp.session.on_join', 'no uri']) {
        await fails(a.call('wamp.session.add_testament', [topic, [], {}]).result, 'wamp.error.invalid_uri');
      }
      await fails(a.call('wamp.session.flush_testaments', [], { scope: 'bogus' }).result, badArgument);
    },
  },
];
