// Remote procedure calls. PROTOCOL 8.
import assert from 'node:assert/strict';
import { client as wampy } from '../clients/wampy.mjs';
import { Failure } from '../failure.mjs';
import { Gate, Inbox, fails } from './inbox.mjs';

const echo = ({ args, kwargs }) => ({ args, kwargs });
const named = (name) => ({ procedure }) => ({ args: [name, procedure ?? ''] });
const who = async (session, procedure) => (await session.call(procedure).result).args[0];

export const rpcCases = [
  {
    name: 'RPC-01 RPC-04: a call carries args and kwargs there and back, or nothing at all',
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      const seen = new Inbox();
      await callee.register(stage.uri('echo'), (invocation) => { seen.put(invocation); return echo(invocation); });
      const result = await caller.call(stage.uri('echo'), ['a', 2, [3]], { k: { deep: 'v' } }).result;
      assert.deepEqual(result, { args: ['a', 2, [3]], kwargs: { k: { deep: 'v' } } });
      assert.deepEqual(await caller.call(stage.uri('echo')).result, { args: [], kwargs: {} });
      assert.deepEqual((await caller.call(stage.uri('echo'), [], { only: 'kwargs' }).result).kwargs, { only: 'kwargs' });
      assert.equal(seen.length, 3);
    },
  },
  {
    name: 'RPC-03: an error carries its URI, args and kwargs back to the caller',
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      await callee.register(stage.uri('fail'), ({ args, kwargs }) => { throw new Failure('com.example.failed', args, kwargs); });
      const error = await fails(caller.call(stage.uri('fail'), ['why', 7], { code: 42, more: ['x'] }).result, 'com.example.failed');
      assert.deepEqual([error.args, error.kwargs], [['why', 7], { code: 42, more: ['x'] }]);
    },
  },
  {
    name: 'RPC-02: an unknown procedure is no_such_procedure',
    async run(stage) {
      await fails((await stage.join()).call(stage.uri('nope')).result, 'wamp.error.no_such_procedure');
    },
  },
  {
    name: 'URI-02 URI-24 URI-30: invalid and reserved procedures are refused with invalid_uri',
    needs: (can) => can.sendAnyURI,
    async run(stage) {
      const a = await stage.join();
      for (const procedure of ['', 'com..a', 'com.', 'com.with space', 'com.#']) {
        await fails(a.register(procedure, echo), 'wamp.error.invalid_uri');
        await fails(a.call(procedure).result, 'wamp.error.invalid_uri');
      }
      await fails(a.register('wamp.mine', echo), 'wamp.error.invalid_uri');
      await a.register(stage.uri('alive'), echo);
    },
  },
  {
    name: 'REG-02 REG-20: a second registration is procedure_already_exists, from others and from the same session',
    async run(stage) {
      const [a, b] = [await stage.join(), await stage.join()];
      await a.register(stage.uri('mine'), named('a'));
      await fails(b.register(stage.uri('mine'), named('b')), 'wamp.error.procedure_already_exists');
      await fails(b.register(stage.uri('mine'), named('b'), { invoke: 'roundrobin' }), 'wamp.error.procedure_already_exists');
      if (stage.can.sendAnyURI) await fails(a.register(stage.uri('mine'), named('a2')), 'wamp.error.procedure_already_exists');
      assert.equal(await who(b, stage.uri('mine')), 'a');
    },
  },
  {
    name: 'REG-03: an unregistered procedure is gone and may be registered again',
    async run(stage) {
      const [a, b] = [await stage.join(), await stage.join()];
      const registration = await a.register(stage.uri('once'), named('a'));
      assert.equal(await who(b, stage.uri('once')), 'a');
      await a.unregister(registration);
      await fails(b.call(stage.uri('once')).result, 'wamp.error.no_such_procedure');
      await b.register(stage.uri('once'), named('b'));
      assert.equal(await who(a, stage.uri('once')), 'b');
    },
  },
  {
    name: 'REG-05 REG-06: UNREGISTER of an unknown or foreign id is no_such_registration',
    needs: (can) => can.forgeIds,
    async run(stage) {
      const [a, b] = [await stage.join(), await stage.join()];
      const { id } = await b.register(stage.uri('theirs'), named('b'));
      await fails(a.unregisterUnknown(4503599627370496), 'wamp.error.no_such_registration');
      await fails(a.unregisterUnknown(id), 'wamp.error.no_such_registration');
      assert.equal(await who(a, stage.uri('theirs')), 'b');
    },
  },
  {
    name: 'RPC-05: a session calls its own procedure',
    async run(stage) {
      const a = await stage.join();
      await a.register(stage.uri('self'), echo);
      assert.deepEqual((await a.call(stage.uri('self'), [1, 2]).result).args, [1, 2]);
    },
  },
  {
    name: 'RPC-23 URI-15 URI-16 URI-17 URI-22: exact beats prefix beats wildcard, patterns are told the procedure',
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      await callee.register(stage.uri('p.q.r'), named('exact'));
      await callee.register(stage.uri('p.q'), named('prefix'), { match: 'prefix' });
      await callee.register(stage.uri('p.q.long'), named('longer'), { match: 'prefix' });
      await callee.register(stage.uri('p..s'), named('wildcard'), { match: 'wildcard' });
      const expected = { 'p.q.r': 'exact', 'p.q.s': 'prefix', 'p.q.longest': 'longer', 'p.quick': 'prefix', 'p.x.s': 'wildcard' };
      for (const [name, winner] of Object.entries(expected)) {
        const { args } = await caller.call(stage.uri(name)).result;
        assert.equal(args[0], winner, name);
        if (winner !== 'exact') assert.equal(args[1], stage.uri(name));
      }
      await fails(caller.call(stage.uri('p.x.t')).result, 'wamp.error.no_such_procedure');
    },
  },
  {
    name: 'REG-08 REG-12 REG-17: round robin takes turns, and goes on without the one who left',
    async run(stage) {
      const caller = await stage.join();
      const [a, b, c] = [await stage.join(), await stage.join(), await stage.join()];
      const ids = [];
      for (const [session, name] of [[a, 'a'], [b, 'b'], [c, 'c']]) {
        ids.push((await session.register(stage.uri('shared'), named(name), { invoke: 'roundrobin' })).id);
      }
      assert.equal(new Set(ids).size, 1);
      const turns = async (n) => {
        const names = [];
        for (let i = 0; i < n; i++) names.push(await who(caller, stage.uri('shared')));
        return names.join('');
      };
      assert.equal(await turns(6), 'abcabc');
      await b.leave();
      assert.match(await turns(6), /^(acacac|cacaca)$/);
    },
  },
  {
    name: 'REG-09 REG-14 REG-15 REG-16: first, last and random; another policy is procedure_already_exists',
    async run(stage) {
      const [a, b, caller] = [await stage.join(), await stage.join(), await stage.join()];
      for (const invoke of ['first', 'last', 'random']) {
        await a.register(stage.uri(invoke), named('a'), { invoke });
        await b.register(stage.uri(invoke), named('b'), { invoke });
      }
      await fails(caller.register(stage.uri('first'), named('c')), 'wamp.error.procedure_already_exists');
      await fails(caller.register(stage.uri('first'), named('c'), { invoke: 'last' }), 'wamp.error.procedure_already_exists');
      const seen = new Set();
      for (let i = 0; i < 5; i++) {
        assert.equal(await who(caller, stage.uri('first')), 'a');
        assert.equal(await who(caller, stage.uri('last')), 'b');
      }
      for (let i = 0; i < 200 && seen.size < 2; i++) seen.add(await who(caller, stage.uri('random')));
      assert.equal(seen.size, 2);
      await a.leave();
      assert.equal(await who(caller, stage.uri('first')), 'b');
    },
  },
  {
    name: 'RPC-06: 1 000 calls in flight, answered in reverse order, each get their own result',
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      const waiting = [];
      await callee.register(stage.uri('late'), ({ args }) => new Promise((resolve) => {
        waiting.push(() => resolve({ args: ['late', args[0]] }));
        if (waiting.length === 1000) for (const answer of waiting.reverse()) answer();
      }));
      const calls = Array.from({ length: 1000 }, (_, n) => caller.call(stage.uri('late'), [n]).result);
      const results = await Promise.all(calls);
      assert.deepEqual(results.map(({ args }) => args[1]), Array.from({ length: 1000 }, (_, n) => n));
    },
  },
  {
    name: 'ORD-03: calls over several procedures reach the callee in call order',
    needs: (can, link) => can.keepOrder(link),
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      const seen = new Inbox();
      for (let n = 0; n < 4; n++) await callee.register(stage.uri(`p${n}`), ({ args }) => { seen.put(args[0]); return {}; });
      const calls = [];
      for (let n = 0; n < 500; n++) calls.push(caller.call(stage.uri(`p${n % 4}`), [n]).result);
      await Promise.all(calls);
      assert.deepEqual(seen.items, Array.from({ length: 500 }, (_, n) => n));
    },
  },
  {
    name: 'RPC-07: a callee that unregisters during a call may still answer it',
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      const [called, answer] = [new Inbox(), new Gate()];
      const registration = await callee.register(stage.uri('slow'), async () => {
        called.put(1);
        await answer.promise;
        return { args: ['done', 1] };
      });
      const { result } = caller.call(stage.uri('slow'));
      await called.take(1);
      await callee.unregister(registration);
      answer.open();
      assert.deepEqual((await result).args, ['done', 1]);
    },
  },
  {
    name: 'RPC-08 RPC-09: a callee that leaves during a call leaves its caller with canceled',
    async run(stage) {
      const caller = await stage.join();
      for (const how of ['leave', 'drop']) {
        const callee = await stage.join();
        const called = new Inbox();
        await callee.register(stage.uri(how), () => { called.put(1); return new Promise(() => {}); });
        const pending = fails(caller.call(stage.uri(how)).result, 'wamp.error.canceled');
        await called.take(1);
        await callee[how]();
        await pending;
      }
    },
  },
  {
    name: 'RPC-12: a caller that leaves during a call leaves the callee in peace',
    async run(stage) {
      const [callee, gone, caller] = [await stage.join(), await stage.join(), await stage.join()];
      const [called, answer] = [new Inbox(), new Gate()];
      await callee.register(stage.uri('slow'), async () => { called.put(1); await answer.promise; return { args: ['too', 'late'] }; });
      await callee.register(stage.uri('fine'), echo);
      gone.call(stage.uri('slow')).result.catch(() => {});
      await called.take(1);
      await gone.leave();
      answer.open();
      assert.deepEqual((await caller.call(stage.uri('fine'), ['still', 'here']).result).args, ['still', 'here']);
    },
  },
  {
    name: 'RPC-26 RPC-27 RPC-89: progressive results come in order before the final one, from a callee that was not told',
    async run(stage) {
      const [caller, link] = [await stage.join(), { transport: 'ws', serializer: stage.link.serializer }];
      const callee = await stage.joinAs(wampy, link);
      let told;
      await callee.register(stage.uri('steps'), (invocation) => {
        told = invocation.told;
        for (let n = 0; n < 50; n++) invocation.progress(['step', n], { half: n / 2 });
        return { args: ['done', 50] };
      });
      const steps = new Inbox();
      const { args } = await caller.call(stage.uri('steps'), [], {}, { onProgress: steps.put }).result;
      assert.deepEqual(args, ['done', 50]);
      assert.equal(told, undefined, 'this callee announced no features, so receive_progress is not forwarded');
      const expected = Array.from({ length: 50 }, (_, n) => ({ args: ['step', n], kwargs: { half: n / 2 } }));
      assert.deepEqual(steps.items, expected);
    },
  },
  {
    name: 'RPC-28: progressive results may end in an error',
    async run(stage) {
      const [caller, link] = [await stage.join(), { transport: 'ws', serializer: stage.link.serializer }];
      const callee = await stage.joinAs(wampy, link);
      await callee.register(stage.uri('steps'), ({ progress }) => {
        progress(['half', 1]);
        throw new Failure('com.example.broke', ['way', 2]);
      });
      const steps = new Inbox();
      const { result } = caller.call(stage.uri('steps'), [], {}, { onProgress: steps.put });
      assert.deepEqual((await fails(result, 'com.example.broke')).args, ['way', 2]);
      assert.deepEqual(steps.items, [{ args: ['half', 1], kwargs: {} }]);
    },
  },
  {
    name: 'RPC-27: a callee without call_canceling is not asked for progress, the call works',
    needs: (can) => !can.yieldProgressUntold,
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      await callee.register(stage.uri('plain'), ({ progress }) => ({ args: ['progress is', progress] }));
      const { args } = await caller.call(stage.uri('plain'), [], {}, { onProgress: () => {} }).result;
      assert.deepEqual(args, ['progress is', null]);
    },
  },
  {
    name: 'RPC-30: progress that nobody asked for is not forwarded, the final result is',
    async run(stage) {
      const [caller, link] = [await stage.join(), { transport: 'ws', serializer: stage.link.serializer }];
      const callee = await stage.joinAs(wampy, link);
      await callee.register(stage.uri('chatty'), ({ progress }) => { progress(['unasked', 1]); return { args: ['final', 2] }; });
      assert.deepEqual((await caller.call(stage.uri('chatty')).result).args, ['final', 2]);
    },
  },
  {
    name: 'RPC-56 RPC-59 RPC-61: a canceled call ends with canceled; the late answer is discarded',
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      await callee.register(stage.uri('fine'), echo);
      for (const mode of stage.can.cancelModes) {
        const [called, answer] = [new Inbox(), new Gate()];
        await callee.register(stage.uri(mode), async () => { called.put(1); await answer.promise; return { args: ['late', 1] }; });
        const call = caller.call(stage.uri(mode));
        const canceled = fails(call.result, 'wamp.error.canceled'); // no callee announces call_canceling
        await called.take(1);
        call.cancel(mode);
        await canceled;
        answer.open();
        assert.deepEqual((await caller.call(stage.uri('fine'), ['next', mode]).result).args, ['next', mode]);
      }
    },
  },
  {
    name: 'RPC-74 RPC-75: the caller is disclosed when it asks for it, and only then',
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      await callee.register(stage.uri('who'), ({ caller: id }) => ({ args: [id === undefined ? 'nobody' : Number(id), ''] }));
      assert.equal((await caller.call(stage.uri('who'), [1], {}, { disclose_me: true }).result).args[0], Number(caller.id));
      assert.equal(await who(caller, stage.uri('who')), 'nobody');
    },
  },
  {
    name: 'RPC-77: a callee that registers with disclose_caller is told of every caller',
    needs: (can) => can.anyOption,
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      const who = ({ details: { caller: id, caller_authid: authid, caller_authrole: role } }) => ({ args: [id, authid, role] });
      await callee.register(stage.uri('who'), who, { disclose_caller: true });
      const { authid, authrole } = caller.welcome;
      assert.deepEqual((await caller.call(stage.uri('who')).result).args, [caller.id, authid, authrole]);
    },
  },
  {
    name: 'RPC-47 RPC-52: a call that takes too long ends with timeout, one that is quick enough does not',
    async run(stage) {
      const [callee, caller] = [await stage.join(), await stage.join()];
      const answer = new Gate();
      await callee.register(stage.uri('slow'), async () => { await answer.promise; return { args: ['late', 1] }; });
      await callee.register(stage.uri('quick'), echo);
      await fails(caller.call(stage.uri('slow'), [1], {}, { timeout: 50 }).result, 'wamp.error.timeout');
      answer.open();
      assert.deepEqual((await caller.call(stage.uri('quick'), [1, 2], {}, { timeout: 20_000 }).result).args, [1, 2]);
    },
  },
];
