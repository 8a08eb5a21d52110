"""The addresses of the router under test, and a Router that a test starts for itself and may stop or kill."""

import asyncio
import os
import signal
import socket


class Address:
    """The addresses of one router: WebSocket and RawSocket share a port, and a Unix socket speaks both too."""

    def __init__(self, port, unix, host="127.0.0.1", tls=None):
        self.host = host
        self.port = port
        self.unix = unix
        self.tls = tls  # for the transports wss and tcps, see login.tls_context

    @classmethod
    def given(cls, which="INTEROP"):
        host, port = os.environ[f"{which}_TCP"].rsplit(":", 1)
        assert host == "127.0.0.1", host
        return cls(int(port), os.environ[f"{which}_UNIX"])

    @classmethod
    def configured(cls):
        """The router with a configuration file."""
        return cls.given("INTEROP_CONFIGURED")


async def until(check, what, deadline=10.0):
    """Polls check until it returns a true value; after deadline seconds it fails with the text in what."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline
    while True:
        got = check()
        if asyncio.iscoroutine(got):
            got = await got
        if got:
            return got
        if loop.time() > end:
            raise AssertionError(f"not within {deadline} s: {what}")
        await asyncio.sleep(0.01)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Router:
    """A router process for one test. Restarts keep its port."""

    def __init__(self):
        self.address = Address(free_port(), None)
        self.process = None

    async def run(self):
        listen = f"127.0.0.1:{self.address.port}"
        arguments = ["serve", "--config=", "--listen", listen, "--realm", "realm1", "--realm", "realm2"]
        quiet = asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(
            os.environ["INTEROP_ROUTER"], *arguments, stdout=quiet, stderr=quiet
        )

        async def accepts():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.address.port)
            except OSError:
                return False
            writer.close()
            return True

        await until(accepts, f"router on {listen} accepts")

    async def stop(self, how=signal.SIGTERM):
        if self.process.returncode is None:
            self.process.send_signal(how)
        await self.process.wait()
