// Joining, leaving, losing the connection, and joining again. PROTOCOL 4.
import assert from 'node:assert/strict';
import { Router, until } from '../router.mjs';
import { Inbox, fails } from './inbox.mjs';

const anyOf = (...reasons) => (reason) => assert.ok(reasons.includes(reason), `unexpected reason ${reason}`);

export const sessionCases = [
  {
    name: 'SES-01 SES-37 SES-39: joins, and WELCOME names the realm, the identity and both roles',
    async run(stage) {
      const a = await stage.join();
      const id = Number(a.id);
      assert.ok(Number.isInteger(id) && id >= 1 && id <= 2 ** 53, `session id ${a.id}`);
      for (const key of ['realm', 'authid', 'authrole', 'authmethod', 'authprovider']) {
        assert.equal(typeof a.welcome[key], 'string', `WELCOME.Details.${key}`);
      }
      assert.equal(a.welcome.realm, 'realm1');
      assert.deepEqual(Object.keys(a.welcome.roles).sort(), ['broker', 'dealer']);
      for (const role of Object.values(a.welcome.roles)) {
        for (const [feature, value] of Object.entries(role.features)) assert.equal(value, true, feature);
      }
    },
  },
  {
    name: 'SES-03: a realm that does not exist is refused with no_such_realm',
    async run(stage) {
      const refused = await fails(stage.join({ realm: 'interop.no.such.realm' }), 'wamp.error.no_such_realm');
      assert.ok(refused.details.message, 'ABORT.Details.message says why');
    },
  },
  {
    name: 'SES-05: a realm name that is no URI is refused with invalid_uri',
    async run(stage) {
      await fails(stage.join({ realm: 'bad realm' }), 'wamp.error.invalid_uri');
    },
  },
  {
    name: 'SES-25: GOODBYE is answered with goodbye_and_out',
    needs: (can) => can.reasonOfGoodbye,
    async run(stage) {
      const a = await stage.join();
      const end = await a.leave();
      assert.equal(end.reason, 'wamp.close.goodbye_and_out');
    },
  },
  {
    name: 'SES-48: GOODBYE with another reason is answered just the same',
    needs: (can) => can.reasonOfGoodbye,
    async run(stage) {
      const a = await stage.join();
      const end = await a.leave('wamp.close.logout', 'bye bye');
      assert.equal(end.reason, 'wamp.close.goodbye_and_out');
    },
  },
  {
    name: 'SES-26 REG-07: after the GOODBYE reply nobody reaches its procedures, and others may register them',
    async run(stage) {
      const [callee, other] = [await stage.join(), await stage.join()];
      const procedure = stage.uri('gone');
      await callee.register(procedure, () => ({ args: [1, 2] }));
      await callee.leave();
      await fails(other.call(procedure).result, 'wamp.error.no_such_procedure');
      await other.register(procedure, () => ({ args: [3, 4] }));
      assert.deepEqual((await other.call(procedure).result).args, [3, 4]);
    },
  },
  {
    name: 'SES-33 SES-34 SUB-09: a transport that just goes away takes subscriptions and registrations with it',
    async run(stage) {
      const [lost, other] = [await stage.join(), await stage.join()];
      const [procedure, topic] = [stage.uri('lost'), stage.uri('topic')];
      await lost.register(procedure, () => ({ args: [1, 2] }));
      await lost.subscribe(topic, () => {});
      await lost.drop();
      const gone = async () => {
        try { await other.call(procedure).result; return false; } catch (error) { return error.uri === 'wamp.error.no_such_procedure'; }
      };
      await until(gone, 'the registration is gone');
      await other.publish(topic, ['into the void'], {}, { acknowledge: true });
    },
  },
  {
    name: 'SES-27: the same client joins again, with a new session id and working subscriptions',
    async run(stage) {
      const topic = stage.uri('again');
      const publisher = await stage.join();
      const ids = new Set();
      for (let round = 0; round < 3; round++) {
        const a = await stage.join();
        const inbox = new Inbox();
        ids.add(String(a.id));
        await a.subscribe(topic, inbox.put);
        await publisher.publish(topic, [round]);
        assert.deepEqual((await inbox.take(1))[0].args, [round]);
        await a.leave();
      }
      assert.equal(ids.size, 3);
    },
  },
  {
    name: 'SES-41: realms do not see each other, and may hold the same procedure',
    async run(stage) {
      const [one, two] = [await stage.join(), await stage.join({ realm: 'realm2' })];
      const [procedure, topic] = [stage.uri('same'), stage.uri('topic')];
      const [inbox1, inbox2] = [new Inbox(), new Inbox()];
      await one.register(procedure, () => ({ args: ['one', 1] }));
      await fails(two.call(procedure).result, 'wamp.error.no_such_procedure');
      await two.register(procedure, () => ({ args: ['two', 2] }));
      assert.deepEqual((await one.call(procedure).result).args, ['one', 1]);
      assert.deepEqual((await two.call(procedure).result).args, ['two', 2]);
      const [publisher1, publisher2] = [await stage.join(), await stage.join({ realm: 'realm2' })];
      await one.subscribe(topic, inbox1.put);
      await two.subscribe(topic, inbox2.put);
      await publisher1.publish(topic, ['for one'], {}, { acknowledge: true });
      await publisher2.publish(topic, ['for two'], {}, { acknowledge: true });
      assert.deepEqual((await inbox1.take(1)).map((event) => event.args), [['for one']]);
      assert.deepEqual((await inbox2.take(1)).map((event) => event.args), [['for two']]);
    },
  },
  {
    name: 'SES-31: a router that shuts down says so and closes',
    needs: (can, link) => can.seeLoss(link) && link.transport === 'ws',
    async run(stage) {
      const router = await Router.start();
      stage.cleanup(() => router.stop('SIGKILL'));
      const a = await stage.join({ at: router.address });
      await router.stop('SIGTERM');
      const end = await a.closed;
      if (stage.can.reasonOfGoodbye) anyOf('wamp.close.system_shutdown')(end.reason);
    },
  },
  {
    name: 'a router that crashed and came back is found again, and subscriptions can be made anew',
    needs: (can, link) => can.seeLoss(link) && link.transport === 'ws',
    async run(stage) {
      const router = await Router.start();
      stage.cleanup(() => router.stop('SIGKILL'));
      const a = await stage.join({ at: router.address, reconnect: true });
      await router.stop('SIGKILL');
      await router.run();
      await until(() => a.joins === 2, 'the client joined a second time');
      const inbox = new Inbox();
      await a.subscribe(stage.uri('anew'), inbox.put);
      const b = await stage.join({ at: router.address });
      await b.publish(stage.uri('anew'), ['hello', 'again']);
      assert.deepEqual((await inbox.take(1))[0].args, ['hello', 'again']);
      await a.leave(); // before the router ends: the client would reconnect
    },
  },
  {
    name: 'a client that renews its subscriptions and registrations after a crash of the router gets them back',
    needs: (can, link) => can.renews && link.transport === 'ws',
    async run(stage) {
      const router = await Router.start();
      stage.cleanup(() => router.stop('SIGKILL'));
      const a = await stage.join({ at: router.address, reconnect: true });
      const inbox = new Inbox();
      await a.subscribe(stage.uri('kept'), inbox.put);
      await a.subscribe(stage.uri('pre'), inbox.put, { match: 'prefix' });
      await a.register(stage.uri('kept'), () => ({ args: ['kept', 1] }));
      await router.stop('SIGKILL');
      await router.run();
      await until(() => a.joins === 2, 'the client joined a second time');
      const b = await stage.join({ at: router.address });
      const answers = async () => {
        try { return (await b.call(stage.uri('kept')).result).args[0] === 'kept'; } catch { return false; }
      };
      await until(answers, 'the registration is back');
      const heard = (value) => inbox.items.some((event) => event.args[0] === value);
      const events = async () => { // the library renews one after the other and does not tell when it is done
        await b.publish(stage.uri('kept'), ['exact'], {}, { acknowledge: true });
        await b.publish(stage.uri('prefixed'), ['prefix'], {}, { acknowledge: true });
        return heard('exact') && heard('prefix');
      };
      await until(events, 'both subscriptions are back');
      await a.leave(); // before the router ends: the client would reconnect
    },
  },
];
