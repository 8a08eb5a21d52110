"""Logins of Autobahn for Python. A login is {"method", "authid", "secret", "binding"}; secret is a ticket or password,
for cryptosign the private key in hex."""

import ssl

from autobahn.wamp.auth import create_authenticator


def tls_context(tls):
    """Returns the context for an address whose tls holds paths of PEM files: ca, perhaps cert and key, and max."""
    context = ssl.create_default_context(cafile=tls["ca"])
    if tls.get("cert"):
        context.load_cert_chain(tls["cert"], tls["key"])
    if tls.get("max") == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


class Certificate:
    """The methods tls and cookie: the transport says it all."""

    authextra = None

    def on_welcome(self, _session, _authextra):
        return None


def authenticator(login):
    """Returns the library's answer to challenges. It has no way to send AUTHENTICATE.Extra: no wamp-scram."""
    method, authid, secret = login["method"], login["authid"], login.get("secret")
    if method in ("tls", "cookie"):
        return Certificate()
    options = {"authid": authid}
    match method:
        case "ticket":
            options["ticket"] = secret
        case "wampcra":
            options["secret"] = secret
        case "scram":
            options["password"] = secret
        case "cryptosign":
            options["privkey"] = secret
            if login.get("binding"):
                options["authextra"] = {"channel_binding": login["binding"]}
    return create_authenticator(method, **options)
