"""A TCP relay that can cut its connections, and that keeps the first bytes of each answer."""

import asyncio


class Relay:
    def __init__(self, port, source=None):
        self.to = port
        self.source = source and (source, 0)  # the address that it connects from, in 127.0.0.0/8
        self.answers = []
        self.writers = set()

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer):
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self.to, local_addr=self.source)
        self.writers |= {writer, their_writer}
        await asyncio.gather(self._copy(reader, their_writer), self._copy(their_reader, writer, self.answers))

    async def _copy(self, reader, writer, answers=None):
        try:
            while data := await reader.read(1 << 16):
                if answers is not None:
                    answers.append(data[:1000])
                    answers = None
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()

    def cut(self):
        """Ends all connections, as a network would that fails."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    def stop(self):
        self.server.close()
        self.cut()
