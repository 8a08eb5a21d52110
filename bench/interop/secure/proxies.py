"""nginx and haproxy in front of the router, as Debian has them: the router knows whom they forward, and believes
nobody else. Addresses in 127.0.0.0/8 stand for the machines: 127.0.0.9 a client, 127.0.0.20 and .21 the proxies."""

import asyncio
import os
import shutil

from autobahn.wamp.serializer import CBORSerializer
from clients import Address, Peer, refused, until
from relay import Relay
from router import EVERYTHING, free_port, realm
from transports import CLOSED, fails

CLIENT, NGINX, HAPROXY = "127.0.0.9", "127.0.0.20", "127.0.0.21"
# An address that anonymous clients may not come from is told so.
STRANGER = "wamp.error.authentication_required"
TICKET = "the ticket of everybody here"

NGINX_CONF = """
{user}
worker_processes 1;
error_log stderr;
pid {folder}/nginx.pid;
daemon off;
events {{ worker_connections 500; }}
http {{
	access_log off;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	proxy_http_version 1.1;
	proxy_set_header Upgrade $http_upgrade;
	proxy_set_header Connection "upgrade";
	proxy_set_header Host $host;
	proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
	proxy_set_header X-Forwarded-Proto $scheme;
	proxy_bind {source};
	server {{
		listen 127.0.0.1:{plain};
		listen 127.0.0.1:{tls} ssl;
		ssl_certificate {certificate};
		ssl_certificate_key {key};
		location / {{ proxy_pass http://127.0.0.1:{router}; }}
	}}
}}
"""

HAPROXY_CFG = """
global
	maxconn 500
defaults
	mode tcp
	timeout connect 5s
	timeout client 60s
	timeout server 60s
"""

FORWARD = """
listen from{listen}
	bind 127.0.0.1:{listen}
	server banyan 127.0.0.1:{router} source {source} {send}
"""


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed; apt-get install {name}"
    return found


class Proxy:
    """A process in front of the router."""

    def __init__(self, folder, *command):
        self.command = command
        self.log = folder / f"{os.path.basename(command[0])}.log"

    async def start(self, *ports):
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(*self.command, stdout=log, stderr=log)

        async def accepts(port):
            assert self.process.returncode is None, self.log.read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        for port in ports:
            await until(lambda at=port: accepts(at), f"{self.command[0]} accepts on {port}")
        return self

    async def stop(self):
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()


async def run(suite):
    folder = suite.folder / "proxies"
    folder.mkdir()
    (folder / "ticket").write_text(TICKET + "\n")
    web, raw, encrypted, front, front_tls, v2, v1, through = (free_port() for _ in range(8))
    trusted = [NGINX, HAPROXY]
    certificates = {"certificates": [suite.server.config()]}
    router = await suite.router(
        "proxied",
        listeners=[
            {"address": f"127.0.0.1:{web}", "trusted_proxies": trusted},
            {"address": f"127.0.0.1:{encrypted}", "trusted_proxies": trusted, "proxy_protocol": "required",
             "tls": certificates},
            {"address": f"127.0.0.1:{raw}", "trusted_proxies": trusted, "proxy_protocol": "required"},
        ],
        limits={"auth_failures_per_address_max": 0, "auth_failures_per_authid_max": 0},
        realms=[
            realm("realm1", {"anonymous": {"role": "all", "from": [CLIENT]}}, {"all": EVERYTHING}),
            realm("here", {"anonymous": {"role": "all", "from": ["local"]}}, {"all": EVERYTHING}),
            realm("tickets", {"ticket": {}}, {"all": EVERYTHING}, users={
                "one": {"role": "all", "ticket": {"file": str(folder / "ticket")}},
            }),
        ],
    )
    conf = folder / "nginx.conf"
    conf.write_text(NGINX_CONF.format(
        folder=folder, user="user root;" if os.geteuid() == 0 else "", plain=front, tls=front_tls, router=web,
        source=NGINX, certificate=suite.server.cert_file, key=suite.server.key_file,
    ))
    cfg = folder / "haproxy.cfg"
    cfg.write_text(HAPROXY_CFG + "".join(
        FORWARD.format(listen=listen, router=to, source=HAPROXY, send=send)
        for listen, to, send in (
            (v2, raw, "send-proxy-v2"), (v1, raw, "send-proxy"), (through, encrypted, "send-proxy-v2"),
        )
    ))
    nginx = await Proxy(folder, program("nginx"), "-p", str(folder), "-c", str(conf)).start(front, front_tls)
    haproxy = await Proxy(folder, program("haproxy"), "-db", "-f", str(cfg)).start(v2, v1, through)
    try:
        await behind(suite, {
            "nginx": (front, "ws"), "nginx with TLS": (front_tls, "wss"),
            "haproxy, PROXY v2": (v2, "ws tcp"), "haproxy, PROXY v1": (v1, "ws tcp"),
            "haproxy, PROXY v2 and TLS": (through, "wss tcps"),
        })
        await forged(suite, web, raw, front)
    finally:
        await nginx.stop()
        await haproxy.stop()
    await router.stop()


async def behind(suite, ways):
    ca = {"ca": suite.authority.file}

    async def each(library, name, port, transports):
        relay = await Relay(port, CLIENT).start()
        allowed, stranger = Address(relay.port, None, "localhost", ca), Address(port, None, "localhost", ca)
        for link in [*library.links, *library.secure]:
            if link[0] not in transports.split():
                continue
            title = f"{name}: {library.name} {link[0]} {link[1]}"
            await suite.case(f"{title} is let in by its address", talk(library, link, allowed))
            await suite.case(f"{title} is refused from another",
                             refused(library.join(link, stranger, "realm1"), STRANGER))
            await suite.case(f"{title} is not local", refused(library.join(link, stranger, "here"), STRANGER))
            login = {"method": "ticket", "authid": "one", "secret": TICKET}
            ticket = library.join(link, stranger, "tickets", login)
            if link[0] in ("wss", "tcps"):
                await suite.case(f"{title} is encrypted, so its ticket is taken", leaves(ticket))
            else:
                await suite.case(f"{title} is not encrypted, so its ticket is not",
                                 refused(ticket, "wamp.error.no_matching_auth_method"))
        relay.stop()

    for name, (port, transports) in ways.items():
        await asyncio.gather(*(each(library, name, port, transports) for library in suite.clients.all))


async def leaves(joining):
    await (await joining).leave()


async def talk(library, link, at):
    """Exchanges events and calls of up to 256 KiB between two sessions behind the proxy."""
    a, b = await library.join(link, at, "realm1"), await library.join(link, at, "realm1")
    base = f"com.example.{a.name}"
    await a.subscribe(base)
    await a.register(base)
    for text in ("small", "0123456789abcdef" * 0x4000, "last"):
        await b.publish(base, [text])
        assert await b.call(base, [text]) == [text]
    assert [len(text) for text in await a.heard(3)] == [5, 1 << 18, 4]
    await a.leave()
    await b.leave()


async def forged(suite, web, raw, front):
    """Headers of those who are no trusted proxy, and connections without the header that is required."""
    link = ("ws", "cbor")

    async def forge(port, headers):
        joining = Peer.join(link, Address(port, None), serializers=[CBORSerializer()], headers=headers)
        await refused(joining, STRANGER)

    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        value = f"for={CLIENT}" if header == "Forwarded" else CLIENT
        await suite.case(f"{header} of a client is not believed", forge(web, {header: value}))
        await suite.case(f"{header} of a client is not believed behind nginx", forge(front, {header: value}))
    for library in suite.clients.all:
        await suite.case(f"PROXY is required: {library.name} without",
                         fails(library, library.links[0], Address(raw, None), CLOSED))

    async def header():
        reader, writer = await asyncio.open_connection("127.0.0.1", raw)
        writer.write(f"PROXY TCP4 {CLIENT} 127.0.0.1 1 2\r\n\x7fA\0\0".encode("latin-1"))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    await suite.case("a PROXY header of a client is not believed", header())
