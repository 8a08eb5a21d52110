/** A Failure is a WAMP ERROR or ABORT, in one form for all libraries. */
export class Failure extends Error {
  constructor(uri, args = [], kwargs = {}, details = {}) {
    super(`${uri} ${JSON.stringify(args, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`);
    this.uri = uri;
    this.args = args;
    this.kwargs = kwargs;
    this.details = details;
  }
}
