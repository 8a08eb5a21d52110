"""Identity, permission, encryption, limits and administration with all stock clients, as the configuration file says.

usage: suite.py [WORD ...]   only the parts whose name contains a WORD
"""

import asyncio
import logging
import pathlib
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "py"), str(HERE.parent / "mixed")]

import authorization  # noqa: E402 - the path comes first
import cookies  # noqa: E402
import limits  # noqa: E402
import logins  # noqa: E402
import openssl  # noqa: E402
import operation  # noqa: E402
import proxies  # noqa: E402
import sockets  # noqa: E402
import transports  # noqa: E402
from authority import Authority  # noqa: E402
from clients import Clients  # noqa: E402
from router import Router  # noqa: E402

PARTS = (logins, cookies, authorization, transports, sockets, limits, operation, proxies, openssl)
CASE_SECONDS = 40


class Suite:
    """What the parts share, and the counts."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.authority = Authority(self.folder)
        self.server = self.authority.issue("server", "localhost", "127.0.0.1")
        self.clients = Clients(self.authority.file)
        self.passed = self.failed = 0
        self.routers = []

    async def router(self, name, **config):
        router = Router(self.folder / name, **config)
        self.routers.append(router)
        return await router.start()

    async def case(self, name, coroutine):
        try:
            await asyncio.wait_for(coroutine, CASE_SECONDS)
            self.passed += 1
        except Exception:
            self.failed += 1
            print(
                f"  FAIL {name}\n      " + traceback.format_exc(limit=-3).strip().replace("\n", "\n      "),
                flush=True,
            )


async def run(words):
    with tempfile.TemporaryDirectory(prefix="banyan-secure-") as folder:
        suite = Suite(folder)
        await suite.clients.start()
        for part in PARTS:
            if words and not any(word in part.__name__ for word in words):
                continue
            passed, failed, start = suite.passed, suite.failed, time.monotonic()
            try:
                await part.run(suite)
            except Exception:  # the part could not be set up
                suite.failed += 1
                print(f"  FAIL {part.__name__}\n" + traceback.format_exc(limit=-4), flush=True)
            for router in suite.routers:
                await router.stop()
            counts = f"{suite.passed - passed} passed, {suite.failed - failed} failed"
            print(f"{part.__name__}: {counts}, {(time.monotonic() - start) * 1000:.0f} ms", flush=True)
        await suite.clients.stop()
    print(f"secure: {suite.passed} passed, {suite.failed} failed")
    return 1 if suite.failed or not suite.passed else 0


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    sys.exit(asyncio.run(run(sys.argv[1:])))
