// The WebSocket opening handshake as the `ws` package does it. PROTOCOL 13.1.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { address } from '../router.mjs';

const soon = () => ({ signal: AbortSignal.timeout(5_000) });

/** offer opens a WebSocket with these subprotocols and resolves with { protocol } or { status }. */
async function offer(protocols, options) {
  const socket = new WebSocket(address.ws, protocols, options);
  try {
    await once(socket, 'open', soon());
    return { protocol: socket.protocol };
  } catch (error) {
    const [, status] = error.message.match(/Unexpected server response: (\d+)/) ?? [];
    if (!status) throw error;
    return { status: Number(status) };
  } finally {
    socket.on('error', () => {}); // terminating before it is open counts as one
    socket.terminate();
  }
}

const cases = [
  ['TRN-01: json', ['wamp.2.json'], { protocol: 'wamp.2.json' }],
  ['TRN-01: msgpack', ['wamp.2.msgpack'], { protocol: 'wamp.2.msgpack' }],
  ['TRN-01: cbor', ['wamp.2.cbor'], { protocol: 'wamp.2.cbor' }],
  ['TRN-02: an unknown subprotocol is refused', ['chat'], { status: 400 }],
  ['TRN-02: an unknown WAMP serializer is refused', ['wamp.2.morse'], { status: 400 }],
  ['TRN-02: no subprotocol is refused', [], { status: 400 }],
  ['TRN-03: the first supported one in the order of the client', ['chat', 'wamp.2.cbor', 'wamp.2.json'], { protocol: 'wamp.2.cbor' }],
  ['TRN-52: a page of another host is refused', ['wamp.2.json'], { status: 403 }, { origin: 'http://elsewhere.example' }],
  ['TRN-52: a page of the same host is accepted', ['wamp.2.json'], { protocol: 'wamp.2.json' }, { origin: 'http://127.0.0.1:3000' }],
];

for (const [name, protocols, expected, options] of cases) {
  test(`handshake ${name}`, { timeout: 10_000 }, async () => assert.deepEqual(await offer(protocols, options), expected));
}

for (const [name, send, code] of [
  ['TRN-05: a binary frame on JSON', (socket) => socket.send(Buffer.from('[1,"realm1",{"roles":{"caller":{}}}]')), 1002],
  ['SES-19: a message before HELLO', (socket) => socket.send('[32,1,{},"com.topic"]'), 1002],
  ['MSG: bytes that are no JSON', (socket) => socket.send('no json'), 1002],
]) {
  test(`handshake ${name} gets ABORT protocol_violation and close ${code}`, { timeout: 10_000 }, async () => {
    const socket = new WebSocket(address.ws, ['wamp.2.json']);
    const received = [];
    socket.on('message', (data) => received.push(JSON.parse(data)));
    const closed = once(socket, 'close', soon());
    try {
      await once(socket, 'open', soon());
      send(socket);
      assert.equal((await closed)[0], code);
    } finally {
      socket.terminate();
    }
    assert.equal(received.length, 1);
    const [type, details, reason, ...rest] = received[0];
    assert.deepEqual([type, reason, rest], [3, 'wamp.error.protocol_violation', []]);
    assert.ok(details.message);
  });
}
