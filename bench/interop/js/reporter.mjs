// A reporter for node:test: one line per suite, every failure in full, and a last line that bench/interop/run adds up.
import { inspect } from 'node:util';

function reason(error) {
  const cause = error?.cause ?? error;
  return inspect(cause?.stack ?? cause?.message ?? cause).slice(0, 2000).replaceAll('\\n', '\n      ');
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
