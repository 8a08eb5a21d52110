// AutobahnJS behind the interface of the cases.
//
// The library expects a global WebSocket class. Node has one from version 22 on. The suite sets that of the `ws`
// package, so that all versions of Node run the same code and Unix sockets work too. For long-poll it wants the
// XMLHttpRequest of browsers.
import autobahn from 'autobahn';
import { WebSocket } from 'ws';
import { address } from '../router.mjs';
import { Failure } from '../failure.mjs';
import { XMLHttpRequest } from './xhr.mjs';
import { Scram, bound, channel, keyPair, tlsOptions } from '../login.mjs';

/** encrypted has the options of TLS, and later the socket, by URL: the library hands over nothing else. */
const encrypted = new Map();
let serial = 0;

globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, encrypted.get(url));
    this.on('error', () => {}); // as in a browser, a failed connection closes and nothing is thrown
    if (encrypted.has(url)) encrypted.set(url, this);
  }
};
globalThis.XMLHttpRequest = XMLHttpRequest;
autobahn.log.warn = () => {}; // it reports every closed connection

const serializers = {
  json: () => new autobahn.serializer.JSONSerializer(),
  msgpack: () => new autobahn.serializer.MsgpackSerializer(),
  cbor: () => new autobahn.serializer.CBORSerializer(),
};

function transport(link, at) {
  const rawsocket = { type: 'rawsocket', protocols: ['wamp.2.json'] };
  if (link.transport === 'tcp') {
    const [host, port] = at.tcp.split(':');
    return { ...rawsocket, host, port: Number(port) };
  }
  if (link.transport === 'lp') return { type: 'longpoll', url: `http://${at.tcp}/lp` };
  if (link.transport === 'unix') return { ...rawsocket, path: at.unix };
  let url = link.transport === 'wsunix' ? `ws+unix:${at.unix}:/ws` : at.ws;
  if (link.transport === 'wss') {
    url = `wss://${at.tcp}/ws?join=${++serial}`;
    encrypted.set(url, tlsOptions(at));
  }
  return { type: 'websocket', url, serializers: [serializers[link.serializer]()] };
}

function failure(error) {
  if (error instanceof autobahn.Error) return new Failure(error.error, error.args, error.kwargs);
  return error instanceof Error ? error : new Error(String(error));
}

async function settled(promise) {
  try {
    return await promise;
  } catch (error) {
    throw failure(error);
  }
}

function payload(result) {
  if (result instanceof autobahn.Result) return { args: result.args, kwargs: result.kwargs };
  return { args: result === null || result === undefined ? [] : [result], kwargs: {} };
}

class AutobahnSession {
  constructor() {
    this.violations = []; // protocol violations of the router that the library reports
    this.revoked = []; // [subscription or registration, reason] that the router has taken away
    this.closed = new Promise((resolve) => { this.onClosed = resolve; });
  }

  get id() { return this.session.id; }

  async subscribe(topic, onEvent, options = {}) {
    const subscription = await settled(this.session.subscribe(topic, (args, kwargs, event) => {
      const { publisher, publisher_authid, publisher_authrole, retained } = event;
      onEvent({
        args, kwargs, topic: event.topic, publication: event.publication, publisher,
        details: { publisher, publisher_authid, publisher_authrole, retained },
      });
    }, options));
    this.watch('subscription', subscription.on_unsubscribe);
    return subscription;
  }

  async unsubscribe(subscription) { return settled(this.session.unsubscribe(subscription)); }

  async publish(topic, args = [], kwargs = {}, options = {}) {
    const publication = await settled(this.session.publish(topic, args, kwargs, { ...options }));
    return publication?.id;
  }

  async register(procedure, handler, options = {}) {
    const registration = await settled(this.session.register(procedure, async (args, kwargs, details) => {
      try {
        const { caller, caller_authid, caller_authrole } = details;
        const result = await handler({
          args, kwargs, procedure: details.procedure, caller, progress: details.progress,
          details: { caller, caller_authid, caller_authrole },
        });
        return new autobahn.Result(result?.args, result?.kwargs);
      } catch (error) {
        if (error instanceof Failure) throw new autobahn.Error(error.uri, error.args, error.kwargs);
        throw error;
      }
    }, options));
    this.watch('registration', registration.on_unregister);
    return registration;
  }

  async unregister(registration) { return settled(this.session.unregister(registration)); }

  /** call returns { result, cancel(mode) }; progressive results go to onProgress. */
  call(procedure, args = [], kwargs = {}, { onProgress, ...options } = {}) {
    if (onProgress) options.receive_progress = true;
    const pending = this.session.call(procedure, args, kwargs, options);
    const result = pending.then(payload, (error) => { throw failure(error); }, onProgress && ((r) => onProgress(payload(r))));
    return { result, cancel: (mode) => pending.cancel({ mode }) };
  }

  /** forge makes the library send UNSUBSCRIBE and UNREGISTER for ids it never got. */
  async unsubscribeUnknown(id) {
    const unknown = new autobahn.Subscription('interop.unknown', () => {}, {}, this.session, id);
    this.session._subscriptions[id] = [unknown];
    return this.unsubscribe(unknown);
  }

  async unregisterUnknown(id) {
    const unknown = new autobahn.Registration('interop.unknown', () => {}, {}, this.session, id);
    this.session._registrations[id] = unknown;
    return this.unregister(unknown);
  }

  /** watch notes what the router takes away; given back by the client itself, there is no reason. */
  watch(what, promise) {
    promise.then((reason) => { if (reason !== undefined) this.revoked.push([what, reason]); });
  }

  /** leave says GOODBYE and resolves with { reason } when the transport is closed. */
  async leave(reason, message) {
    this.connection.close(reason, message);
    return this.closed;
  }

  /** drop closes the transport without GOODBYE. */
  async drop() {
    this.session._socket.close();
    return this.closed;
  }
}

/** logIn returns the options of a Connection for a login, and check for the authextra of WELCOME. */
function logIn(login, url) {
  if (!login?.method) return { options: {}, check: () => {} };
  const { method, authid, secret, binding } = login;
  const options = { authmethods: [method], authid };
  if (method === 'wamp-scram') {
    const scram = new Scram(login, () => channel(encrypted.get(url)._socket, binding));
    const onchallenge = (_, __, challenge) => {
      const { signature, extra } = scram.prove(challenge);
      return [signature, extra];
    };
    return { options: { ...options, authextra: scram.extra, onchallenge }, check: (extra) => scram.check(extra) };
  }
  if (method === 'cryptosign') {
    const key = keyPair(secret);
    options.authextra = { pubkey: autobahn.auth_cryptosign.public_key(key), channel_binding: binding || null };
    options.onchallenge = (_, __, { challenge }) => autobahn.auth_cryptosign.sign_challenge(key, {
      challenge: binding ? bound(challenge, encrypted.get(url)._socket, binding) : challenge,
    });
  } else {
    options.onchallenge = (_, __, { challenge, salt, iterations, keylen }) => {
      if (method === 'ticket') return secret;
      const key = salt ? autobahn.auth_cra.derive_key(secret, salt, iterations, keylen) : secret;
      return autobahn.auth_cra.sign(key, challenge);
    };
  }
  return { options, check: () => {} };
}

async function join(link, { realm = 'realm1', at = address, reconnect = false, login } = {}) {
  const session = new AutobahnSession();
  session.joins = 0;
  const way = transport(link, at);
  const { options, check } = logIn(login, way.url);
  await new Promise((resolve, reject) => {
    session.connection = new autobahn.Connection({
      realm,
      ...options,
      transports: [way],
      max_retries: reconnect ? 100 : 0,
      initial_retry_delay: 0.05,
      max_retry_delay: 0.2,
      on_user_error: () => {},
      on_internal_error: (error, message) => session.violations.push(message ?? error?.message ?? 'protocol violation'),
    });
    session.connection.onopen = (opened, details) => {
      session.session = opened;
      session.welcome = details;
      session.joins += 1;
      try {
        check(details.authextra);
        resolve();
      } catch (error) {
        reject(error);
      }
    };
    session.connection.onclose = (kind, details) => {
      if (!details.will_retry) reject(new Failure(details.reason ?? kind, [], {}, { message: details.message }));
      if (!details.will_retry) session.onClosed({ kind, reason: details.reason, message: details.message });
      return false;
    };
    session.connection.open();
  });
  return session;
}

export const client = {
  name: 'autobahn-js',
  join,
  links: [
    { transport: 'ws', serializer: 'json' },
    { transport: 'ws', serializer: 'msgpack' },
    { transport: 'ws', serializer: 'cbor' },
    { transport: 'wsunix', serializer: 'json' },
    { transport: 'tcp', serializer: 'json' },
    { transport: 'unix', serializer: 'json' },
    { transport: 'lp', serializer: 'json' },
  ],
  can: {
    sendAnyURI: true, // it does not check before it sends
    forgeIds: true,
    anyOption: true, // hands on options of REGISTER that it does not know
    excludeMe: true,
    reasonOfGoodbye: true,
    renews: false, // the application has to
    yieldProgressUntold: false, // progress needs receive_progress, and that call_canceling
    cancelModes: ['kill'], // after other modes it closes at the router's ERROR
    tellNull: false, // a result of one null from one without arguments
    stream: false, // calls in chunks
    passthru: () => false, // ppt_*
    retain: true,
    showTrust: false, // hands out only the details that it knows
    // Over long-poll it posts each message on its own, over several connections, and waits for none before the next.
    keepOrder: (link) => link.transport !== 'lp',
    // Its RawSocket connections do not report the router's FIN.
    seeLoss: (link) => link.transport.startsWith('ws') || link.transport === 'lp',
    bigInt: (link) => link.serializer === 'cbor', // 2^63-1 as BigInt in both directions
    binary: (link) => link.serializer !== 'json',
  },
};
