"""A router with a configuration file, and the commands of its operator."""

import asyncio
import json
import os
import pathlib
import signal
import socket
import time

from interop.router import free_port, until

BANYAN = os.environ["INTEROP_ROUTER"]


async def banyan(*arguments, stdin=None):
    """Runs a command of banyan and returns its exit code and what it wrote: (code, output, errors)."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(BANYAN, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(stdin and stdin.encode()), 60)
    return process.returncode, out.decode(), err.decode()


async def must(*arguments, stdin=None):
    code, out, err = await banyan(*arguments, stdin=stdin)
    assert code == 0, f"banyan {' '.join(arguments)} ended with {code}: {out}{err}"
    return out.strip()


EVERYTHING = [{"uri": "", "match": "prefix", "allow": ["call", "register", "publish", "subscribe"]}]


def realm(uri, auth, roles, **more):
    """Returns an entry of realms. roles maps names to permissions."""
    roles = [{"name": name, "permissions": permissions} for name, permissions in roles.items()]
    return {"uri": uri, "auth": auth, "roles": roles, **more}


class Router:
    """A router process. Its configuration is JSON, which is YAML."""

    def __init__(self, folder, **config):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.file = str(self.folder / "banyan.yaml")
        self.config = {"process": {"data_dir": str(self.folder / "data")}, "log": {"level": "debug"}, **config}
        self.log = self.folder / "router.log"
        self.process = None

    def write(self):
        pathlib.Path(self.file).write_text(json.dumps(self.config, indent=1))

    async def start(self):
        self.write()
        await must("check", self.file)
        with self.log.open("ab") as log:
            arguments = [BANYAN, "serve", "--config", self.file]
            self.process = await asyncio.create_subprocess_exec(*arguments, stdout=log, stderr=log)
        for listener in self.config["listeners"]:
            await until(
                lambda at=listener["address"]: self._accepts(at), f"{listener['address']} accepts: {self.tail()}"
            )
        return self

    def _accepts(self, at):
        assert self.process.returncode is None, f"the router did not start: {self.tail()}"
        family, to = socket.AF_INET, at
        if at.startswith("unix:"):
            family, to = socket.AF_UNIX, at.removeprefix("unix:")
        else:
            host, port = at.rsplit(":", 1)
            to = (host, int(port))
        with socket.socket(family) as s:
            try:
                s.connect(to)
            except OSError:
                return False
        return True

    def tail(self):
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""

    async def reload(self):
        """Applies self.config as it is now, over the control socket, and returns the report."""
        self.write()
        return await must("reload", "--config", self.file)

    async def drain(self):
        """Drains and returns the seconds until the process ended with exit code 0."""
        start = time.monotonic()
        await must("drain", "--config", self.file)
        code = await asyncio.wait_for(self.process.wait(), 30)
        assert code == 0, f"exit code {code}: {self.tail()}"
        return time.monotonic() - start

    async def status(self):
        return json.loads(await must("status", "--json", "--config", self.file))

    async def stop(self):
        if self.process and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 1)
            except asyncio.TimeoutError:
                self.process.send_signal(signal.SIGKILL)
                await self.process.wait()


__all__ = ["EVERYTHING", "Router", "banyan", "free_port", "must", "realm", "until"]
