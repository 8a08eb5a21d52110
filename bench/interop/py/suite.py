"""Drives the router with Autobahn for Python: every case over every transport and serializer.

usage: suite.py [WORD ...]   only cases or links whose name contains a WORD
"""

import asyncio
import logging
import sys
import time
import traceback

from interop import (  # noqa: F401 - they fill CASES
    cases_callee,
    cases_history,
    cases_meta,
    cases_passthru,
    cases_payload,
    cases_pubsub,
    cases_retained,
    cases_rpc,
    cases_session,
)
from interop.client import SERIALIZERS, TRANSPORTS
from interop.stage import Stage
from interop.table import CASES

CASE_SECONDS = 40


async def run_case(link, function):
    stage = Stage(link)
    try:
        await function(stage)
        stage.check()
    finally:
        await stage.end()


def main(words):
    logging.disable(logging.ERROR)  # the library reports every failed call on its own
    passed = failed = 0
    for link in ((transport, serializer) for transport in TRANSPORTS for serializer in SERIALIZERS):
        suite = f"autobahn-python {link[0]} {link[1]}"
        here = [0, 0]
        start = time.monotonic()
        for name, only, function in CASES:
            if not only(link) or (words and not any(word in f"{suite} {name}" for word in words)):
                continue
            try:
                asyncio.run(asyncio.wait_for(run_case(link, function), CASE_SECONDS))
                here[0] += 1
            except Exception:
                here[1] += 1
                print(f"  FAIL {name} ({suite})")
                print("      " + traceback.format_exc(limit=-3).strip().replace("\n", "\n      "))
        if sum(here):
            print(f"{suite}: {here[0]} passed, {here[1]} failed, {(time.monotonic() - start) * 1000:.0f} ms", flush=True)
        passed += here[0]
        failed += here[1]
    print(f"py: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
