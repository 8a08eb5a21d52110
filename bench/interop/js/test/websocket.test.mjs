// WebSocket with the `ws` package alone: opening handshake, frames, closing. PROTOCOL 13.1 and 4.6.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { address, until } from '../router.mjs';

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
    socket.on('error', () => {}); // terminate before the open event is an error
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
  test(`opening handshake ${name}`, { timeout: 10_000 }, async () => assert.deepEqual(await offer(protocols, options), expected));
}

const hello = '[1,"realm1",{"roles":{"caller":{},"publisher":{}}}]';

/** converse opens a connection for talk({ socket, next }) and closes it; next() resolves with the next message. */
function converse(talk) {
  return async () => {
    const socket = new WebSocket(address.ws, ['wamp.2.json']);
    const received = [];
    socket.on('message', (data, isBinary) => received.push(isBinary ? 'a binary frame' : JSON.parse(data)));
    const next = () => until(() => received.shift(), 'a message');
    try {
      await once(socket, 'open', soon());
      await talk({ socket, next, received });
    } finally {
      socket.terminate();
    }
  };
}

async function closeCode(socket) {
  return (await once(socket, 'close', soon()))[0];
}

for (const [name, send, code] of [
  ['TRN-05: a binary frame on JSON', (socket) => socket.send(Buffer.from(hello)), 1002],
  ['SES-19: a message before HELLO', (socket) => socket.send('[32,1,{},"com.topic"]'), 1002],
  ['MSG-05: bytes that are no JSON', (socket) => socket.send('no json'), 1002],
]) {
  test(`violation ${name} gets ABORT protocol_violation and close ${code}`, { timeout: 10_000 }, converse(async ({ socket, next }) => {
    const closed = closeCode(socket);
    send(socket);
    const [type, details, reason, ...rest] = await next();
    assert.deepEqual([type, reason, rest], [3, 'wamp.error.protocol_violation', []]);
    assert.ok(details.message);
    assert.equal(await closed, code);
  }));
}

test('TRN-06: a message in three fragments with a ping between is put together, the ping answered', { timeout: 10_000 },
  converse(async ({ socket, next }) => {
    const pong = once(socket, 'pong', soon());
    socket.send(hello.slice(0, 5), { fin: false });
    socket.ping('are you there?');
    socket.send(hello.slice(5, 20), { fin: false });
    socket.send(hello.slice(20), { fin: true });
    assert.equal((await next())[0], 2);
    assert.equal(String((await pong)[0]), 'are you there?');
  }));

test('SES-27: after GOODBYE the same connection joins again, as a new session', { timeout: 10_000 },
  converse(async ({ socket, next }) => {
    const ids = new Set();
    for (let round = 0; round < 3; round++) {
      socket.send(hello);
      const [type, id] = await next();
      assert.equal(type, 2);
      ids.add(id);
      socket.send('[48,1,{},"com.example.interop.nope"]');
      assert.deepEqual((await next()).slice(0, 3), [8, 48, 1]);
      socket.send('[6,{},"wamp.close.close_realm"]');
      assert.deepEqual(await next(), [6, {}, 'wamp.close.goodbye_and_out']);
    }
    assert.equal(ids.size, 3);
  }));

for (const code of [1000, 1001, 3000, 4999]) {
  test(`TRN-53: close ${code} is echoed`, { timeout: 10_000 }, converse(async ({ socket }) => {
    const closed = closeCode(socket);
    socket.close(code, 'bye');
    assert.equal(await closed, code);
  }));
}

test('TRN-08: the header of a message above 16 MiB is enough for close 1009', { timeout: 10_000 }, converse(async ({ socket, next }) => {
  socket.send(hello);
  await next();
  const closed = closeCode(socket);
  const header = Buffer.alloc(14); // FIN and text, masked with zeros, 64-bit length
  header.set([0x81, 0xff]);
  header.writeBigUInt64BE(2n ** 24n + 1n, 2);
  socket._socket.write(header); // no payload: with octets unread, TCP may lose the close frame
  assert.equal(await closed, 1009);
}));
