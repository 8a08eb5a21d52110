"""Every method of authentication with every client that has it. PROTOCOL 10; checklist AUTH."""

import asyncio
import base64
import hashlib
import os

from authority import Issuer
from clients import Address, refused
from hook import Hook
from router import EVERYTHING, free_port, must, realm

DENIED = "wamp.error.authentication_denied"
NO_METHOD = "wamp.error.no_matching_auth_method"
PASSWORD = "correct horse battery staple, große Eile"


def salted(password, salt, iterations):
    """Returns the key of salted WAMP-CRA."""
    return base64.b64encode(hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations, 32)).decode()


async def joins(library, link, at, uri, login, authid, role, method, provider=None, extra=None):
    """Joins, compares WELCOME with what is expected, makes a call to itself, and leaves."""
    session = await library.join(link, at, uri, login)
    got = session.identity
    told = {"authid": authid, "authrole": role, "authmethod": method}
    told = {key: value for key, value in told.items() if value is not None}
    assert got.items() >= told.items(), f"{got} is not {told}"
    if provider and got["authprovider"]:
        assert got["authprovider"] == provider, got
    if extra and library.name != "xconn":  # it does not tell
        assert got["authextra"].items() >= extra.items(), got
    procedure = f"com.example.{session.name}"
    await session.register(procedure)
    assert await session.call(procedure, [session.name]) == [session.name]
    await session.leave()


class Logins:
    """Cases of one method: credentials that are right, wrong ones, and a user who is not there."""

    def __init__(self, suite, plain, secure):
        self.suite, self.plain, self.secure = suite, plain, secure
        self.turn = 0

    def way(self, library, secure):
        self.turn += 1
        return library.link(self.turn, secure), self.secure if secure else self.plain

    async def good(self, library, name, uri, login, authid, role, method, secure=False, **more):
        link, at = self.way(library, secure)
        title = f"{name}: {library.name} {link[0]} {link[1]} joins as {authid or 'somebody'}"
        await self.suite.case(title, joins(library, link, at, uri, login, authid, role, method, **more))

    async def bad(self, library, name, uri, login, error=DENIED, text="", secure=False):
        link, at = self.way(library, secure)
        title = f"{name}: {library.name} {link[0]} {link[1]} gets {error}"
        text = text or f"{login and login['method']}: the credentials are wrong"
        await self.suite.case(title, refused(library.join(link, at, uri, login), error, text))


async def users(folder):
    """Makes the users as their operator would, and returns the secrets that were told."""
    file = str(folder / "users.yaml")
    secrets = {}

    async def passwd(authid, *more):
        await must("passwd", authid, "--role", "member", "--users", file, *more, stdin=PASSWORD + "\n")

    await passwd("bob", "--crossbar", "--ticket")
    await passwd("carol", "--kdf", "pbkdf2", "--cra")
    secrets["ticket"] = await must("hash-ticket", "alice", "--role", "member", "--new", "--users", file)
    key = folder / "device.key"
    await must("keygen", "device", "--role", "member", "--key", str(key), "--users", file)
    secrets["key"] = key.read_text().strip()
    return file, secrets


async def run(suite):
    folder = suite.folder / "logins"
    folder.mkdir()
    users_file, secrets = await users(folder)
    (folder / "secret").write_text("plain secret\n")
    (folder / "bearer").write_text("let me ask\n")
    issuer, stranger = Issuer(folder), Issuer(folder, "stranger")
    certified = suite.authority.issue("certified")
    unknown = suite.authority.issue("unknown")
    hook = Hook("let me ask")
    await hook.start()

    port, encrypted, unix = free_port(), free_port(), str(folder / "socket")
    own = {
        "dave": {"role": "member", "wampcra": {"secret_file": str(folder / "secret")}},
        "erin": {
            "role": "member",
            "extra": {"told": "in authextra"},
            "wampcra": {"salt": "pepper", "iterations": 1000, "keylen": 32, "key": salted(PASSWORD, "pepper", 1000)},
        },
        "machine": {"role": "member", "tls": [certified.fingerprint]},
    }
    roles = {"member": EVERYTHING, "guest": EVERYTHING, "service": EVERYTHING}
    methods = {"ticket": {}, "wampcra": {}, "wamp-scram": {}, "scram": {}, "cryptosign": {}, "tls": {}}
    libraries = suite.clients.all
    config = {
        "listeners": [
            {"address": f"127.0.0.1:{port}"},
            {"address": f"unix:{unix}"},
            {
                "address": f"127.0.0.1:{encrypted}",
                "tls": {"certificates": [suite.server.config()], "client_ca": suite.authority.file},
            },
        ],
        "limits": {"auth_failures_per_address_max": 0, "auth_failures_per_authid_max": 0},
        "realms": [
            realm("realm1", {**methods, "anonymous": {"role": "guest"}}, roles, users=own, users_file=users_file),
            realm("members", methods, roles, users=own),
            realm(
                "bound",
                {"cryptosign": {"require_channel_binding": True}, "wamp-scram": {}},
                roles,
                users_file=users_file,
            ),
            realm(
                "jwt",
                {
                    "ticket": {
                        "jwt": {
                            "keys_file": issuer.file,
                            "issuer": "https://issuer.example",
                            "audience": "banyan",
                            "role_claim": "role",
                        }
                    }
                },
                roles,
            ),
            realm(
                "hook",
                {
                    "ticket": {},
                    "wampcra": {},
                    "http": {
                        "url": hook.url,
                        "secret_file": str(folder / "bearer"),
                        "methods": ["ticket", "wampcra"],
                        "retries": 0,
                    },
                },
                roles,
            ),
            *(
                realm(
                    f"dynamic.{library.name}",
                    {
                        "ticket": {},
                        "wampcra": {},
                        "dynamic": {
                            "procedure": f"com.example.authenticate.{library.name}",
                            "realm": "realm1",
                            "methods": ["ticket", "wampcra"],
                        },
                    },
                    roles,
                )
                for library in libraries
            ),
        ],
    }
    router = await suite.router("logins", **config)
    plain = Address(port, unix)
    tls = {"ca": suite.authority.file}
    secure = Address(encrypted, None, "localhost", tls)

    async def each(library):
        cases = Logins(suite, plain, secure)
        await anonymous(cases, library)
        await tickets(cases, library, secrets["ticket"])
        await wampcra(cases, library)
        await scram(cases, library)
        await cryptosign(cases, library, secrets["key"])
        await certificates(suite, cases, library, encrypted, tls, certified, unknown)
        await jwt(cases, library, issuer, stranger)
        await hooks(cases, library, hook)
        await dynamic(cases, library, libraries, plain)

    await asyncio.gather(*map(each, libraries))
    await suite.case("hook: the service got realm, authid and details", asked(hook))
    await router.stop()
    hook.stop()


async def anonymous(cases, library):
    await cases.good(library, "AUTH anonymous", "realm1", None, None, "guest", "anonymous")
    await cases.good(library, "AUTH anonymous over TLS", "realm1", None, None, "guest", "anonymous", secure=True)
    await cases.bad(
        library, "AUTH anonymous where it is not offered", "members", None, "wamp.error.authentication_required"
    )


async def tickets(cases, library, ticket):
    def login(authid, secret):
        return {"method": "ticket", "authid": authid, "secret": secret}

    await cases.good(
        library, "AUTH ticket", "realm1", login("alice", ticket), "alice", "member", "ticket", provider="static"
    )
    await cases.good(
        library, "AUTH ticket, password", "realm1", login("bob", PASSWORD), "bob", "member", "ticket", secure=True
    )
    await cases.bad(library, "AUTH ticket, wrong", "realm1", login("alice", ticket[::-1]))
    await cases.bad(library, "AUTH ticket, of somebody else", "realm1", login("bob", ticket), secure=True)
    await cases.bad(library, "AUTH ticket, unknown user", "realm1", login("nobody", ticket))
    await cases.bad(library, "AUTH ticket, where it is not offered", "bound", login("alice", ticket), NO_METHOD)


async def wampcra(cases, library):
    def login(authid, secret):
        return {"method": "wampcra", "authid": authid, "secret": secret}

    await cases.good(
        library, "AUTH wampcra, plain", "realm1", login("dave", "plain secret"), "dave", "member", "wampcra"
    )
    await cases.good(
        library,
        "AUTH wampcra, salted",
        "realm1",
        login("erin", PASSWORD),
        "erin",
        "member",
        "wampcra",
        extra={"told": "in authextra"},
    )
    if library.name != "autobahn-js":  # its PBKDF2 is JavaScript: 600 000 rounds take it minutes
        await cases.good(
            library,
            "AUTH wampcra, of passwd",
            "realm1",
            login("carol", PASSWORD),
            "carol",
            "member",
            "wampcra",
            secure=True,
        )
    await cases.bad(library, "AUTH wampcra, wrong", "realm1", login("dave", "plain secre"))
    await cases.bad(library, "AUTH wampcra, salted and wrong", "realm1", login("erin", "x" + PASSWORD), secure=True)
    await cases.bad(library, "AUTH wampcra, unknown user", "members", login("nobody", "plain secret"))


async def scram(cases, library):
    for authid, kdf in (("bob", "argon2id13"), ("carol", "pbkdf2")):
        for method in ("wamp-scram", "scram"):
            # Autobahn for Python cannot derive keys by pbkdf2: it gives its own function the salt as text.
            if (kdf if method == "wamp-scram" else method) not in library.methods or (method, kdf) == (
                "scram",
                "pbkdf2",
            ):
                continue
            name = f"AUTH {method}, {kdf}"
            login = {"method": method, "authid": authid, "secret": PASSWORD}
            await cases.good(library, name, "realm1", login, authid, "member", method)
            await cases.bad(library, name + ", wrong", "realm1", {**login, "secret": "x"}, secure=True)
            await cases.good(library, name + ", over TLS", "realm1", login, authid, "member", method, secure=True)
    if library.name == "autobahn-js":  # the others' applications cannot see the TLS connection, or send no extra
        login = {"method": "wamp-scram", "authid": "carol", "secret": PASSWORD}
        for binding in ("tls-exporter", "tls-server-end-point"):
            name, bound = f"AUTH wamp-scram bound by {binding}", {**login, "binding": binding}
            for uri in ("bound", "realm1"):
                await cases.good(library, name, uri, bound, "carol", "member", "wamp-scram", secure=True)
            await cases.bad(library, name + ", wrong", "bound", {**bound, "secret": "x"}, secure=True)
        await cases.bad(library, "AUTH wamp-scram, without the binding that is required", "bound", login, NO_METHOD,
                        "requires a channel binding", secure=True)
    for method, kdfs in (("wamp-scram", "argon2id13"), ("scram", "scram")):
        if kdfs in library.methods:
            login = {"method": method, "authid": "nobody", "secret": PASSWORD}
            await cases.bad(library, f"AUTH {method}, unknown user", "realm1", login)


async def cryptosign(cases, library, key):
    login = {"method": "cryptosign", "authid": "device", "secret": key}
    await cases.good(library, "AUTH cryptosign", "realm1", login, "device", "member", "cryptosign")
    await cases.good(
        library, "AUTH cryptosign over TLS", "realm1", login, "device", "member", "cryptosign", secure=True
    )
    wrong = {**login, "secret": os.urandom(32).hex()}
    await cases.bad(library, "AUTH cryptosign, another key", "realm1", wrong)
    await cases.bad(library, "AUTH cryptosign, unknown user", "realm1", {**login, "authid": "nobody"})
    await cases.bad(
        library,
        "AUTH cryptosign, without the binding that is required",
        "bound",
        login,
        NO_METHOD,
        "requires a channel binding",
        secure=True,
    )
    for binding in library.bindings:
        name = f"AUTH cryptosign bound by {binding}"
        at = Address(cases.secure.port, None, "localhost", dict(cases.secure.tls))
        if binding == "tls-unique":
            at.tls["max"] = "1.2"  # TLS 1.3 has none
        there = Logins(cases.suite, cases.plain, at)
        there.turn = cases.turn
        bound = {**login, "binding": binding}
        for uri in ("bound", "realm1"):
            await there.good(library, name, uri, bound, "device", "member", "cryptosign", secure=True)
        await there.bad(library, name + ", another key", "bound", {**wrong, "binding": binding}, secure=True)


async def certificates(suite, cases, library, port, tls, certified, unknown):
    login = {"method": "tls", "authid": "machine", "secret": ""}
    for name, pair in (("of a user", certified), ("of nobody", unknown), ("missing", None)):
        at = Address(port, None, "localhost", {**tls, "cert": pair.cert_file, "key": pair.key_file} if pair else tls)
        there = Logins(suite, cases.plain, at)
        there.turn = cases.turn
        title = f"AUTH client certificate, {name}"
        if pair is certified:
            for _ in range(3):
                await there.good(library, title, "realm1", login, "machine", "member", "tls", secure=True)
        else:
            await there.bad(library, title, "realm1", login, NO_METHOD, secure=True)


async def jwt(cases, library, issuer, stranger):
    def login(token):
        return {"method": "ticket", "authid": "frank", "secret": token}

    await cases.good(
        library, "AUTH token", "jwt", login(issuer.token("frank", role="service")), "frank", "service", "ticket"
    )
    await cases.good(
        library,
        "AUTH token over TLS",
        "jwt",
        login(issuer.token("frank", role="member")),
        "frank",
        "member",
        "ticket",
        secure=True,
    )
    for name, token in (
        ("of another issuer's key", stranger.token("frank", role="service")),
        ("expired", issuer.token("frank", role="service", exp=1)),
        ("for others", issuer.token("frank", role="service", aud="somebody")),
        ("of somebody else", issuer.token("grace", role="service")),
        ("without a role", issuer.token("frank")),
        ("no token", "hush"),
    ):
        await cases.bad(library, f"AUTH token {name}", "jwt", login(token))


async def hooks(cases, library, hook):
    def harry(question):
        if question["details"]["authmethod"] == "wampcra":
            return 200, {"role": "member", "secret": "hush"}
        good = question["details"]["ticket"] == "hush"
        return (200, {"role": "service", "extra": {"n": 1}}) if good else (403, {})

    hook.answers["harry"] = harry
    hook.answers["banned"] = lambda _: (401, {"error": "wamp.error.banned", "message": "not before Monday"})
    hook.answers["broken"] = lambda _: (500, "")
    hook.answers["lost"] = lambda _: (200, "no such role")

    def login(authid, secret, method="ticket"):
        return {"method": method, "authid": authid, "secret": secret}

    await cases.good(library, "AUTH hook", "hook", login("harry", "hush"), "harry", "service", "ticket")
    await cases.good(
        library, "AUTH hook, wampcra", "hook", login("harry", "hush", "wampcra"), "harry", "member", "wampcra"
    )
    await cases.bad(library, "AUTH hook, wrong", "hook", login("harry", "?"), DENIED, "authentication failed")
    await cases.bad(library, "AUTH hook, wampcra and wrong", "hook", login("harry", "?", "wampcra"))
    await cases.bad(
        library, "AUTH hook, unknown user", "hook", login("nobody", "hush"), DENIED, "authentication failed"
    )
    await cases.bad(
        library, "AUTH hook says why", "hook", login("banned", "?"), "wamp.error.banned", "not before Monday"
    )
    failed = "wamp.error.authentication_failed"
    await cases.bad(library, "AUTH hook that is broken", "hook", login("broken", "?"), failed, "not available")
    await cases.bad(library, "AUTH hook that names no role", "hook", login("lost", "?"), failed, "role")


async def asked(hook):
    question = next(q for q in hook.questions if q["authid"] == "harry" and q["details"].get("ticket") == "hush")
    assert question["realm"] == "hook", question
    details = question["details"]
    assert details["authmethod"] == "ticket" and details["session"] > 0, details
    assert details["transport"]["peer"] == "127.0.0.1", details


async def dynamic(cases, callee, libraries, at):
    """The authenticator is a procedure of one client; all clients log in by it."""
    session = await callee.join(callee.link(0), at, "realm1")
    uri = f"dynamic.{callee.name}"
    secret = {"role": "member", "secret": "hush"}  # wampcra has no ticket yet: the keys below end with null
    table = {
        "ivan hush": "service",
        "judy hush": {"role": "member", "authid": "judith", "extra": {"n": 7}},
        "banned hush": {"error": "wamp.error.banned", "message": "not before Monday"},
        "rude hush": {"error": "com.example.rude", "message": "go away"},
        "lost hush": "no such role",
        "*": {"error": DENIED, "message": "nobody knows you"},
    }
    for nothing in ("null", "undefined", "None", "<nil>"):
        table[f"ivan {nothing}"] = secret
    await session.register(f"com.example.authenticate.{callee.name}", "table", table)

    def login(authid, secret, method="ticket"):
        return {"method": method, "authid": authid, "secret": secret}

    name = f"AUTH dynamic by {callee.name}"
    for library in libraries:
        await cases.good(library, name, uri, login("ivan", "hush"), "ivan", "service", "ticket", provider="dynamic")
        await cases.good(library, name, uri, login("ivan", "hush", "wampcra"), "ivan", "member", "wampcra")
        await cases.bad(library, name, uri, login("ivan", "?", "wampcra"))
        await cases.good(
            library, name, uri, login("judy", "hush"), "judith", "member", "ticket", secure=True, extra={"n": 7}
        )
        await cases.bad(library, name, uri, login("ivan", "?"), DENIED, "nobody knows you")
        await cases.bad(library, name, uri, login("banned", "hush"), "wamp.error.banned", "not before Monday")
        await cases.bad(library, name, uri, login("rude", "hush"), DENIED, "go away")
        await cases.bad(library, name, uri, login("lost", "hush"), "wamp.error.authentication_failed", "role")
    await session.leave()
    await cases.bad(
        callee,
        f"{name} that is gone",
        uri,
        login("ivan", "hush"),
        "wamp.error.authentication_failed",
        "not available",
    )
