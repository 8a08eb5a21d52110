// A reporter for node:test: a line per suite, every failure in full, and a last line that bench/interop/run adds up.
/** reason returns the message and the first place of our own code on the stack. */
function reason(error) {
  const cause = error?.cause ?? error;
  const text = String(cause?.stack ?? cause?.message ?? cause).slice(0, 4000);
  const [message] = text.split(/\n\s+at /);
  const place = text.match(/\/((?:cases|clients|test)\/[\w.]+:\d+)/);
  return `${message.slice(0, 1500).replaceAll('\n', '\n      ')}${place ? ` (${place[1]})` : ''}`;
}

export default async function* report(source) {
  const fresh = () => ({ passed: 0, failed: 0, from: Date.now() });
  const count = ({ passed, failed }) => `${passed} passed, ${failed} failed`;
  const all = fresh();
  const single = fresh(); // tests outside of a suite: websocket.test.mjs
  let suite = fresh();
  for await (const { type, data } of source) {
    if (type === 'test:stderr') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite') {
      yield `${data.name}: ${count(suite)}, ${Date.now() - suite.from} ms\n`;
      suite = fresh();
      continue;
    }
    const outcome = type === 'test:pass' ? 'passed' : 'failed';
    (data.nesting === 0 ? single : suite)[outcome] += 1;
    all[outcome] += 1;
    if (outcome === 'failed') yield `  FAIL ${data.name}\n      ${reason(data.details.error)}\n`;
  }
  yield `websocket: ${count(single)}\n`;
  yield `js: ${count(all)}\n`;
}
