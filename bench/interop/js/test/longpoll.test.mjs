// HTTP long-poll with fetch alone: whole sessions in every protocol, and pages of other origins. PROTOCOL 13.4.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as cbor from 'cbor-x';
import * as msgpack from 'msgpackr';
import { address } from '../router.mjs';

const base = `http://${address.tcp}/lp`;

const post = (path, body, headers = {}) => fetch(base + path, { method: 'POST', body, headers, signal: AbortSignal.timeout(15_000) });

const serializers = {
  json: { encode: (m) => Buffer.from(JSON.stringify(m)), decode: (b) => JSON.parse(b) },
  msgpack: { encode: (m) => msgpack.encode(m), decode: (b) => msgpack.decode(b) },
  cbor: { encode: (m) => cbor.encode(m), decode: (b) => cbor.decode(b) },
};

/** A Poller is one transport; receive resolves with the messages of one answer. */
class Poller {
  static async open(serializer, batched) {
    const protocol = `wamp.2.${serializer}${batched ? '.batched' : ''}`;
    const answer = await post('/open', JSON.stringify({ protocols: ['chat', protocol] }));
    assert.equal(answer.status, 200);
    const opened = await answer.json();
    assert.equal(opened.protocol, protocol);
    return Object.assign(new Poller(), { at: `/${opened.transport}`, batched, json: serializer === 'json', ...serializers[serializer] });
  }

  body(messages) {
    if (!this.batched) return this.encode(messages[0]);
    return Buffer.concat(messages.flatMap((m) => {
      const octets = Buffer.from(this.encode(m));
      if (this.json) return [octets, Buffer.from([0x1e])];
      const length = Buffer.alloc(4);
      length.writeUInt32BE(octets.length);
      return [length, octets];
    }));
  }

  async send(...messages) { assert.equal((await post(`${this.at}/send`, this.body(messages))).status, 204); }

  async receive() {
    for (;;) {
      const answer = await post(`${this.at}/receive`);
      if (answer.status === 204) continue;
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('content-type'), this.json ? 'application/json' : 'application/octet-stream');
      const body = Buffer.from(await answer.arrayBuffer());
      if (!this.batched) return [this.decode(body)];
      const messages = [];
      for (let at = 0; at < body.length;) {
        const length = this.json ? body.indexOf(0x1e, at) - at : body.readUInt32BE(at);
        const from = this.json ? at : at + 4;
        messages.push(this.decode(body.subarray(from, from + length)));
        at = from + length + (this.json ? 1 : 0);
      }
      return messages;
    }
  }

  /** take resolves with that many messages, whatever answers they come in. */
  async take(count) {
    const messages = [];
    while (messages.length < count) messages.push(...await this.receive());
    assert.equal(messages.length, count);
    return messages;
  }
}

const roles = { publisher: {}, subscriber: {}, caller: {}, callee: {} };
let serial = 0;

for (const serializer of Object.keys(serializers)) {
  for (const batched of [false, true]) {
    test(`TRN-33 TRN-35 TRN-37 TRN-39: a session with ${serializer}${batched ? ' in batches' : ''}`, { timeout: 30_000 }, async () => {
      const uri = `interop.poll.${process.pid}.n${++serial}`;
      const p = await Poller.open(serializer, batched);
      await p.send([1, 'realm1', { roles }]);
      assert.equal((await p.take(1))[0][0], 2);
      const requests = [[32, 1, {}, uri], [64, 2, {}, uri], [16, 3, { exclude_me: false, acknowledge: true }, uri, ['é', 1]]];
      if (batched) await p.send(...requests);
      else for (const m of requests) await p.send(m);
      const [subscribed, registered, published, event] = await p.take(4);
      assert.deepEqual([subscribed[0], registered[0], published[0], event[0]], [33, 65, 17, 36]);
      assert.deepEqual([event[1], event[2], event[4]], [subscribed[2], published[2], ['é', 1]]);
      const call = p.take(1); // waits
      await p.send([48, 4, {}, uri, [7]]);
      const [invocation] = await call;
      assert.deepEqual([invocation[0], invocation[2], invocation[4]], [68, registered[2], [7]]);
      await p.send([70, invocation[1], {}, [8]]);
      assert.deepEqual(await p.take(1), [[50, 4, {}, [8]]]);
      await p.send([6, {}, 'wamp.close.normal']);
      assert.equal((await p.take(1))[0][0], 6);
      assert.equal((await post(`${p.at}/close`)).status, 204);
      assert.equal((await post(`${p.at}/receive`)).status, 404);
    });
  }
}

test('TRN-34: an offer without a protocol in common is refused', async () => {
  for (const body of ['', '{}', '{"protocols":["wamp.2.morse"]}']) assert.equal((await post('/open', body)).status, 400);
});

test('TRN-38: a message that cannot be decoded ends the session', async () => {
  const p = await Poller.open('json', false);
  assert.equal((await post(`${p.at}/send`, '[1,')).status, 400);
  assert.equal((await p.take(1))[0][0], 3);
  assert.equal((await post(`${p.at}/receive`)).status, 404);
});

test('TRN-40 TRN-42: close releases the receive that waits; the parameter x is ignored', async () => {
  const p = await Poller.open('json', false);
  const waits = post(`${p.at}/receive?x=${Math.random()}`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal((await post(`${p.at}/close?x=1`)).status, 204);
  assert.ok([204, 404].includes((await waits).status));
  assert.equal((await post(`${p.at}/send`, '[]')).status, 404);
});

test('TRN-43: of two receives the older is answered empty', async () => {
  const p = await Poller.open('json', false);
  const older = post(`${p.at}/receive`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const newer = p.take(1);
  assert.equal((await older).status, 204);
  await p.send([1, 'realm1', { roles }]);
  assert.equal((await newer)[0][0], 2);
  await post(`${p.at}/close`);
});

test('pages of this host may ask, those of others may not', async () => {
  const asks = (origin) => fetch(`${base}/open`, {
    method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
  });
  const own = await asks('http://127.0.0.1:3000');
  assert.equal(own.status, 204);
  assert.equal(own.headers.get('access-control-allow-origin'), 'http://127.0.0.1:3000');
  assert.match(own.headers.get('access-control-allow-headers'), /content-type/i);
  const foreign = await asks('http://elsewhere.example');
  assert.equal(foreign.status, 403);
  assert.equal(foreign.headers.get('access-control-allow-origin'), null);
});
