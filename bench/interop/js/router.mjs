// The addresses of the router under test, and a Router that a test starts for itself and may stop or kill.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; start the suite with bench/interop/run`);
  return value;
}

export const address = {
  ws: required('INTEROP_WS'), // ws://host:port/ws
  tcp: required('INTEROP_TCP'), // host:port, RawSocket on the same port
  unix: required('INTEROP_UNIX'), // path of a Unix socket, RawSocket and WebSocket
};

/** configured is the router with a configuration file. */
export const configured = {
  ws: `ws://${required('INTEROP_CONFIGURED_TCP')}/ws`,
  tcp: required('INTEROP_CONFIGURED_TCP'),
  unix: required('INTEROP_CONFIGURED_UNIX'),
};

/** until polls check until it returns a true value; after the deadline it fails with the text in what. */
export async function until(check, what, deadlineMs = 10_000) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const got = await check();
    if (got) return got;
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); resolve(true); });
    socket.once('error', () => resolve(false));
  });
}

/** A Router is a process for one test. Restarts keep its port. */
export class Router {
  static async start() {
    const router = new Router();
    router.port = await freePort();
    await router.run();
    return router;
  }

  async run() {
    const args = ['serve', '--listen', `127.0.0.1:${this.port},long_poll=/lp`, '--realm', 'realm1', '--realm', 'realm2'];
    this.process = spawn(required('INTEROP_ROUTER'), args, { stdio: 'ignore' });
    this.exited = once(this.process, 'exit');
    process.once('exit', () => this.process.kill('SIGKILL')); // also when a test failed before its cleanup
    await until(() => accepts(this.port), `router on port ${this.port} accepts`);
  }

  get address() {
    return { ws: `ws://127.0.0.1:${this.port}/ws`, tcp: `127.0.0.1:${this.port}`, unix: address.unix };
  }

  /** stop ends the process with signal and waits until it is gone. */
  async stop(signal = 'SIGTERM') {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
    await this.exited;
  }
}
