"""Asking xend over its XML-RPC socket, as the xmlrpclib in xm does.

Here: one request and its answer. Python's own xmlrpc.client takes several times as long to be imported as
the rest of the lab's xm takes altogether.
"""

import _socket
import pyexpat

REQUEST = "POST /RPC2 HTTP/1.0\r\nHost: \r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
PIECE = 1 << 16
SCALARS = {"int": int, "double": float, "boolean": "1".__eq__, "string": str, "name": str}


Unreadable = pyexpat.ExpatError


class Fault(Exception):
    """xend refuses, with a code and a text."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code
        self.text = text


class NoAnswer(Exception):
    """xend has hung up."""


def call(path, method, *arguments, limit_s=None):
    """Return what the xend at the socket `path` answers; raise Fault, NoAnswer, OSError, Unreadable."""
    body = dumps(method, arguments)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(limit_s)
        connection.connect(path)
        try:
            connection.sendall((REQUEST % len(body)).encode() + body)
            answer = b""
            while piece := connection.recv(PIECE):
                answer += piece
        except ConnectionError:
            raise NoAnswer from None
    finally:
        connection.close()
    head, _blank, body = answer.partition(b"\r\n\r\n")
    if not head:
        raise NoAnswer
    return loads(body)


def dumps(method, arguments):
    """Return the body of a request."""
    values = "".join("<param>%s</param>\n" % _value(one) for one in arguments)
    text = (
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>%s</methodName>\n<params>\n%s</params>\n"
        % (
            method,
            values,
        )
    )
    return (text + "</methodCall>\n").encode("utf-8", "surrogateescape")


def _value(value):
    if isinstance(value, bool):
        shown = "<boolean>%d</boolean>" % value
    elif isinstance(value, int):
        shown = "<int>%d</int>" % value
    elif isinstance(value, float):
        shown = "<double>%r</double>" % value
    elif value is None:
        shown = "<nil/>"
    elif isinstance(value, str):
        text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        shown = "<string>%s</string>" % text
    else:
        shown = "<array><data>%s</data></array>" % "".join(_value(one) for one in value)
    return "<value>%s</value>" % shown


def loads(body):
    """Return the value in the body of an answer; raise Fault, Unreadable."""
    stack, marks, text, faults = [], [], [], []

    def start(tag, _attributes):
        text.clear()
        if tag in ("array", "struct"):
            marks.append(len(stack))
        elif tag == "fault":
            faults.append(tag)

    def end(tag):
        if tag in SCALARS:
            stack.append(SCALARS[tag]("".join(text)))
        elif tag == "nil":
            stack.append(None)
        elif tag in ("array", "struct"):
            mark = marks.pop()
            items = stack[mark:]
            stack[mark:] = [
                items if tag == "array" else dict(zip(items[::2], items[1::2], strict=True))
            ]

    parser = pyexpat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text.append
    parser.Parse(body, True)
    (value,) = stack
    if faults:
        raise Fault(value["faultCode"], value["faultString"])
    return value
