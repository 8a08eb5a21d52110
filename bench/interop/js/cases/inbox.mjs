import { until } from '../router.mjs';

/** An Inbox collects what handlers receive and lets a case wait for it. */
export class Inbox {
  constructor() {
    this.items = [];
    this.put = (item) => { this.items.push(item); };
  }

  get length() { return this.items.length; }

  /** take waits for n items in all and returns them. */
  async take(n) {
    await until(() => this.items.length >= n, `${n} items, have ${this.items.length}`);
    return this.items;
  }
}

/** A Gate is a promise that the case opens. */
export class Gate {
  constructor() { this.promise = new Promise((resolve) => { this.open = resolve; }); }
}

/** fails expects promise to be rejected with a WAMP error of that URI and returns the failure. */
export async function fails(promise, uri) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    if (error.uri !== uri) throw new Error(`expected ${uri}, got ${error.uri ?? error.stack ?? error}`);
    return error;
  }
  throw new Error(`expected ${uri}, got the result ${JSON.stringify(value)}`);
}
