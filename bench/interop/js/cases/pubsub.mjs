// Publish and subscribe. PROTOCOL 7.
import assert from 'node:assert/strict';
import { Inbox, fails } from './inbox.mjs';

const acknowledge = { acknowledge: true };

export const pubsubCases = [
  {
    name: 'PUB-01 PUB-28: an event carries args and kwargs to every subscriber, once',
    async run(stage) {
      const publisher = await stage.join();
      const topic = stage.uri('news');
      const inboxes = [];
      for (let i = 0; i < 5; i++) {
        const inbox = new Inbox();
        await (await stage.join()).subscribe(topic, inbox.put);
        inboxes.push(inbox);
      }
      await publisher.publish(topic, ['first', 2], { three: 3 });
      await publisher.publish(topic, ['second', 4], {});
      for (const inbox of inboxes) {
        const events = await inbox.take(2);
        assert.deepEqual(events.map(({ args, kwargs }) => ({ args, kwargs })), [
          { args: ['first', 2], kwargs: { three: 3 } },
          { args: ['second', 4], kwargs: {} },
        ]);
      }
    },
  },
  {
    name: 'PUB-02 PUB-03 ID-12: an acknowledged publish returns the publication id that the event carries',
    async run(stage) {
      const [publisher, subscriber] = [await stage.join(), await stage.join()];
      const inbox = new Inbox();
      assert.ok(await publisher.publish(stage.uri('nobody'), [1], {}, acknowledge));
      await subscriber.subscribe(stage.uri('topic'), inbox.put);
      const publication = await publisher.publish(stage.uri('topic'), [1], {}, acknowledge);
      const [event] = await inbox.take(1);
      if (event.publication !== undefined) assert.equal(event.publication, publication);
    },
  },
  {
    name: 'PUB-01: kwargs without args, args without kwargs, and no payload at all',
    async run(stage) {
      const [publisher, subscriber] = [await stage.join(), await stage.join()];
      const inbox = new Inbox();
      await subscriber.subscribe(stage.uri('topic'), inbox.put);
      await publisher.publish(stage.uri('topic'), [], { only: 'kwargs' });
      await publisher.publish(stage.uri('topic'), ['only args'], {});
      await publisher.publish(stage.uri('topic'), [], {});
      const events = (await inbox.take(3)).map(({ args, kwargs }) => [args, kwargs]);
      assert.deepEqual(events, [[[], { only: 'kwargs' }], [['only args'], {}], [[], {}]]);
    },
  },
  {
    name: 'SUB-10 SUB-11 URI-12 URI-13: exact, prefix and wildcard each get one event, patterns with the topic',
    async run(stage) {
      const [publisher, subscriber] = [await stage.join(), await stage.join()];
      const inboxes = { exact: new Inbox(), prefix: new Inbox(), wildcard: new Inbox() };
      const ids = [
        (await subscriber.subscribe(stage.uri('a.b.c'), inboxes.exact.put)).id,
        (await subscriber.subscribe(stage.uri('a.b'), inboxes.prefix.put, { match: 'prefix' })).id,
        (await subscriber.subscribe(stage.uri('a..c'), inboxes.wildcard.put, { match: 'wildcard' })).id,
      ];
      assert.equal(new Set(ids).size, 3);
      for (const name of ['a.b.c', 'a.bee', 'a.x.c', 'a.x', 'a.x.c.d', 'z.b.c']) {
        await publisher.publish(stage.uri(name), [name], {}, acknowledge);
      }
      await publisher.publish(stage.uri('a.b.c'), ['end'], {}, acknowledge);
      const expected = { exact: ['a.b.c', 'end'], prefix: ['a.b.c', 'a.bee', 'end'], wildcard: ['a.b.c', 'a.x.c', 'end'] };
      for (const [match, inbox] of Object.entries(inboxes)) {
        const events = await inbox.take(expected[match].length);
        assert.deepEqual(events.map((event) => event.args[0]), expected[match], match);
        const topics = expected[match].map((name) => stage.uri(name === 'end' ? 'a.b.c' : name));
        assert.deepEqual(events.map((event) => event.topic), topics, match);
      }
    },
  },
  {
    name: 'URI-07 URI-10: prefix with a trailing dot, and the empty prefix',
    needs: (can) => can.sendAnyURI,
    async run(stage) {
      const [publisher, subscriber] = [await stage.join(), await stage.join()];
      const [dotted, all] = [new Inbox(), new Inbox()];
      await subscriber.subscribe(`${stage.uri('dot')}.`, dotted.put, { match: 'prefix' });
      const everything = await subscriber.subscribe('', (event) => {
        if (event.topic.startsWith(stage.base)) all.put(event);
      }, { match: 'prefix' });
      await publisher.publish(stage.uri('dotless'), [0]);
      await publisher.publish(stage.uri('dot.one'), [1]);
      await all.take(2);
      assert.deepEqual((await dotted.take(1)).map((event) => event.args), [[1]]);
      await subscriber.unsubscribe(everything);
    },
  },
  {
    name: 'PUB-07: the publisher does not hear itself',
    async run(stage) {
      const [a, b] = [await stage.join(), await stage.join()];
      const inbox = new Inbox();
      await a.subscribe(stage.uri('topic'), inbox.put);
      await a.publish(stage.uri('topic'), ['mine'], {}, acknowledge);
      await b.publish(stage.uri('topic'), ['yours'], {}, acknowledge);
      assert.deepEqual((await inbox.take(1)).map((event) => event.args), [['yours']]);
    },
  },
  {
    name: 'PUB-08 PUB-10 ORD-11: with exclude_me false it does, on every matching subscription, after PUBLISHED',
    needs: (can) => can.excludeMe,
    async run(stage) {
      const a = await stage.join();
      const [exact, prefix] = [new Inbox(), new Inbox()];
      await a.subscribe(stage.uri('topic'), exact.put);
      await a.subscribe(stage.uri('top'), prefix.put, { match: 'prefix' });
      const publication = await a.publish(stage.uri('topic'), ['me'], {}, { ...acknowledge, exclude_me: false });
      for (const inbox of [exact, prefix]) assert.equal((await inbox.take(1))[0].publication, publication);
    },
  },
  {
    name: 'SUB-02: two subscriptions to one topic share an id and one event feeds both handlers',
    async run(stage) {
      const [publisher, subscriber] = [await stage.join(), await stage.join()];
      const [first, second] = [new Inbox(), new Inbox()];
      const one = await subscriber.subscribe(stage.uri('topic'), first.put);
      const two = await subscriber.subscribe(stage.uri('topic'), second.put);
      assert.equal(one.id, two.id);
      await publisher.publish(stage.uri('topic'), [1]);
      await publisher.publish(stage.uri('topic'), [2]);
      for (const inbox of [first, second]) {
        assert.deepEqual((await inbox.take(2)).map((event) => event.args), [[1], [2]]);
      }
    },
  },
  {
    name: 'SUB-03 SUB-07 SUB-14: after UNSUBSCRIBED no event comes; others go on; subscribing anew works',
    async run(stage) {
      const [publisher, a, b] = [await stage.join(), await stage.join(), await stage.join()];
      const [inboxA, inboxB, inboxA2] = [new Inbox(), new Inbox(), new Inbox()];
      const topic = stage.uri('topic');
      const subscription = await a.subscribe(topic, inboxA.put);
      await b.subscribe(topic, inboxB.put);
      await publisher.publish(topic, [1], {}, acknowledge);
      await inboxA.take(1);
      await a.unsubscribe(subscription);
      await publisher.publish(topic, [2], {}, acknowledge);
      await inboxB.take(2);
      await a.subscribe(topic, inboxA2.put);
      await publisher.publish(topic, [3], {}, acknowledge);
      assert.deepEqual((await inboxA2.take(1)).map((event) => event.args), [[3]]);
      assert.deepEqual(inboxA.items.map((event) => event.args), [[1]]);
    },
  },
  {
    name: 'SUB-05: UNSUBSCRIBE of an unknown id is no_such_subscription',
    needs: (can) => can.forgeIds,
    async run(stage) {
      const a = await stage.join();
      await fails(a.unsubscribeUnknown(4503599627370496), 'wamp.error.no_such_subscription');
    },
  },
  {
    name: 'SUB-06: UNSUBSCRIBE of an id that only somebody else holds is no_such_subscription, and harmless',
    needs: (can) => can.forgeIds,
    async run(stage) {
      const [a, b] = [await stage.join(), await stage.join()];
      const inbox = new Inbox();
      const { id } = await b.subscribe(stage.uri('topic'), inbox.put);
      await fails(a.unsubscribeUnknown(id), 'wamp.error.no_such_subscription');
      await a.publish(stage.uri('topic'), ['still there']);
      await inbox.take(1);
    },
  },
  {
    name: 'URI-02 URI-03 PUB-05 URI-25: invalid and reserved topics are refused with invalid_uri, the session lives on',
    needs: (can) => can.sendAnyURI,
    async run(stage) {
      const a = await stage.join();
      for (const topic of ['', 'com..a', '.com', 'com.', 'com.with space', 'com.#.a']) {
        await fails(a.subscribe(topic, () => {}), 'wamp.error.invalid_uri');
        await fails(a.publish(topic, [1], {}, acknowledge), 'wamp.error.invalid_uri');
        await a.publish(topic, [1]); // without acknowledge: silence
      }
      await fails(a.subscribe('com..a', () => {}, { match: 'prefix' }), 'wamp.error.invalid_uri');
      await fails(a.publish('wamp.session.on_join', [1], {}, acknowledge), 'wamp.error.invalid_uri');
      await a.publish(stage.uri('alive'), [1], {}, acknowledge);
    },
  },
  {
    name: 'URI-05: upper case, hyphens and letters beyond ASCII are fine in a loose realm',
    async run(stage) {
      const [a, b] = [await stage.join(), await stage.join()];
      const inbox = new Inbox();
      const topic = stage.uri('Größe-Ω.日本');
      await a.subscribe(topic, inbox.put);
      await b.publish(topic, ['found'], {}, acknowledge);
      await inbox.take(1);
    },
  },
  {
    name: 'ORD-01: 2 000 events over four topics arrive in the order published, whatever the subscription',
    needs: (can, link) => can.keepOrder(link),
    async run(stage) {
      const [publisher, subscriber] = [await stage.join(), await stage.join()];
      const [exact, all] = [new Inbox(), new Inbox()];
      const topics = [0, 1, 2, 3].map((n) => stage.uri(`t${n}`));
      for (const topic of topics) await subscriber.subscribe(topic, exact.put);
      await subscriber.subscribe(stage.base, all.put, { match: 'prefix' });
      const publications = [];
      for (let n = 0; n < 2000; n++) publications.push(publisher.publish(topics[n % 4], [n]));
      const sequence = Array.from({ length: 2000 }, (_, n) => n);
      for (const inbox of [exact, all]) {
        assert.deepEqual((await inbox.take(2000)).map((event) => event.args[0]), sequence);
      }
      await Promise.all(publications);
    },
  },
  {
    name: 'PUB-11 PUB-12 PUB-13 PUB-15 PUB-20: exclude and eligible choose the receivers by session',
    async run(stage) {
      const publisher = await stage.join();
      const others = [await stage.join(), await stage.join(), await stage.join()];
      const [b, c, d] = others.map((session) => Number(session.id));
      const inboxes = [new Inbox(), new Inbox(), new Inbox()];
      const topic = stage.uri('lists');
      for (const [i, session] of others.entries()) await session.subscribe(topic, inboxes[i].put);
      const lists = [
        { exclude: [b] }, { eligible: [b] }, { eligible: [b, c], exclude: [b] }, { eligible: [b, c, 4503599627370496] }, {},
      ];
      for (const [n, list] of lists.entries()) await publisher.publish(topic, [n], {}, { ...acknowledge, ...list });
      for (const [i, want] of [[1, 3, 4], [0, 2, 3, 4], [0, 4]].entries()) {
        assert.deepEqual((await inboxes[i].take(want.length)).map((event) => event.args[0]), want, `receiver ${[b, c, d][i]}`);
      }
    },
  },
  {
    name: 'PUB-22 PUB-23 PUB-27: the publisher is disclosed when it asks for it, and only then',
    async run(stage) {
      const [a, b] = [await stage.join(), await stage.join()];
      const inbox = new Inbox();
      await a.subscribe(stage.uri('topic'), inbox.put);
      await b.publish(stage.uri('topic'), [1], {}, { disclose_me: true });
      await b.publish(stage.uri('topic'), [2]);
      assert.deepEqual((await inbox.take(2)).map((event) => event.publisher), [b.id, undefined]);
    },
  },
];
