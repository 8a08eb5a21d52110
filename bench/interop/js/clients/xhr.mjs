// XMLHttpRequest for Node, as far as autobahn-js uses it for long-poll: POST, and six connections as in a browser. The
// connections of a transport are its own, so that held requests of one session do not keep those of another waiting.
import http from 'node:http';

const agents = new Map();

function agentOf(url) {
  const [, , id] = url.pathname.split('/');
  if (!agents.has(id)) agents.set(id, new http.Agent({ keepAlive: true, maxSockets: 6 }));
  return agents.get(id);
}

export class XMLHttpRequest {
  constructor() {
    this.readyState = 0;
    this.status = 0;
    this.statusText = '';
    this.responseText = '';
    this.timeout = 0;
    this.headers = {};
  }

  open(method, url) { Object.assign(this, { method, url: new URL(url) }); }

  setRequestHeader(name, value) { this.headers[name] = value; }

  send(body = '') {
    const octets = Buffer.from(body ?? '');
    const headers = { ...this.headers, 'Content-Length': octets.length };
    const request = http.request(this.url, { method: this.method, agent: agentOf(this.url), headers }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => {
        clearTimeout(timer);
        this.done(answer.statusCode, answer.statusMessage, Buffer.concat(pieces).toString());
      });
      answer.on('error', () => this.done(0, '', ''));
    });
    const timer = this.timeout > 0 && setTimeout(() => {
      this.over = true;
      request.destroy();
      this.ontimeout?.();
    }, this.timeout);
    request.on('error', () => { clearTimeout(timer); this.done(0, '', ''); });
    request.end(octets);
  }

  done(status, statusText, responseText) {
    if (this.over) return;
    this.over = true;
    Object.assign(this, { readyState: 4, status, statusText, responseText });
    this.onreadystatechange?.();
  }
}
