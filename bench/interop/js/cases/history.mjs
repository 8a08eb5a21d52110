// Events that the router keeps for those who ask, and trust levels. PROTOCOL 7.8, 7.10, 8.15. configured.yaml keeps three
// events, and gives trust level 0 to low, 7 to high and none to others.
import assert from 'node:assert/strict';
import { Inbox, fails } from './inbox.mjs';

const getEvents = 'wamp.subscription.get_events';
const acknowledge = { acknowledge: true };

export const historyCases = [
  {
    name: 'PUB-41 PUB-42 PUB-43: get_events returns what is kept, oldest or latest first, and no more than is kept',
    async run(stage) {
      const [publisher, reader] = [await stage.own('', 'history'), await stage.own('', 'history')];
      const topic = stage.uri('topic');
      const publish = async (word, options) => Number(await publisher.publish(topic, [word, 1], { k: 'v' }, { ...acknowledge, ...options }));
      const first = await publish('first');
      const second = await publish('second');
      const [id] = (await reader.call('wamp.subscription.lookup', ['interop.', { match: 'prefix' }]).result).args;
      const events = async (conditions) => (await reader.call(getEvents, [id], conditions).result).args;
      const words = async (conditions) => (await events(conditions)).map(({ args }) => args[0]);
      const got = await events();
      assert.deepEqual(got.map((event) => Number(event.publication)), [first, second]);
      assert.deepEqual([got[0].args[0], got[0].kwargs, got[0].details.topic], ['first', { k: 'v' }, topic]);
      assert.deepEqual(await words({ reverse: true, limit: 1 }), ['second']);
      for (const word of ['third', 'fourth']) await publish(word);
      assert.deepEqual(await words(), ['second', 'third', 'fourth']);
      await publish('not for the reader', { exclude_authid: [reader.welcome.authid] });
      assert.deepEqual(await words({ topic }), ['third', 'fourth']);
      await fails(reader.call(getEvents, [4503599627370496]).result, 'wamp.error.no_such_subscription');
      await fails(reader.call(getEvents, [id], { limit: 0 }).result, 'wamp.error.invalid_argument');
    },
  },
  {
    name: 'PUB-30 RPC-80: events and calls tell the trust level that the permission gives their sender',
    needs: (can) => can.showTrust,
    async run(stage) {
      const [sender, receiver] = [await stage.own('', 'trust'), await stage.own('', 'trust')];
      const inbox = new Inbox();
      const level = ({ trustlevel }) => trustlevel && Number(trustlevel);
      for (const name of ['low', 'high', 'plain']) {
        await receiver.subscribe(stage.uri(name), ({ details }) => inbox.put(`event ${name} ${level(details)}`));
        await receiver.register(stage.uri(name), ({ details }) => ({ args: [`call ${name} ${level(details)}`, ''] }));
        await sender.publish(stage.uri(name), ['event', 1], {}, { ...acknowledge });
        inbox.put((await sender.call(stage.uri(name)).result).args[0]);
      }
      assert.deepEqual((await inbox.take(6)).sort(), [
        'call high 7', 'call low 0', 'call plain undefined', 'event high 7', 'event low 0', 'event plain undefined',
      ]);
    },
  },
];
