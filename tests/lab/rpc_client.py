"""Asking xend over its XML-RPC socket, as the xmlrpclib in xm does.

Here: one request and its answer, and how both are written and read, for xend's side as well. Python's own
xmlrpc.client takes several times as long to be imported as the rest of the lab's xm takes altogether.
"""

import _socket
import pyexpat

REQUEST = "POST /RPC2 HTTP/1.0\r\nHost: \r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
PIECE = 1 << 16
INTS = range(-(1 << 31), 1 << 31)
SCALARS = {"int": int, "i4": int, "double": float, "boolean": "1".__eq__, "string": str, "name": str}


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
    params = "".join("<param>\n%s</param>\n" % _value(one) for one in arguments)
    return _encoded(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>%s</methodName>\n<params>\n%s</params>\n"
        "</methodCall>\n" % (method, params)
    )


def dumps_answer(answer):
    """Return the body of an answer; a Fault is one, too."""
    if isinstance(answer, Fault):
        shown = {"faultCode": answer.code, "faultString": answer.text}
        content = "<fault>\n%s</fault>\n" % _value(shown)
    else:
        content = "<params>\n<param>\n%s</param>\n</params>\n" % _value(answer)
    return _encoded("<?xml version='1.0'?>\n<methodResponse>\n%s</methodResponse>\n" % content)


def _encoded(text):
    # Python 2 sends whatever bytes a name has.
    return text.encode("utf-8", "surrogateescape")


def _value(value):
    """Return the XML of a value, as Python's own client writes it."""
    if isinstance(value, bool):
        shown = "<boolean>%d</boolean>" % value
    elif isinstance(value, int):
        if value not in INTS:
            raise OverflowError("int exceeds XML-RPC limits")
        shown = "<int>%d</int>" % value
    elif isinstance(value, float):
        shown = "<double>%r</double>" % value
    elif value is None:
        return "<value><nil/></value>"
    elif isinstance(value, str):
        shown = "<string>%s</string>" % _escaped(value)
    elif isinstance(value, dict):
        members = "".join(
            "<member>\n<name>%s</name>\n%s</member>\n" % (_escaped(key), _value(one))
            for key, one in value.items()
        )
        shown = "<struct>\n%s</struct>" % members
    else:
        shown = "<array><data>\n%s</data></array>" % "".join(_value(one) for one in value)
    return "<value>%s</value>\n" % shown


def _escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def loads(body):
    """Return the value in the body of an answer; raise Fault, Unreadable."""
    (value,), _method, is_fault = _parsed(body)
    if is_fault:
        raise Fault(value["faultCode"], value["faultString"])
    return value


def loads_request(body):
    """Return the arguments and the method in the body of a request; raise Unreadable."""
    arguments, method, _is_fault = _parsed(body)
    return arguments, method


def _parsed(body):
    stack, marks, text, methods, faults = [], [], [], [], []
    # A value without a type is a string.
    untyped = False

    def start(tag, _attributes):
        nonlocal untyped
        text.clear()
        untyped = tag == "value"
        if tag in ("array", "struct"):
            marks.append(len(stack))
        elif tag == "fault":
            faults.append(tag)

    def end(tag):
        nonlocal untyped
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
        elif tag == "value" and untyped:
            stack.append("".join(text))
        elif tag == "methodName":
            methods.append("".join(text))
        untyped = False

    parser = pyexpat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text.append
    parser.Parse(body, True)
    return stack, methods[0] if methods else None, bool(faults)
