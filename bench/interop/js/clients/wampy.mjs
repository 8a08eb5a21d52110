// wampy.js behind the interface of the cases. Its WebSocket is that of the `websocket` package, not that of `ws`.
import websocket from 'websocket';
import { Wampy } from 'wampy';
import { CborSerializer } from 'wampy/CborSerializer.js';
import { JsonSerializer } from 'wampy/JsonSerializer.js';
import * as cra from 'wampy/wampcra.js';
import * as cryptosign from 'wampy/cryptosign.js';
import { MsgpackSerializer } from 'wampy/MsgpackSerializer.js';
import { address } from '../router.mjs';
import { Failure } from '../failure.mjs';
import { bound, keyPair, tlsOptions } from '../login.mjs';

/** A Socket takes frames up to 16 MiB; the default of the package is 1 MiB. request holds options of TLS. */
class Socket extends websocket.w3cwebsocket {
  constructor(url, protocols, origin, headers, request) {
    const most = { maxReceivedFrameSize: 1 << 24, maxReceivedMessageSize: 1 << 24 };
    super(url, protocols, origin, headers, undefined, { ...most, tlsOptions: request ?? {} });
  }
}

const serializers = { json: JsonSerializer, msgpack: MsgpackSerializer, cbor: CborSerializer };

function failure(error) {
  return error?.errorUri ? new Failure(error.errorUri, error.argsList ?? [], error.argsDict ?? {}, error.details) : error;
}

async function settled(promise) {
  try {
    return await promise;
  } catch (error) {
    throw failure(error);
  }
}

const payload = ({ argsList, argsDict }) => ({ args: argsList ?? [], kwargs: argsDict ?? {} });
const message = (args, kwargs) => ({ argsList: args, argsDict: kwargs });

class WampySession {
  constructor() {
    this.violations = [];
    this.joins = 0;
    this.closed = new Promise((resolve) => { this.onClosed = resolve; });
  }

  get id() { return Number(this.wampy.getSessionId()); }

  async subscribe(topic, onEvent, options) {
    const subscription = await settled(this.wampy.subscribe(topic, (event) => {
      const { publisher } = event.details;
      onEvent({
        ...payload(event), topic: event.details.topic ?? topic, publisher: publisher && Number(publisher),
        details: event.details, publication: event.publication,
      });
    }, options));
    return { id: Number(subscription.subscriptionId), key: subscription.subscriptionKey };
  }

  async unsubscribe(subscription) { return settled(this.wampy.unsubscribe(subscription.key)); }

  /** publish waits for PUBLISHED: the library always asks for it. */
  async publish(topic, args = [], kwargs = {}, options = {}) {
    return Number((await settled(this.wampy.publish(topic, message(args, kwargs), options))).publicationId);
  }

  async register(procedure, handler, options) {
    const registration = await settled(this.wampy.register(procedure, async (invocation) => {
      const progress = (args, kwargs = {}) => invocation.result_handler({ ...message(args, kwargs), options: { progress: true } });
      try {
        const result = await handler({
          ...payload(invocation), procedure: invocation.details.procedure, caller: invocation.details.caller,
          told: invocation.details.receive_progress, progress, details: invocation.details,
        });
        return { ...message(result?.args ?? [], result?.kwargs ?? {}), options: result?.options };
      } catch (error) {
        if (error instanceof Failure) throw { error: error.uri, ...message(error.args, error.kwargs) };
        throw error;
      }
    }, options));
    return { procedure, id: Number(registration.registrationId) };
  }

  async unregister({ procedure }) { return settled(this.wampy.unregister(procedure)); }

  call(procedure, args = [], kwargs = {}, { onProgress, ...options } = {}) {
    if (onProgress) options.progress_callback = (result) => onProgress(payload(result));
    const pending = this.wampy.call(procedure, message(args, kwargs), options);
    const request = this.wampy.getOpStatus().reqId;
    const result = pending.then(payload, (error) => { throw failure(error); });
    return { result, cancel: (mode) => this.wampy.cancel(request, { mode }) };
  }

  /** stream begins a call in chunks: send(args, more) sends the next one. */
  stream(procedure, args) {
    const { result, sendData } = this.wampy.progressiveCall(procedure, message(args, {}));
    return {
      result: result.then(payload, (error) => { throw failure(error); }),
      send: (next, progress) => sendData(message(next, {}), { progress }),
    };
  }

  async leave() {
    await this.wampy.disconnect();
    return {};
  }

  /** drop sends ABORT and closes: the library cannot close without it. */
  async drop() {
    this.wampy.abort();
    return this.closed;
  }
}

/** logIn returns the options of a Wampy for a login. AUTHENTICATE.Extra is always empty: no wamp-scram. */
function logIn(login, session) {
  if (!login?.method) return {};
  const { method, authid, secret, binding } = login;
  const options = { authid, authmethods: [method], onChallenge: () => secret };
  if (method === 'wampcra') options.onChallenge = cra.sign(secret);
  if (method === 'cryptosign') {
    const sign = cryptosign.sign(secret);
    options.authextra = { pubkey: keyPair(secret).publicKey.toString('hex'), channel_binding: binding || null };
    options.onChallenge = (name, { challenge, ...rest }) => sign(name, {
      ...rest, challenge: binding ? bound(challenge, session.wampy._ws._connection.socket, binding) : challenge,
    });
  }
  return options;
}

async function join(link, { realm = 'realm1', at = address, reconnect = false, login } = {}) {
  const session = new WampySession();
  const secure = link.transport === 'wss';
  session.wampy = new Wampy(secure ? `wss://${at.tcp}/ws` : at.ws, {
    realm,
    ...logIn(login, session),
    wsRequestOptions: secure ? tlsOptions(at) : null,
    ws: Socket,
    serializer: new serializers[link.serializer](),
    payloadSerializers: Object.fromEntries(Object.entries(serializers).map(([name, Of]) => [name, new Of()])),
    uriValidation: 'loose',
    autoReconnect: reconnect,
    reconnectInterval: 100,
    maxRetries: 100,
    onClose: () => session.onClosed({}),
    onError: (error) => {
      if (error?.name === 'ProtocolViolationError') session.violations.push(error.message);
      if (error?.name === 'AbortedError') session.violations.push(`ABORT ${error.errorUri}: ${error.details?.message}`);
    },
    onReconnectSuccess: () => { session.joins += 1; },
  });
  session.welcome = await settled(session.wampy.connect());
  session.joins += 1;
  return session;
}

export const client = {
  name: 'wampy',
  join,
  links: [
    { transport: 'ws', serializer: 'json' },
    { transport: 'ws', serializer: 'msgpack' },
    { transport: 'ws', serializer: 'cbor' },
  ],
  can: {
    sendAnyURI: false, // refuses invalid URIs itself
    forgeIds: false,
    anyOption: false, // hands on options of REGISTER that it does not know
    excludeMe: false, // drops exclude_me: false
    reasonOfGoodbye: false,
    renews: true,
    yieldProgressUntold: true,
    cancelModes: ['skip', 'kill', 'killnowait'],
    tellNull: true, // a result of one null from one without arguments
    stream: true, // calls in chunks
    passthru: (link) => link.serializer !== 'json', // ppt_*
    retain: false, // drops the option
    showTrust: true, // the detail trustlevel
    keepOrder: () => true,
    seeLoss: () => true,
    bigInt: (link) => link.serializer === 'msgpack', // its CBOR decoder rounds to Number
    binary: (link) => link.serializer !== 'json',
  },
};
