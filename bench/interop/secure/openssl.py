"""The TLS listener as openssl s_client sees it, in the manner of testssl.sh. PROTOCOL 13; RFC 9325."""

import asyncio
import re

from authority import Authority
from router import EVERYTHING, free_port, realm

# Suites of TLS 1.2 that openssl knows, by what is wrong with them. Each of them has to be refused.
WEAK = {
    "no forward secrecy": "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA:AES256-SHA:AES128-SHA256",
    "no AEAD": "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:"
               "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA256",
    "triple DES, RC4, none, anonymous": "DES-CBC3-SHA:RC4-SHA:eNULL:aNULL:ADH-AES128-SHA",
    "export and low": "EXPORT:LOW:SEED-SHA:IDEA-CBC-SHA:CAMELLIA128-SHA",
    "DHE": "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384",
    "CCM and PSK": "ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-CCM:PSK-AES128-GCM-SHA256",
}
GOOD = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: wamp.2.json\r\n\r\n"
)


async def s_client(port, *arguments, send=b"", until=None, seconds=20):
    """Runs openssl s_client, sends something once it is connected, and returns all that it wrote. With until it goes
    on to that text, else to the end of its input."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments,
        stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT,
    )
    got = b""
    try:
        process.stdin.write(send)
        if until is None:
            process.stdin.close()
        async with asyncio.timeout(seconds):
            while until is None or until not in got:
                data = await process.stdout.read(1 << 16)
                if not data:
                    break
                got += data
    finally:
        if process.returncode is None and until is not None:
            process.kill()
        await process.wait()
    return got.decode("latin-1")


def connected(text):
    return re.search(r"New, TLSv[\d.]+, Cipher is (?!\(NONE\))\S+|Reused, TLSv", text) is not None


async def run(suite):
    elsewhere = suite.authority.issue("elsewhere.example", "elsewhere.example", "*.wild.example")
    staple = suite.authority.staple(suite.server)
    plain, both, asking, modern, ticketless = (free_port() for _ in range(5))
    certificates = [suite.server.config(ocsp=staple), elsewhere.config()]

    def listener(port, **tls):
        return {"address": f"127.0.0.1:{port}", "tls": {"certificates": certificates, **tls}}

    router = await suite.router(
        "openssl",
        listeners=[
            listener(plain), listener(both, plain="allow"), listener(asking, client_ca=suite.authority.file),
            listener(modern, min_version="1.3"), listener(ticketless, session_tickets=False),
        ],
        realms=[realm("realm1", {"anonymous": {"role": "all"}}, {"all": EVERYTHING})],
    )
    ca = ("-CAfile", suite.authority.file, "-verify_return_error")

    async def protocol(port, name, works):
        text = await s_client(port, name, "-cipher", "ALL:@SECLEVEL=0")
        assert connected(text) == works, text
        if not works:
            assert "alert" in text or "no protocols available" in text, text

    for port, where in ((plain, "TLS"), (both, "TLS beside plain")):
        for name in ("-tls1", "-tls1_1"):
            await suite.case(f"{where}: {name} is refused", protocol(port, name, False))
        for name in ("-tls1_2", "-tls1_3"):
            await suite.case(f"{where}: {name} is spoken", protocol(port, name, True))
    await suite.case("min_version 1.3: -tls1_2 is refused", protocol(modern, "-tls1_2", False))
    await suite.case("min_version 1.3: -tls1_3 is spoken", protocol(modern, "-tls1_3", True))

    async def ssl2_and_3():
        """openssl has neither any more: an SSL 3.0 ClientHello by hand. It gets an alert or the end."""
        body = b"\x03\x00" + bytes(32) + b"\x00" + b"\x00\x04\x00\x2f\x00\x0a" + b"\x01\x00"
        hello = b"\x16\x03\x00" + (len(body) + 4).to_bytes(2) + b"\x01" + len(body).to_bytes(3) + body
        reader, writer = await asyncio.open_connection("127.0.0.1", plain)
        writer.write(hello)
        answer = await asyncio.wait_for(reader.read(), 20)
        assert not answer or answer[0] == 0x15, answer
        writer.close()

    await suite.case("SSL 3.0 is refused", ssl2_and_3())

    async def weak(suites):
        text = await s_client(plain, "-tls1_2", "-cipher", f"{suites}:@SECLEVEL=0")
        assert not connected(text), text
        assert "handshake failure" in text or "no cipher" in text, text  # openssl may have none of them itself

    for why, suites in WEAK.items():
        await suite.case(f"suites with {why} are refused", weak(suites))

    async def good(name):
        text = await s_client(plain, "-tls1_2", "-cipher", name, *ca)
        assert f"Cipher is {name}" in text and "Verify return code: 0" in text, text

    for name in GOOD:
        await suite.case(f"{name} is spoken", good(name))

    async def modern_suites():
        for name in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            text = await s_client(plain, "-tls1_3", "-ciphersuites", name)
            assert f"Cipher is {name}" in text, text
        text = await s_client(plain, "-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256")
        assert not connected(text), text

    await suite.case("TLS 1.3 has its three suites", modern_suites())

    async def groups():
        for name, works in (("X25519", True), ("P-256", True), ("P-224", False)):
            assert connected(await s_client(plain, "-groups", name)) == works, name

    await suite.case("groups below 256 bits are refused", groups())

    async def renegotiation():
        text = await s_client(plain, "-tls1_2", *ca)
        assert "Secure Renegotiation IS supported" in text, text
        # R on a line of its own asks for a new handshake; the answer is an alert, or nothing and the end.
        text = await s_client(plain, "-tls1_2", send=b"R\n", until=b"RENEGOTIATING")
        text = await s_client(plain, "-tls1_2", send=b"R\n", until=b"never", seconds=20)
        assert "RENEGOTIATING" in text and ("no renegotiation" in text or "alert" in text or "error" in text), text

    await suite.case("a client cannot renegotiate", renegotiation())

    async def compression():
        for version in ("-tls1_2", "-tls1_3"):
            text = await s_client(plain, version, "-comp")
            assert connected(text) and "Compression: NONE" in text, text

    await suite.case("nothing is compressed", compression())

    async def alpn(offer, got):
        text = await s_client(plain, "-alpn", offer)
        if got is None:
            assert not connected(text) and "alert no application protocol" in text, text
        else:
            assert f"ALPN protocol: {got}" in text, text

    for offer, got in (("http/1.1", "http/1.1"), ("h2,http/1.1", "http/1.1"), ("h2", None), ("spdy/3", None)):
        await suite.case(f"ALPN {offer} gets {got}", alpn(offer, got))

    async def names(name, subject, *more):
        text = await s_client(plain, *(("-servername", name) if name else ("-noservername",)), *more)
        assert f"subject=CN = {subject}\n" in text, text

    for name, subject in (
        ("localhost", "server"), ("elsewhere.example", "elsewhere.example"), ("a.wild.example", "elsewhere.example"),
        ("unknown.example", "server"), (None, "server"),
    ):
        for version in ("-tls1_2", "-tls1_3"):
            await suite.case(f"SNI {name} picks {subject} {version}", names(name, subject, version))

    async def stapled():
        ways = [(port, version) for port in (plain, both, asking, ticketless) for version in ("-tls1_2", "-tls1_3")]
        for port, version in [*ways, (modern, "-tls1_3")]:
            text = await s_client(port, "-status", "-servername", "localhost", version, *ca)
            assert "OCSP Response Status: successful" in text and "Cert Status: good" in text, (port, version, text)
        text = await s_client(plain, "-status", "-servername", "elsewhere.example")
        assert "OCSP response: no response sent" in text, text

    await suite.case("the OCSP answer is stapled for the certificate that has one", stapled())

    async def resumes(port, version, works):
        session = str(suite.folder / f"session{port}{version}")
        # In TLS 1.3 tickets come after the handshake: the page is asked for so that there is time.
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        text = await s_client(port, version, "-sess_out", session, "-ign_eof", send=request)
        assert connected(text) and "200 OK" in text, text
        try:
            open(session).close()
        except FileNotFoundError:
            assert not works, "no ticket came"
            return
        text = await s_client(port, version, "-sess_in", session, "-ign_eof", send=request)
        assert "200 OK" in text and ("Reused, TLSv" in text) == works, text

    for version in ("-tls1_2", "-tls1_3"):
        await suite.case(f"{version} resumes", resumes(plain, version, True))
        await suite.case(f"{version} does not resume where tickets are off", resumes(ticketless, version, False))

    async def early_data():
        session = str(suite.folder / "early")
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        await s_client(plain, "-tls1_3", "-sess_out", session, "-ign_eof", send=request)
        path = suite.folder / "early.data"
        path.write_bytes(request)
        text = await s_client(plain, "-tls1_3", "-sess_in", session, "-early_data", str(path))
        assert "Early data was not sent" in text or "Early data was rejected" in text, text

    await suite.case("early data is not accepted", early_data())

    async def asks():
        text = await s_client(plain, *ca)
        assert "No client certificate CA names sent" in text and "Acceptable client certificate" not in text, text
        text = await s_client(asking, *ca)
        assert connected(text) and "CN = authority" in text.split("Acceptable client certificate CA names")[1], text
        client = suite.authority.issue("openssl client")
        foreign = Authority(suite.folder, "stranger").issue("strange client")
        for pair, works in ((client, True), (foreign, False)):
            request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            shown = ("-cert", pair.cert_file, "-key", pair.key_file)
            text = await s_client(asking, *shown, "-ign_eof", *ca, send=request)
            assert ("200 OK" in text) == works, text

    await suite.case("a client certificate is asked for only if there is a CA, and checked", asks())

    async def websocket():
        text = await s_client(plain, *ca, send=UPGRADE.encode(), until=b"wamp.2.json\r\n")
        assert "HTTP/1.1 101" in text and "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in text, text

    await suite.case("WebSocket over s_client", websocket())

    async def rawsocket():
        text = await s_client(plain, *ca, "-quiet", send=b"\x7f\xf1\0\0", until=b"\x7f\xf1\0\0")
        assert "\x7f\xf1\0\0" in text, text

    await suite.case("RawSocket over s_client", rawsocket())

    async def chain():
        for name in ("localhost", "127.0.0.1"):
            kind = "-verify_ip" if name[0].isdigit() else "-verify_hostname"
            text = await s_client(plain, *ca, kind, name)
            assert "Verification: OK" in text and "Verify return code: 0 (ok)" in text, text
        text = await s_client(plain, *ca, "-verify_hostname", "else.example")
        assert "hostname mismatch" in text, text

    await suite.case("the certificate is valid for its names only", chain())
    await router.stop()
