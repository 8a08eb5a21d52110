// Payload arrives as it was sent, as an event and through a call. PROTOCOL 14.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Inbox } from './inbox.mjs';

/** plain makes decoded values comparable: bytes of any class become Buffer, a BigInt that fits becomes Number. */
function plain(value) {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  if (typeof value === 'bigint' && value >= -(2n ** 53n) && value <= 2n ** 53n) return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (value && typeof value === 'object' && !Buffer.isBuffer(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
}

/** travels sends value as an event, through a call and back; as an argument and as a keyword argument. */
async function travels(stage, value, compare = assert.deepStrictEqual) {
  const [a, b] = [await stage.join(), await stage.join()];
  const inbox = new Inbox();
  await a.subscribe(stage.uri('topic'), inbox.put);
  await a.register(stage.uri('echo'), ({ args, kwargs }) => ({ args, kwargs }));
  await b.publish(stage.uri('topic'), ['event', value], { value });
  const result = await b.call(stage.uri('echo'), ['call', value], { value }).result;
  const [event] = await inbox.take(1);
  for (const { args, kwargs } of [event, result]) {
    compare(plain(args[1]), value);
    compare(plain(kwargs.value), value);
  }
}

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** sameBulk compares large values by digest: deepEqual takes minutes to print a difference in 1 MiB. */
function sameBulk(got, want) {
  assert.equal(got.length, want.length);
  assert.equal(digest(got), digest(want));
}

const values = {
  'null, true, false': [null, true, false, { nil: null }],
  'small and negative integers': [0, 1, -1, 127, 128, -32, -33, 255, 256, -128, -129, 65535, 65536, -32769],
  'integers around 2^31 and 2^32': [2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1],
  'integers around 2^53': [2 ** 53 - 1, 2 ** 53, -(2 ** 53) + 1, -(2 ** 53), 2 ** 52 + 1],
  floats: [0.1, -0.5, 1e300, -1e-300, 123456.789, Math.PI, 5e-324, 1.7976931348623157e308],
  'text: ASCII, escapes, controls': ['', 'a', '"quoted" \\ / \b\f\n\r\t', '\u0001\u001f\u007f', '</script>', '\u2028\u2029'],
  'text: astral, combining, right to left': ['😀🏳️‍🌈', 'e\u0301', '\u{10ffff}\u{10000}', 'שלום', '日本語', '𝄞'.repeat(300)],
  'nested lists and maps': [[[[[[]]]]], { a: { b: { c: [{}, [], { d: null }] } } }, [{ x: [1, { y: 2 }] }, 'z']],
  'odd keys': { '': 'empty', 'with space': 1, 'dotted.key': 2, 'Ω': 3, __type: 4, length: 5 },
  'a list of 10 000 items and a map of 1 000 keys': [
    Array.from({ length: 10_000 }, (_, n) => n),
    Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`key${n}`, n])),
  ],
};

export const payloadCases = [
  ...Object.entries(values).map(([name, value]) => ({
    name: `SER-06 SER-08 SER-09 SER-11 PUB-28: ${name}`,
    run: (stage) => travels(stage, value),
  })),
  {
    name: 'SER-04: binary of every octet, empty and long',
    needs: (can, link) => can.binary(link),
    run: (stage) => travels(stage, [Buffer.from(Array.from({ length: 256 }, (_, n) => n)), Buffer.alloc(0), randomBytes(70_000)]),
  },
  {
    name: 'SER-05: a JSON text that starts with U+0000 stays what it is between JSON clients',
    needs: (can, link) => link.serializer === 'json',
    run: (stage) => travels(stage, ['\u0000EOP/kFMHXFJvX8BtT+N82w==', '\u0000not base64!']),
  },
  {
    name: 'SER-06: 2^63-1 and -2^63, exact',
    needs: (can, link) => can.bigInt(link),
    run: (stage) => travels(stage, [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]),
  },
  {
    name: 'SER-25: 1 MiB of text there and back',
    run: (stage) => travels(stage, '0123456789abcdeŵ'.repeat(65_536).slice(0, 1_000_000), sameBulk),
  },
  {
    name: 'SER-25: 1 MiB of binary there and back',
    needs: (can, link) => can.binary(link),
    run: (stage) => travels(stage, randomBytes(1 << 20), sameBulk),
  },
];
