// A reporter for node:test: one line per suite, every failure in full, and a last line that bench/interop/run adds up.
/** reason is the message and the first place in our own code that the stack names. */
function reason(error) {
  const cause = error?.cause ?? error;
  const text = String(cause?.stack ?? cause?.message ?? cause).slice(0, 4000);
  const [message] = text.split(/\n\s+at /);
  const place = text.match(/\/((?:cases|clients|test)\/[\w.]+:\d+)/);
  return `${message.slice(0, 1500).replaceAll('\n', '\n      ')}${place ? ` (${place[1]})` : ''}`;
}

export default async function* report(source) {
  let [passed, failed] = [0, 0];
  let suite = { passed: 0, failed: 0, from: Date.now() };
  for await (const { type, data } of source) {
    if (type === 'test:stderr') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite') {
      yield `${data.name}: ${suite.passed} passed, ${suite.failed} failed, ${Date.now() - suite.from} ms\n`;
      suite = { passed: 0, failed: 0, from: Date.now() };
    } else if (type === 'test:pass') {
      suite.passed += 1;
      passed += 1;
    } else {
      suite.failed += 1;
      failed += 1;
      yield `  FAIL ${data.name}\n      ${reason(data.details.error)}\n`;
    }
  }
  yield `js: ${passed} passed, ${failed} failed\n`;
}
