// Sessions of the JavaScript clients for mixed/suite.py: it reads a JSON command per line and writes a reply or event
// per line. Values are [tag, text or parts], because JSON does not keep integers, floats and binary apart.
import { createInterface } from 'node:readline';
import { client as autobahn } from './clients/autobahn.mjs';
import { client as wampy } from './clients/wampy.mjs';
import { Failure } from './failure.mjs';

const libraries = { [autobahn.name]: autobahn, [wampy.name]: wampy };
const sessions = new Map();

function pack(value) {
  if (value === null || value === undefined) return ['nil'];
  switch (typeof value) {
    case 'boolean': return ['bool', value];
    case 'bigint': return ['int', `${value}`];
    case 'number': return Number.isSafeInteger(value) ? ['int', `${value}`] : ['float', `${value}`];
    case 'string': return ['text', value];
  }
  if (value instanceof ArrayBuffer) return ['binary', Buffer.from(value).toString('base64')];
  if (ArrayBuffer.isView(value)) {
    return ['binary', Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')];
  }
  if (Array.isArray(value)) return ['list', value.map(pack)];
  return ['map', Object.entries(value).map(([key, item]) => [key, pack(item)])];
}

function unpack([tag, value]) {
  switch (tag) {
    case 'nil': return null;
    case 'int': return Number.isSafeInteger(Number(value)) ? Number(value) : BigInt(value);
    case 'float': return Number(value);
    case 'binary': return Buffer.from(value, 'base64');
    case 'octets': return new Uint8Array(Buffer.from(value, 'base64')); // a typed array, as in a browser
    case 'list': return value.map(unpack);
    case 'map': return Object.fromEntries(value.map(([key, item]) => [key, unpack(item)]));
    default: return value; // bool, text
  }
}

const payload = ({ args, kwargs }) => ({ args: pack(args), kwargs: pack(kwargs) });
const send = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** again prepares a received value for sending: a Uint8Array would get a tag in CBOR, a Buffer does not. */
const again = ({ args, kwargs }) => ({ args: unpack(pack(args)), kwargs: unpack(pack(kwargs)) });

/** consult answers as table says: with a value, or with an error if that is {"error": URI, "message": text}. */
function consult(table, [, second, third]) {
  const key = `${second} ${typeof third === 'string' ? third : third.ticket}`;
  const answer = unpack(table[key] ?? table['*']);
  if (answer?.error) throw new Failure(answer.error, [answer.message]);
  return { args: [answer] };
}

const behaviours = {
  details: ({ details }) => ({ args: [details] }),
  echo: again,
  fail: (invocation) => {
    const { args, kwargs } = again(invocation);
    throw new Failure('com.example.mixed', args, kwargs);
  },
  steps: (invocation) => {
    const { args, kwargs } = again(invocation);
    for (let n = 0; n < 10; n++) invocation.progress([n, ...args], kwargs);
    return { args, kwargs };
  },
};

const operations = {
  async join({ session, library, transport, serializer, at, realm, login, reconnect }) {
    const options = { login, reconnect, realm, at: at && { ...at, ws: `ws://${at.tcp}/ws` } };
    const joined = await libraries[library].join({ transport, serializer }, options);
    sessions.set(session, joined);
    joined.closed.then(({ reason }) => send({ closed: session, reason }));
    const { authid, authrole, authmethod, authprovider, authextra } = joined.welcome;
    return { identity: { authid, authrole, authmethod, authprovider, authextra } };
  },
  /** joins tells how often the session joined: again after each lost connection. */
  async joins({ session }) {
    return { joins: sessions.get(session).joins };
  },
  /** revoked tells what the router has taken away, if the library does. */
  async revoked({ session }) {
    return { revoked: sessions.get(session).revoked ?? [] };
  },
  async subscribe({ session, topic, match }) {
    await sessions.get(session).subscribe(topic, ({ details, ...event }) => {
      send({ event: session, topic: event.topic, ...payload(event), details: pack(details) });
    }, { match });
  },
  async publish({ session, topic, args, kwargs, options }) {
    await sessions.get(session).publish(topic, unpack(args), unpack(kwargs), { acknowledge: true, ...options });
  },
  async register({ session, procedure, behaviour, invoke, table }) {
    let named = behaviours[behaviour];
    if (behaviour === 'name') named = () => ({ args: [session, ''] });
    if (behaviour === 'table') named = ({ args }) => consult(table, args);
    await sessions.get(session).register(procedure, named, invoke ? { invoke } : {});
  },
  async call({ session, procedure, args, kwargs, progress }) {
    const steps = [];
    const onProgress = progress ? (result) => steps.push(payload(result)) : undefined;
    const result = await sessions.get(session).call(procedure, unpack(args), unpack(kwargs), { onProgress }).result;
    return { ...payload(result), steps };
  },
  async leave({ session }) {
    const leaving = sessions.get(session);
    sessions.delete(session);
    await leaving.leave();
    if (leaving.violations.length > 0) throw new Error(leaving.violations.join('; '));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  operations[command.op](command).then(
    (result) => send({ reply: command.id, ...result }),
    (error) => send(error instanceof Failure
      ? { reply: command.id, error: error.uri, ...payload(error) }
      : { reply: command.id, error: String(error?.stack ?? error) }),
  );
}
process.exit(0);
