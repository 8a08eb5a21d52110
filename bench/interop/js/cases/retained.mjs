// Events that the router keeps for those who subscribe later. PROTOCOL 7.9.
import assert from 'node:assert/strict';
import { client as autobahn } from '../clients/autobahn.mjs';
import { Inbox } from './inbox.mjs';

export const retainedCases = [
  {
    name: 'PUB-31 PUB-32 PUB-33 PUB-34 PUB-36 PUB-38 PUB-39: who subscribes later is told the retained event, if it asks',
    async run(stage) {
      const link = { transport: 'ws', serializer: stage.link.serializer };
      const publisher = await stage.joinAs(autobahn, link); // wampy cannot ask for retention
      const topic = stage.uri('topic');
      await publisher.publish(topic, ['older', 1], {}, { retain: true, acknowledge: true });
      const publication = await publisher.publish(topic, ['newer', 2], { k: 'v' }, { retain: true, acknowledge: true });
      await publisher.publish(topic, ['not', 'retained'], {}, { acknowledge: true });
      await publisher.leave();
      const [asks, another, other] = [await stage.join(), await stage.join(), await stage.joinAs(autobahn, link)];
      const [inbox, silent] = [new Inbox(), new Inbox()];
      const put = (to) => (event) => to.put([event.args, event.kwargs ?? {}, Boolean(event.details.retained), event.publication]);
      await asks.subscribe(topic, put(inbox), { get_retained: true });
      const [[args, kwargs, retained, id]] = await inbox.take(1);
      assert.deepEqual([args, kwargs, retained], [['newer', 2], { k: 'v' }, true]);
      if (id !== undefined) assert.equal(id, publication);
      await another.subscribe(topic, put(silent));
      await other.publish(topic, ['live', 3], {}, { acknowledge: true });
      assert.deepEqual((await inbox.take(2))[1].slice(0, 3), [['live', 3], {}, false]);
      assert.deepEqual((await silent.take(1)).map(([first]) => first), [['live', 3]]);
    },
  },
  {
    name: 'PUB-35 PUB-37: a pattern is told of every retained topic, and nobody of what was not for it',
    async run(stage) {
      const link = { transport: 'ws', serializer: stage.link.serializer };
      const publisher = await stage.joinAs(autobahn, link);
      const subscriber = await stage.join();
      const retain = { retain: true, acknowledge: true };
      for (const n of [1, 2, 3]) await publisher.publish(stage.uri(`t.${n}`), ['event', n], {}, { ...retain });
      await publisher.publish(stage.uri('t.4'), ['secret', 4], {}, { ...retain, exclude_authid: [subscriber.welcome.authid] });
      await publisher.publish(stage.uri('t.5'), ['for you', 5], {}, { ...retain, eligible_authrole: ['anonymous'] });
      const inbox = new Inbox();
      await subscriber.subscribe(stage.uri('t'), ({ args, topic, details }) => inbox.put([topic, args[1], details.retained]),
        { match: 'prefix', get_retained: true });
      await publisher.publish(stage.uri('t.6'), ['live', 6], {}, { acknowledge: true });
      const got = (await inbox.take(5)).map(([topic, n, retained]) => [topic, Number(n), Boolean(retained)]);
      assert.deepEqual(got, [1, 2, 3, 5, 6].map((n) => [stage.uri(`t.${n}`), n, n < 6]));
    },
  },
];
