// permessage-deflate (RFC 7692) with the `ws` package alone. The other suites negotiate it too, wherever their library
// offers it: the TCP listener of the router allows it, the one on the Unix socket does not.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Wampy } from 'wampy';
import { WebSocket } from 'ws';
import { address, until } from '../router.mjs';

const soon = () => ({ signal: AbortSignal.timeout(5_000) });
const text = Array.from({ length: 2_000 }, (_, i) => `sensor ${(i * 7919) % 1000} of hall ${i % 7}`).join('; ');

/** member joins and resolves with { socket, next, read }; read() is how many bytes have come. */
async function member(options, url = address.ws) {
  const socket = new WebSocket(url, ['wamp.2.json'], options);
  const received = [];
  socket.on('message', (data) => received.push(JSON.parse(data)));
  await once(socket, 'open', soon());
  const next = () => until(() => received.shift(), 'a message');
  socket.send('[1,"realm1",{"roles":{"publisher":{},"subscriber":{}}}]');
  assert.equal((await next())[0], 2);
  return { socket, next, read: () => socket._socket.bytesRead };
}

/** exchange sends text from one member to itself and another one and resolves with the bytes that each read. */
async function exchange(options) {
  const members = [await member(options), await member({ perMessageDeflate: false })];
  const topic = `com.example.deflate.${Math.random().toString(36).slice(2)}`;
  for (const { socket, next } of members) {
    socket.send(`[32,1,{},"${topic}"]`);
    assert.equal((await next())[0], 33);
  }
  const before = members.map(({ read }) => read());
  members[0].socket.send(JSON.stringify([16, 2, { exclude_me: false }, topic, [text]]));
  for (const { next } of members) assert.deepEqual((await next())[4], [text]);
  const bytes = members.map(({ read }, i) => read() - before[i]);
  const { extensions } = members[0].socket;
  for (const { socket } of members) socket.terminate();
  return { bytes, extensions };
}

for (const [name, perMessageDeflate] of [
  ['as the package offers it', true],
  ['with context takeover asked for', { serverNoContextTakeover: false, threshold: 0 }],
  ['with a window of 4 KiB', { serverMaxWindowBits: 12, clientMaxWindowBits: 12, threshold: 0 }],
]) {
  test(`RFC 7692: compressed ${name}`, { timeout: 10_000 }, async () => {
    const { bytes, extensions } = await exchange({ perMessageDeflate });
    assert.equal(extensions, 'permessage-deflate');
    assert.ok(bytes[0] * 3 < text.length, `${bytes[0]} bytes for ${text.length}`);
    assert.ok(bytes[1] > text.length, `the other member read ${bytes[1]} bytes for ${text.length}`);
  });
}

for (const [name, perMessageDeflate] of [
  ['without an offer', false],
  ['with a window below 4 KiB', { serverMaxWindowBits: 11 }],
]) {
  test(`RFC 7692: not compressed ${name}`, { timeout: 10_000 }, async () => {
    const { bytes, extensions } = await exchange({ perMessageDeflate });
    assert.equal(extensions, '');
    assert.ok(bytes[0] > text.length);
  });
}

test('RFC 7692: wampy over `ws` gets compressed events', { timeout: 10_000 }, async () => {
  let socket;
  class Socket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols);
      socket = this;
    }
  }
  const wampy = new Wampy(address.ws, { realm: 'realm1', ws: Socket });
  await wampy.connect();
  const events = [];
  const topic = 'com.example.deflate.wampy';
  await wampy.subscribe(topic, ({ argsList }) => events.push(argsList));
  const before = socket._socket.bytesRead;
  const publisher = await member({ perMessageDeflate: false });
  publisher.socket.send(JSON.stringify([16, 1, {}, topic, [text]]));
  assert.deepEqual(await until(() => events.shift(), 'the event'), [text]);
  assert.equal(socket.extensions, 'permessage-deflate');
  assert.ok((socket._socket.bytesRead - before) * 3 < text.length);
  publisher.socket.terminate();
  await wampy.disconnect();
});

test('RFC 7692: a listener that does not allow it accepts no offer', { timeout: 10_000 }, async () => {
  const { socket } = await member({ perMessageDeflate: true }, `ws+unix:${address.unix}:/ws`);
  assert.equal(socket.extensions, '');
  socket.terminate();
});
