"""Sessions of all clients: Python's in this process, the others in a process per language that reads JSON lines."""

import asyncio
import base64
import json
import pathlib

from interop.client import PATIENCE, Failure, Peer
from interop.router import Address

HERE = pathlib.Path(__file__).resolve().parent.parent


class Octets(bytes):
    """Binary that JavaScript sends as a typed array (CBOR tag 64)."""


def pack(value):
    """Returns [tag, text or parts], because JSON does not keep integers, floats and binary apart."""
    if value is None:
        return ["nil"]
    if isinstance(value, bool):
        return ["bool", value]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float):
        return ["float", repr(value)]
    if isinstance(value, str):
        return ["text", value]
    if isinstance(value, Octets):
        return ["octets", base64.b64encode(value).decode()]
    if isinstance(value, bytes):
        return ["binary", base64.b64encode(value).decode()]
    if isinstance(value, (list, tuple)):
        return ["list", [pack(item) for item in value]]
    return ["map", [[key, pack(item)] for key, item in value.items()]]


def unpack(tagged):
    tag, *rest = tagged
    if tag == "nil":
        return None
    value = rest[0]
    match tag:
        case "int":
            return int(value)
        case "float":
            return float(value)
        case "binary":
            return base64.b64decode(value)
        case "list":
            return [unpack(item) for item in value]
        case "map":
            return {key: unpack(item) for key, item in value}
        case "bool" | "text":
            return value
    return (tag, value)  # the other process has no name for the type; equal to nothing


class Remote:
    """A process that holds sessions of one language."""

    def __init__(self, *command, env=None):
        self.command = command
        self.env = env  # None: that of this process
        self.pending = {}
        self.inboxes = {}
        self.serial = 0
        self.ended = False

    async def start(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *self.command, cwd=HERE, env=self.env, stdin=pipe, stdout=pipe, limit=1 << 26
        )
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self):
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            if "reply" in message:
                self.pending.pop(message["reply"]).set_result(message)
            else:
                self.tell(message)
        self.ended = True
        for future in filter(lambda f: not f.done(), self.pending.values()):
            future.set_exception(ConnectionError(f"{self.command[0]} ended"))

    def tell(self, message):
        """Takes what nobody asked for: an event, or that a session is over, which is of no interest here."""
        if "event" in message:
            self.inboxes[message["event"]].append(
                (message["topic"], unpack(message["args"]), unpack(message["kwargs"]))
            )

    async def ask(self, op, session, **fields):
        if self.ended:
            raise ConnectionError(f"{self.command[0]} ended")
        self.serial += 1
        future = self.pending[self.serial] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": self.serial, "op": op, "session": session, **fields})
        self.process.stdin.write(line.encode() + b"\n")
        reply = await asyncio.wait_for(future, 3 * PATIENCE)
        if "error" in reply:
            args, kwargs = reply.get("args", ["list", []]), reply.get("kwargs", ["map", []])
            raise Failure(reply["error"], unpack(args), unpack(kwargs))
        return reply

    async def stop(self):
        self.process.stdin.close()
        await self.process.wait()
        await self.reading


class Member:
    """One session of the mixed run. The subclasses say where it lives."""

    def __init__(self, library, transport, serializer):
        self.library, self.transport, self.serializer = library, transport, serializer
        self.name = f"{library}-{transport}-{serializer}"
        self.inbox = []  # (topic, args, kwargs)

    # Autobahn for Python converts binary in JSON itself; with other libraries the application does.
    @property
    def spells_binary(self):
        return self.serializer == "json" and self.library != "autobahn-python"

    @property
    def javascript(self):
        return self.library in ("autobahn-js", "wampy")

    @property
    def loose_numbers(self):
        """Reports whether the library takes 1 and 1.0 as equal, or rounds beyond 2^53."""
        return self.javascript or (self.serializer == "json" and self.library in ("xconn", "nexus"))


class RemoteMember(Member):
    def __init__(self, host, *link):
        super().__init__(*link)
        self.host = host
        host.inboxes[self.name] = self.inbox

    async def join(self):
        await self.host.ask(
            "join", self.name, library=self.library, transport=self.transport, serializer=self.serializer
        )

    async def subscribe(self, topic, match="exact"):
        await self.host.ask("subscribe", self.name, topic=topic, match=match)

    async def publish(self, topic, args, kwargs):
        await self.host.ask("publish", self.name, topic=topic, args=pack(args), kwargs=pack(kwargs))

    async def register(self, procedure, behaviour, invoke=""):
        await self.host.ask("register", self.name, procedure=procedure, behaviour=behaviour, invoke=invoke)

    async def call(self, procedure, args=(), kwargs=None, progress=False):
        reply = await self.host.ask(
            "call", self.name, procedure=procedure, args=pack(args), kwargs=pack(kwargs or {}), progress=progress
        )
        steps = [(unpack(step["args"]), unpack(step["kwargs"])) for step in reply.get("steps") or []]
        return unpack(reply["args"]), unpack(reply["kwargs"]), steps

    async def leave(self):
        await self.host.ask("leave", self.name)


class LocalMember(Member):
    def __init__(self, *link):
        super().__init__("autobahn-python", *link)

    async def join(self):
        self.peer = await Peer.join((self.transport, self.serializer), Address.given())

    async def subscribe(self, topic, match="exact"):
        await self.peer.subscribe(
            topic, lambda args, kwargs, details: self.inbox.append((details.topic, args, kwargs)), match=match
        )

    async def publish(self, topic, args, kwargs):
        await self.peer.publish(topic, args, kwargs)

    async def register(self, procedure, behaviour, invoke=""):
        def handler(args, kwargs, details):
            if behaviour == "name":
                return [self.name, ""], {}
            if behaviour == "fail":
                raise Peer.error("com.example.mixed", args, kwargs)
            if behaviour == "steps":
                for n in range(10):
                    details.progress(n, *args, **kwargs)
            return args, kwargs

        await self.peer.register(procedure, handler, invoke=invoke or None)

    async def call(self, procedure, args=(), kwargs=None, progress=False):
        steps = []

        def on_progress(*step_args, **step_kwargs):
            steps.append((list(step_args), step_kwargs))

        got_args, got_kwargs = await self.peer.call(procedure, args, kwargs, on_progress if progress else None)
        return got_args, got_kwargs, steps

    async def leave(self):
        assert self.peer.alive, f"{self.name} was cut off: the library saw a protocol violation"
        await self.peer.leave()
