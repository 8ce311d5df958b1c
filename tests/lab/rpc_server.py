"""xend's XML-RPC server: what may be asked for by which version, and how it is said.

Here: the methods with their arguments as in server/XMLRPCServer.py, faults, and HTTP as util/xmlrpclib2.py
speaks it. What the methods do is in domains.py and migration.py, how XML-RPC is written in rpc_client.py; the
socket is xend.py's. Python's own http.server takes longer to be imported than all the rest of a xend.
"""

import time

from tests.lab import description, migration, relocation, rpc_client
from tests.lab.domains import NoDomain, XendError

# XendClient.py.
INTERNAL, GENERIC, INVALID_DOMAIN = 1, 2, 3
GARBLED = b"<html><body>It works!<br></body></html>"


class Methods:
    """What the xend of a host offers: {name: function}, all arguments as its version takes them."""

    def __init__(self, domains):
        self.domains = domains
        self.layout = domains.layout
        key = domains.key
        modern = key >= (3, 1)
        since_3_2, since_4_1 = key >= (3, 2), key >= (4, 1)
        self.offered = {
            "xend.domain": self.domain if modern else self.domain_3_0,
            "xend.domains": self.running if modern else self.all_3_0,
            "xend.domain.create": self.create,
            "xend.domain.destroy": lambda domid: domains.destroy(domid),
            "xend.domain.getDeviceSxprs": self.devices,
            "xend.domain.getVCPUInfo": self.vcpus,
            "xend.domain.migrate": self.migrate(),
            "xend.domain.pause": self.pause if since_3_2 else lambda domid: domains.pause(domid),
            "xend.domain.restore": self.restore if modern else self.restore_3_0,
            "xend.domain.save": self.save
            if modern
            else lambda domid, dst: domains.save(domid, dst),
            "xend.domain.setName": lambda domid, name: domains.rename(domid, name),
            "xend.domain.unpause": lambda domid: domains.unpause(domid),
            "xend.domain.waitForDevices": lambda domid: self.domain(domid) and None,
            "xend.node.info": self.info if since_4_1 else lambda: self.info(0),
            "system.listMethods": lambda: sorted(self.offered),
        }
        if modern:
            self.offered["xend.domains_with_state"] = self.with_state
            self.offered["xend.domain.delete"] = lambda domid: domains.delete(domid)
        if since_4_1:
            self.offered["xend.domain.setpauseflag"] = lambda dom, flag=False: (
                self.domain(dom) and None
            )

    # Whether more is wanted (`full`) makes no difference in the lab.

    def domain(self, domid, full=0):
        return self.domains.described(str(domid))

    def domain_3_0(self, domid):
        return self.domains.described(str(domid))

    def with_state(self, detail, state, full):
        found = self.domains.all_described(str(state).lower())
        return found if detail else [description.sxp.child_value(one, "name") for one in found]

    def running(self, detail=True, full=False):
        return self.with_state(detail, "running", full)

    def all_3_0(self, detail=1):
        return self.with_state(detail >= 1, "all", False)

    def info(self, show_numa=1):
        return self.domains.info(bool(show_numa))

    def create(self, config):
        return self.domain(self.domains.create(config))

    def save(self, domid, dst, checkpoint=False):
        self.domains.save(domid, dst)

    def restore(self, src, paused=False):
        return self.domain(relocation.restore_file(self.domains, src, paused))

    def restore_3_0(self, src):
        relocation.restore_file(self.domains, src)

    def pause(self, domid, state=False):
        self.domains.pause(domid)

    def devices(self, domid, deviceClass):
        # xm would print them as tables, for which the lab knows no figures.
        return self.domain(domid) and []

    def vcpus(self, domid):
        return self.domains.vcpu_info(str(domid))

    def migrate(self):
        """Return the method that moves a domain, with the arguments that this version takes."""
        domains = self.domains

        def migrate_3_0(domid, dst, live=False, resource=0, port=0):
            migration.migrate(domains, domid, dst, live, port, -1, None)

        def migrate_3_3(domid, dst, live=False, port=0, node=-1, ssl=None):
            migration.migrate(domains, domid, dst, live, port, node, ssl)

        def migrate(domid, dst, live=False, port=0, node=-1, ssl=None, chs=False):
            migration.migrate(domains, domid, dst, live, port, node, ssl, bool(chs))

        if domains.key < (3, 3):
            return migrate_3_0
        return migrate_3_3 if domains.key < (4, 0) else migrate

    def answer(self, data):
        """Return the body of the answer to the body of a request; raise what xend dies of in mid-call."""
        arguments, method = rpc_client.loads_request(data)
        self.layout.pause("question")
        if self.layout.has_fault("garbled"):
            return GARBLED
        try:
            value = self.call(method, arguments)
        except NoDomain as error:
            value = rpc_client.Fault(INVALID_DOMAIN, str(error))
        except XendError as error:
            value = rpc_client.Fault(GENERIC, str(error))
        except Exception as error:
            self.domains.log.failure(
                "xmlrpclib2:185", "Internal error handling %s" % method, "%r" % error
            )
            value = rpc_client.Fault(INTERNAL, str(error))
        if isinstance(value, str):
            value = repr(value)[1:-1]
        return rpc_client.dumps_answer(value)

    def call(self, method, arguments):
        function = self.offered.get(method)
        if function is None and self.domains.key >= (3, 1):
            # XendAPI.XendAPIAsyncProxy; the older ones raise what Python's own server raises.
            return {"Status": "Failure", "ErrorDescription": ["MESSAGE_METHOD_UNKNOWN", method]}
        if function is None:
            raise Exception('method "%s" is not supported' % method)
        most = function.__code__.co_argcount - hasattr(function, "__self__")
        if not most - len(function.__defaults__ or ()) <= len(arguments) <= most:
            raise TypeError("%s() takes other arguments (%d given)" % (method, len(arguments)))
        return function(*arguments)


def serve(connection, methods):
    """Answer one request after the other that come over a connection; raise what ends it in the midst."""
    with connection.makefile("rb") as stream:
        while _serve_one(connection, stream, methods):
            pass


def _serve_one(connection, stream, methods):
    """Answer one request; return whether another may follow."""
    words = stream.readline().decode("latin-1").split()
    if not words:
        return False
    fields = {}
    while (line := stream.readline().decode("latin-1")).strip():
        name, _colon, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    if len(words) != 3 or words[0] != "POST":
        connection.sendall(_head("501 Unsupported method (%r)" % words[0], 0, "Connection: close\r\n"))
        return False
    body = methods.answer(stream.read(int(fields["content-length"])))
    connection.sendall(_head("200 OK", len(body), "Content-Type: text/xml\r\n") + body)
    wish = fields.get("connection", "").lower()
    return wish != "close" if words[2] == "HTTP/1.1" else wish == "keep-alive"


def _head(status, length, more):
    """Return the beginning of an answer, as BaseHTTPServer of Python 2 writes it."""
    now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    text = "HTTP/1.1 %s\r\nServer: BaseHTTP/0.3 Python/2.7.18\r\nDate: %s\r\n%sContent-Length: %d\r\n\r\n"
    return (text % (status, now, more, length)).encode()
