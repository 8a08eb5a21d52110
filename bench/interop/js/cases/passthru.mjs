// Payload in passthru mode. PROTOCOL 12.1.
import assert from 'node:assert/strict';
import { client as autobahn } from '../clients/autobahn.mjs';
import { Inbox, fails } from './inbox.mjs';

const echo = ({ args, kwargs }) => ({ args, kwargs });
const forms = [
  { ppt_scheme: 'x_interop', ppt_serializer: 'cbor' },
  { ppt_scheme: 'mqtt', ppt_serializer: 'msgpack', ppt_keyid: '7' },
  { ppt_scheme: 'wamp', ppt_serializer: 'cbor', ppt_cipher: 'aes256gcm', ppt_keyid: 'the key' },
];

export const passthruCases = [
  {
    name: 'PPT-03: an event in passthru mode arrives with its keys',
    needs: (can, link) => can.passthru(link),
    async run(stage) {
      const [publisher, subscriber] = [await stage.join(), await stage.join()];
      const inbox = new Inbox();
      await subscriber.subscribe(stage.uri('topic'), ({ args, kwargs, details }) => inbox.put({ args, kwargs, details }));
      for (const [n, form] of forms.entries()) {
        await publisher.publish(stage.uri('topic'), ['secret', n], { k: 'v' }, { ...form });
        const { args, kwargs, details } = (await inbox.take(n + 1))[n];
        assert.deepEqual([args, kwargs], [['secret', n], { k: 'v' }]);
        for (const [key, value] of Object.entries(form)) assert.equal(details[key], value);
      }
    },
  },
  {
    name: 'PPT-01 PPT-02: a call in passthru mode and its result carry their keys',
    needs: (can, link) => can.passthru(link),
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      const seen = new Inbox();
      await callee.register(stage.uri('echo'), ({ args, kwargs, details }) => {
        seen.put(details);
        const options = Object.fromEntries(Object.entries(details).filter(([key]) => key.startsWith('ppt_')));
        return { args, kwargs, options };
      });
      for (const [n, form] of forms.entries()) {
        const result = await caller.call(stage.uri('echo'), ['secret', n], { k: 'v' }, { ...form }).result;
        assert.deepEqual(result, { args: ['secret', n], kwargs: { k: 'v' } });
        for (const [key, value] of Object.entries(form)) assert.equal(seen.items[n][key], value);
      }
    },
  },
  {
    name: 'PPT-06: a callee that lacks passthru mode is not invoked in it',
    needs: (can, link) => can.passthru(link),
    async run(stage) {
      const [caller, callee] = [await stage.join(), await stage.joinAs(autobahn, stage.link)];
      const seen = new Inbox();
      await callee.register(stage.uri('plain'), (invocation) => { seen.put(1); return echo(invocation); });
      await fails(caller.call(stage.uri('plain'), ['secret', 1], {}, { ...forms[0] }).result, 'wamp.error.feature_not_supported');
      assert.deepEqual((await caller.call(stage.uri('plain'), ['open', 1]).result).args, ['open', 1]);
      assert.equal(seen.length, 1);
    },
  },
];
