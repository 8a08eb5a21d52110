"""Payload arrives as it was sent, with its types, as an event and through a call. PROTOCOL 14."""

import hashlib
import math
import os
import struct

from .stage import Inbox, echo
from .table import binary, case


def exact(value):
    """Returns a form that is equal only for equal values of one type: 1, 1.0 and True differ, 0.0 and -0.0 too."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack(">d", value))
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return ("bytes", data if len(data) < 1000 else hashlib.sha256(data).hexdigest())
    if isinstance(value, str) and len(value) > 1000:
        return ("text", len(value), hashlib.sha256(value.encode()).hexdigest())
    return (type(value).__name__, value)


async def travels(stage, value):
    """Sends value as an event and through a call and back, as an argument and as a keyword argument."""
    a, b = await stage.joins(2)
    inbox = Inbox()
    await a.subscribe(stage.uri("topic"), lambda args, kwargs, _: inbox.put(args, kwargs))
    await a.register(stage.uri("echo"), echo)
    await b.publish(stage.uri("topic"), ["event", value], {"value": value})
    result = await b.call(stage.uri("echo"), ["call", value], {"value": value})
    for args, kwargs in (result, (await inbox.take(1))[0]):
        assert exact(args[1]) == exact(value), f"{args[1]!r:.500} is not {value!r:.500}"
        assert exact(kwargs["value"]) == exact(value), f"{kwargs['value']!r:.500} is not {value!r:.500}"


VALUES = {
    "SER-08 null, true, false": [None, True, False, {"nil": None}],
    "SER-06 small integers": [0, 1, -1, 23, 24, 127, 128, -32, -33, 255, 256, -128, -129, 65535, 65536, -32769],
    "SER-06 integers around 2^31 and 2^32": [2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 1, 2**32],
    "SER-06 integers around 2^53": [2**53 - 1, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1],
    "SER-06 integers around 2^63 and 2^64": [2**63 - 1, 2**63, -(2**63), 2**64 - 1],
    "SER-07 floats that look like integers": [1.0, -1.0, 0.0, -0.0, 2.0**53],
    "SER-07 floats": [0.1, -0.5, 1e300, -1e-300, 123456.789, math.pi, 5e-324, 1.7976931348623157e308],
    "SER-11 text: ASCII, escapes, controls": ["", "a", '"quoted" \\ / \b\f\n\r\t', "\x01\x1f\x7f", "</script>", "\u2028"],
    "SER-11 text: astral, combining, right to left": ["😀🏳️‍🌈", "e\u0301", "\U0010ffff\U00010000", "שלום", "日本語"],
    "SER-08 nested lists and maps": [[[[[[]]]]], {"a": {"b": {"c": [{}, [], {"d": None}]}}}, [{"x": [1, {"y": 2}]}]],
    "SER-09 odd keys": {"": "empty", "with space": 1, "dotted.key": 2, "Ω": 3, "__class__": 4},
    "SER-26 a list of 10 000 items and a map of 1 000 keys": [list(range(10_000)), {f"k{n}": n for n in range(1000)}],
    "SER-01 binary of every octet, empty and long": [bytes(range(256)), b"", os.urandom(70_000)],
    "SER-04 binary and text side by side": ["EOP/kFMHXFJvX8BtT+N82w==", b"EOP/kFMHXFJvX8BtT+N82w==", {"b": [b"\x00", "0"]}],
}


def travelling(value):
    async def run(stage):
        await travels(stage, value)

    return run


for _name, _value in VALUES.items():
    case(_name)(travelling(_value))
case("SER-10 NaN and infinities", only=binary)(travelling([math.nan, math.inf, -math.inf]))
case("SER-25 1 MiB of text")(travelling("0123456789abcdeŵ" * 61_681))
case("SER-25 1 MiB of binary")(travelling(os.urandom(1 << 20)))
