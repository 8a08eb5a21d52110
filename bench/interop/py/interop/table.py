"""The table of cases. A case is a coroutine function of a Stage; it runs on the links for which only is true."""

CASES = []


def case(name, only=lambda link: True):
    def add(function):
        CASES.append((name, only, function))
        return function

    return add


def binary(link):
    return link[1] != "json"


def one_link(link):
    """Cases that start a router of their own listen on TCP only; one link is enough."""
    return link[0] == "ws"
