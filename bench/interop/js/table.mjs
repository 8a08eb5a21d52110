// Runs every case over every link (transport and serializer) of one client library.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { calleeCases } from './cases/callee.mjs';
import { historyCases } from './cases/history.mjs';
import { metaCases } from './cases/meta.mjs';
import { payloadCases } from './cases/payload.mjs';
import { passthruCases } from './cases/passthru.mjs';
import { pubsubCases } from './cases/pubsub.mjs';
import { retainedCases } from './cases/retained.mjs';
import { rpcCases } from './cases/rpc.mjs';
import { sessionCases } from './cases/session.mjs';
import { configured } from './router.mjs';

const cases = [
  ...sessionCases, ...pubsubCases, ...rpcCases, ...calleeCases, ...payloadCases, ...metaCases, ...passthruCases, ...retainedCases,
  ...historyCases,
];
let serial = 0;

/** atMost waits for promise, ms at most; meanwhile its timer keeps node running. */
async function atMost(ms, promise) {
  let timer;
  await Promise.race([promise, new Promise((resolve) => { timer = setTimeout(resolve, ms); })]);
  clearTimeout(timer);
}

/** A Stage gives a case its sessions and URIs, and cleans up after it. */
class Stage {
  constructor(client, link) {
    Object.assign(this, { client, link, can: client.can });
    this.base = `interop.js.${process.pid}.n${++serial}`;
    this.sessions = [];
    this.cleanups = [];
  }

  uri(name) { return `${this.base}.${name}`; }

  async join(options = {}) {
    return this.joinAs(this.client, this.link, options);
  }

  /** own joins a realm of this case on the router with a configuration file; name is for a second one, space for a template. */
  async own(name, space = 'own') {
    return this.join({ at: configured, realm: `interop.${space}.${name ? this.uri(name) : this.base}` });
  }

  /** joinAs joins with another library, for roles that this one cannot play. */
  async joinAs(client, link, options = {}) {
    const session = await client.join(link, options);
    this.sessions.push(session);
    return session;
  }

  cleanup(fn) { this.cleanups.push(fn); }

  async end() {
    for (const session of this.sessions) {
      const closed = Promise.resolve().then(() => session.leave()).catch(() => {}); // the case may have ended it
      await atMost(5_000, closed);
    }
    for (const fn of this.cleanups) await fn();
  }
}

export function runTable(client) {
  for (const link of client.links) {
    describe(`${client.name} ${link.transport} ${link.serializer}`, () => {
      for (const { name, needs, run } of cases) {
        if (needs && !needs(client.can, link)) continue; // a limit of the library; README lists them
        test(name, { timeout: 30_000 }, async () => {
          const stage = new Stage(client, link);
          try {
            await run(stage);
            for (const session of stage.sessions) {
              assert.deepEqual(session.violations, [], 'the library reported protocol violations of the router');
            }
          } catch (error) {
            const violations = stage.sessions.flatMap((session) => session.violations);
            if (violations.length > 0) error.message += ` [${violations.join('; ')}]`;
            error.stack = `${error.message}\n${error.stack?.slice(error.stack.indexOf('\n') + 1)}`;
            throw error;
          } finally {
            await stage.end();
          }
        });
      }
    });
  }
}
