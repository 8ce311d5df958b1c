"""
Asking xend over its own UNIX socket, as xm does: XML-RPC in one HTTP request.

One question, one answer, within a time limit whatever the other side does. What the answers mean is known
elsewhere; nothing here knows Salt.
"""

import ast
import errno
import os
import re
import socket
import stat
import time

try:
    import xmlrpc.client as xmlrpc
except ImportError:
    import xmlrpclib as xmlrpc

# xend 3.0.3 to 4.4 answers whatever path is asked for; its xm asks for this one (util/xmlrpclib2.py).
REQUEST = "POST /RPC2 HTTP/1.0\r\nHost: xend\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
HEAD = re.compile(br"HTTP/1\.[01] 200 .*\r\nContent-Length: *(?P<length>[0-9]{1,18})\r\n", re.I | re.S)

# A domain takes about 5 KiB, so this is thousands of them.
LARGEST = 16 << 20
LONGEST_HEAD = 1 << 16
PIECE = 1 << 16
DEEPEST = 50
RETRY_S = 0.02
SILENCE = "xend did not answer"

# All that Python 2's xmlrpclib, and so xend, ever writes. What else XML knows (entities, other encodings)
# serves only those who mean harm, as do endless numbers, which Python 2 reads in the square of their length.
PROLOGUE = b"<?xml version='1.0'?>\n"
FOREIGN = re.compile(
    br"<(?!/?(?:methodResponse|params?|fault|value|array|data|string|int|double|boolean|nil/?|struct|member|name)>)"
    br"|[0-9]{400}"
)

# The code of all that goes wrong inside xend, unknown methods among it (XendClient.py), which only the words
# tell apart: those of Python's SimpleXMLRPCServer and, since 3.1, of the XenAPI.
INTERNAL = 1
UNKNOWN_METHOD = re.compile(r'method ".*" is not supported\Z|MESSAGE_METHOD_UNKNOWN\b')

TEXT = type(b"".decode("ascii"))


class Unreachable(EnvironmentError):
    """
    There is no xend at this socket: none runs, it is configured not to have one, or this is not root.
    """

    kind = "absent"


class Unanswered(EnvironmentError):
    """
    Somebody is at the socket, but did not say in time anything that could be understood.
    """

    kind = "silent"


class Refused(ValueError):
    """
    xend answered that it would not: its code, its text, and whether it does not know the method, are
    attributes.
    """

    kind = "fault"

    def __init__(self, code, text):
        ValueError.__init__(self, "xend answered with fault %s: %s" % (code, text))
        self.code = code
        self.text = text
        self.is_unknown_method = code == INTERNAL and bool(UNKNOWN_METHOD.match("%s" % (text,)))


def ask(path, method, arguments, limit_s):
    """
    Ask xend and return its answer: nested lists of text (str), int, float, bool and None.

    path
        xend's socket
    method, arguments
        what to ask, as `xend.domain` and ["web01", 0]
    limit_s
        seconds that it may take altogether

    The errors tell by their attribute `kind` what happened, also where Salt has loaded this file and nobody
    can name the classes: "absent" (nobody could be asked), "silent" (asked, and no answer that can be
    understood; what was asked may be done all the same) or "fault" (xend refused; with `code` and `text`:
    code 3 with the name for an unknown domain, 1 for what broke inside xend and for an unknown method, which
    is what `is_unknown_method` tells).
    """
    deadline = _clock() + limit_s
    body = xmlrpc.dumps(tuple(arguments), method, allow_none=True)
    if not isinstance(body, bytes):
        # xend cannot read what is no UTF-8 and hangs up; another name would be another guest.
        body = body.encode("utf-8", "surrogatepass")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(connection, path, deadline)
        connection.sendall((REQUEST % len(body)).encode("ascii") + body)
        answer = _body(connection, deadline)
    except (Unreachable, Unanswered):
        raise
    except socket.timeout:
        raise Unanswered(errno.ETIMEDOUT, SILENCE)
    except socket.error as exc:
        # As when xend is killed meanwhile.
        raise Unanswered(exc.errno, "xend hung up: %s" % exc)
    finally:
        connection.close()
    return _understood(answer, deadline)


def _connect(connection, path, deadline):
    """
    Connect to the socket of root or of whoever asks: anybody could lay another one into a folder that anybody
    may write to, and its answers would decide what happens to guests.
    """
    try:
        found = os.stat(path)
    except OSError as exc:
        raise Unreachable(exc.errno, exc.strerror, path)
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid not in (0, os.geteuid()):
        raise Unreachable(errno.EPERM, "no socket of root's", path)
    while True:
        connection.settimeout(_left_s(deadline))
        code = connection.connect_ex(path)
        if code != errno.EAGAIN:
            break
        # Its queue is full, for which nothing else waits.
        time.sleep(RETRY_S)
    if code:
        raise Unreachable(code, os.strerror(code), path)


def _left_s(deadline):
    left_s = deadline - _clock()
    if left_s <= 0:
        raise Unanswered(errno.ETIMEDOUT, SILENCE)
    return left_s


def _body(connection, deadline):
    """
    The body of the HTTP response. Every xend says how long it is.
    """
    data, begin, end = bytearray(), 0, LONGEST_HEAD
    while len(data) < end:
        connection.settimeout(_left_s(deadline))
        piece = connection.recv(PIECE)
        data += piece
        blank = data.find(b"\r\n\r\n")
        if not begin and blank >= 0:
            head = HEAD.match(bytes(data[: blank + 2]))
            if not head or int(head.group("length")) > LARGEST:
                break
            begin = blank + 4
            end = begin + int(head.group("length"))
        if not piece:
            break
    if not begin or len(data) < end:
        raise Unanswered(errno.EPROTO, "this is no answer of xend: %s" % repr(bytes(data[:200])).lstrip("b"))
    return bytes(data[begin:end])


def _understood(answer, deadline):
    parser, reader = xmlrpc.getparser()
    try:
        if not answer.startswith(PROLOGUE) or FOREIGN.search(answer, len(PROLOGUE)):
            raise ValueError("not what xend writes")
        for begin in range(0, len(answer), PIECE):
            parser.feed(answer[begin : begin + PIECE])
            if _clock() > deadline:
                raise ValueError("too long to be read in time")
        parser.close()
        (value,) = reader.close()
        value = _plain(value)
        if isinstance(value, str):
            value = _unescaped(value)
    except xmlrpc.Fault as exc:
        raise Refused(exc.faultCode, _plain(exc.faultString))
    except Exception as exc:
        # Nonsense ends in all kinds of errors of the parsers. xend itself writes what cannot be read where a
        # guest's name has control characters or is not in UTF-8.
        raise Unanswered(errno.EBADMSG, "xend's answer cannot be read: %s" % exc)
    if isinstance(value, dict) and value.get("Status") == "Failure":
        # Since 3.1, unknown methods are answered as XenAPI's are (XendAPIAsyncProxy in XendAPI.py).
        raise Refused(INTERNAL, " ".join("%s" % word for word in value.get("ErrorDescription") or ()))
    return value


def _plain(value, depth=0):
    """
    An answer with lists for all sequences and str for all text (Python 2: in UTF-8, as it came).
    """
    if depth > DEEPEST:
        raise ValueError("lists within lists without end")
    if isinstance(value, (list, tuple)):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return dict((_plain(key), _plain(one, depth + 1)) for key, one in value.items())
    if isinstance(value, TEXT) and TEXT is not str:
        return value.encode("utf-8")
    return value


def _unescaped(text):
    """
    An answer that is one single string comes as Python's repr has it between the quotes.
    """
    data = ast.literal_eval("b'%s'" % text.replace("'", r"\047"))
    return data if str is bytes else data.decode("utf-8", "surrogateescape")


def _clock():
    """
    Seconds since some moment, on a clock that nobody sets (Python 2 has no time.monotonic).
    """
    return os.times()[4]
