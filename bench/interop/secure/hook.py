"""The web service that a login hook asks."""

import asyncio
import json


class Hook:
    """Answers POST with answers[authid](question) -> (status, value), and keeps the questions."""

    def __init__(self, secret):
        self.secret = secret
        self.answers = {}
        self.questions = []

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/login"

    async def _serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request, *lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                question = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.questions.append(question)
                status, value = 500, "who are you?"
                if request.startswith("POST /login ") and headers.get("authorization") == f"bearer {self.secret}":
                    status, value = self.answers.get(question["authid"], lambda _: (403, {}))(question)
                body = json.dumps(value).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def stop(self):
        self.server.close()
