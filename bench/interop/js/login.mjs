// What the libraries leave to the application when it logs in: wamp-scram, and channel bindings. A login is
// { method, authid, secret, binding }; secret is a ticket or password, for cryptosign the private key in hex.
import { createHash, createHmac, createPrivateKey, createPublicKey, pbkdf2Sync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** tlsOptions returns the options of node:tls for an address, whose tls holds paths of PEM files and perhaps max;
 * cookie is sent along. */
export function tlsOptions({ tls }) {
  if (!tls) return {};
  const options = { ca: readFileSync(tls.ca) };
  if (tls.cert) Object.assign(options, { cert: readFileSync(tls.cert), key: readFileSync(tls.key) });
  if (tls.max === '1.2') options.maxVersion = 'TLSv1.2';
  if (tls.cookie) options.headers = { Cookie: tls.cookie };
  return options;
}

/** keyPair returns the Ed25519 key of a seed in hex, in the form of tweetnacl, which both libraries use. */
export function keyPair(seed) {
  const pkcs8 = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex');
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  return { publicKey, secretKey: Buffer.concat([Buffer.from(seed, 'hex'), publicKey]) };
}

/** channel returns what binds a login to the TLS connection. */
export function channel(socket, binding) {
  if (binding === 'tls-exporter') return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding');
  if (binding === 'tls-server-end-point') {
    return createHash('sha256').update(socket.getPeerCertificate().raw).digest();
  }
  throw new Error(`node knows no channel binding ${binding}`);
}

/** bound returns the challenge of cryptosign, in hex, bound to the TLS connection. */
export function bound(challenge, socket, binding) {
  const data = channel(socket, binding);
  const octets = Buffer.from(challenge, 'hex');
  return octets.map((octet, i) => octet ^ data[i]).toString('hex');
}

const mac = (key, text) => createHmac('sha256', key).update(text).digest();

/** A Scram is the client's part of wamp-scram with pbkdf2; neither library has the method, and node no Argon2id. */
export class Scram {
  /** data returns what binds it, if the login has a binding. */
  constructor({ authid, secret, binding }, data) {
    Object.assign(this, { authid, secret, binding, data, nonce: randomBytes(18).toString('base64') });
  }

  get extra() { return { nonce: this.nonce, channel_binding: this.binding ?? null }; }

  /** prove returns { signature, extra } for AUTHENTICATE. */
  prove({ nonce, salt, iterations, kdf }) {
    if (kdf !== 'pbkdf2') throw new Error(`node has no ${kdf}`);
    if (!nonce.startsWith(this.nonce) || nonce === this.nonce) throw new Error('the nonce is not that of this login');
    const salted = pbkdf2Sync(this.secret, Buffer.from(salt, 'base64'), iterations, 32, 'sha256');
    const name = this.authid.replaceAll('=', '=3D').replaceAll(',', '=2C');
    const data = this.binding ? this.data() : Buffer.alloc(0);
    const flag = this.binding ? `p=${this.binding},,` : 'n,,';
    const bind = Buffer.concat([Buffer.from(flag), data]).toString('base64');
    const message = `n=${name},r=${this.nonce},r=${nonce},s=${salt},i=${iterations},c=${bind},r=${nonce}`;
    const key = mac(salted, 'Client Key');
    const proof = mac(createHash('sha256').update(key).digest(), message);
    this.verifier = `v=${mac(mac(salted, 'Server Key'), message).toString('base64')}`;
    return {
      signature: key.map((octet, i) => octet ^ proof[i]).toString('base64'),
      extra: {
        nonce, channel_binding: this.binding ?? null, cbind_data: this.binding ? data.toString('base64') : null,
      },
    };
  }

  /** check throws unless the router knew the password, too. */
  check(extra) {
    if (extra?.verifier !== this.verifier) throw new Error(`the router's verifier is ${extra?.verifier}`);
  }
}
