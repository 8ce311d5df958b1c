"""Something that answers at a UNIX socket where xend is asked. Runs on Python 2.7, too."""

import contextlib
import socket
import threading

HEAD = b"HTTP/1.1 200 OK\r\nServer: BaseHTTP/0.3 Python/2.7.18\r\nContent-Type: text/xml\r\n"


def response(body, head=HEAD):
    """An answer of xend's HTTP server with this body."""
    return head + ("Content-Length: %d\r\n\r\n" % len(body)).encode("ascii") + body


def serve(path, behaviour, requests, listen=5):
    """
    Serve a socket, one connection after the other, by BEHAVIOUR: bytes that are sent after the request was
    read, or a function that takes the connection. Requests are appended to a list. Returns the socket, which
    whoever calls `stop` for it ends.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(listen)

    def run():
        while True:
            try:
                connection = server.accept()[0]
            except EnvironmentError:
                return
            with contextlib.closing(connection):
                requests.append(_request(connection))
                try:
                    if callable(behaviour):
                        behaviour(connection)
                    else:
                        connection.sendall(behaviour)
                except EnvironmentError:
                    pass

    thread = threading.Thread(target=run)
    thread.daemon = True
    thread.start()
    return server


def stop(server):
    with contextlib.closing(server):
        server.shutdown(socket.SHUT_RDWR)


def _request(connection):
    data = b""
    while b"</methodCall>" not in data:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    return data
