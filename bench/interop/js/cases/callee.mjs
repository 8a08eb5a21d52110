// Callees that take no calls in chunks, have enough to do, or say that they have. PROTOCOL 8.6, 8.16, 8.17.
import assert from 'node:assert/strict';
import { Failure } from '../failure.mjs';
import { until } from '../router.mjs';
import { Gate, Inbox, fails } from './inbox.mjs';

const echo = ({ args, kwargs }) => ({ args, kwargs });

export const calleeCases = [
  {
    name: 'RPC-35: a callee that takes no calls in chunks is not invoked; the rest of the call is discarded',
    needs: (can) => can.stream,
    async run(stage) {
      const [caller, callee] = [await stage.join(), await stage.join()];
      const seen = new Inbox();
      await callee.register(stage.uri('plain'), (invocation) => { seen.put(invocation.args); return echo(invocation); });
      const call = caller.stream(stage.uri('plain'), ['chunk', 1]);
      await fails(call.result, 'wamp.error.feature_not_supported');
      call.send(['chunk', 2], true);
      call.send(['chunk', 3], false);
      assert.deepEqual((await caller.call(stage.uri('plain'), ['whole', 4]).result).args, ['whole', 4]);
      assert.deepEqual(seen.items, [['whole', 4]]);
    },
  },
  {
    name: 'REG concurrency: a callee has as many open calls as it wants',
    needs: (can) => can.anyOption,
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      const [called, answer] = [new Inbox(), new Gate()];
      await callee.register(stage.uri('busy'), async ({ args }) => {
        called.put(1);
        await answer.promise;
        return { args };
      }, { concurrency: 2 });
      const calls = [1, 2].map((n) => caller.call(stage.uri('busy'), ['call', n]).result);
      await called.take(2);
      await fails(caller.call(stage.uri('busy')).result, 'wamp.error.unavailable');
      answer.open();
      assert.deepEqual((await Promise.all(calls)).map(({ args }) => args), [['call', 1], ['call', 2]]);
      assert.deepEqual((await caller.call(stage.uri('busy'), ['call', 3]).result).args, ['call', 3]);
    },
  },
  {
    name: 'RPC-85: a callee that says it is unavailable says so to its caller, unless it asked to be passed by',
    async run(stage) {
      const [callee, other, caller] = [await stage.join(), await stage.join(), await stage.join()];
      const unavailable = () => { throw new Failure('wamp.error.unavailable', ['not', 'now']); };
      await callee.register(stage.uri('shared'), unavailable, { invoke: 'first' });
      await other.register(stage.uri('shared'), echo, { invoke: 'first' });
      assert.deepEqual((await fails(caller.call(stage.uri('shared')).result, 'wamp.error.unavailable')).args, ['not', 'now']);
    },
  },
  {
    name: 'REG-21 REG-24: force_reregister takes a procedure over, from those who may; who had it is told',
    needs: (can) => can.anyOption,
    async run(stage) {
      const named = (name) => () => ({ args: [name, ''] });
      const [caller, older, newer] = [await stage.own(), await stage.own(), await stage.own()];
      await older.register(stage.uri('mine'), named('older'), { force_reregister: true });
      await newer.register(stage.uri('mine'), named('newer'), { force_reregister: true });
      assert.equal((await caller.call(stage.uri('mine')).result).args[0], 'newer');
      await until(() => older.revoked.length > 0, 'the older callee is told');
      assert.equal(older.revoked[0][0], 'registration');
      const [a, b] = [await stage.join(), await stage.join()]; // the other router: a realm without rules lets nobody do it
      await a.register(stage.uri('mine'), named('a'), { force_reregister: true });
      await fails(b.register(stage.uri('mine'), named('b'), { force_reregister: true }), 'wamp.error.option_not_allowed');
    },
  },
];
