"""Asking over xend's socket: real answers, and whatever else may sit behind a socket. Runs on Python 2.7."""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time

import pytest

import xend_rpc
from tests import ground_truth, serving
from tests.serving import HEAD, response

PROLOGUE = b"<?xml version='1.0'?>\n"
LIMIT_S = 5
SHORT_S = 0.5


def recorded(name):
    return ground_truth.transcript("xmlrpc/" + name, "xml").encode("utf-8")


def answer(value):
    value = b"<param><value>" + value + b"</value></param>"
    return response(PROLOGUE + b"<methodResponse><params>" + value + b"</params></methodResponse>")


def text_of(value):
    return answer(b"<string>" + value + b"</string>")


def listed(value):
    return answer(b"<array><data><value><string>" + value + b"</string></value></data></array>")


@pytest.fixture
def folder():
    # The path of a socket may have 107 bytes only.
    path = tempfile.mkdtemp(prefix="rpc")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def served(folder):
    """A function that serves a socket, one connection after the other, by what it is given: bytes that are
    sent after the request was read, or a function that takes the connection; it returns the path."""
    requests = []
    stopping = []

    def serve(behaviour, listen=5):
        path = os.path.join(folder, "s")
        stopping.append(serving.serve(path, behaviour, requests, listen))
        return path

    serve.requests = requests
    yield serve
    for server in stopping:
        serving.stop(server)


def ask(path, method="xend.domains", arguments=(1,), limit_s=LIMIT_S):
    return xend_rpc.ask(path, method, arguments, limit_s)


def kind_of(path, limit_s=LIMIT_S):
    began = time.time()
    with pytest.raises((xend_rpc.Unreachable, xend_rpc.Unanswered, xend_rpc.Refused)) as caught:
        ask(path, limit_s=limit_s)
    assert time.time() - began < limit_s + 2
    return caught.value.kind


# What a real xend answered.


def test_domains_are_nested_lists_with_numbers_and_text(served):
    path = served(response(recorded("domains-with-state")))
    found = ask(path, "xend.domains_with_state", [True, "all", 0])
    assert [domain[0] for domain in found] == ["domain", "domain"]
    zero, guest = (dict(domain[1:]) for domain in found)
    assert (zero["domid"], zero["name"], zero["state"]) == (0, "Domain-0", "r-----")
    assert guest["cpu_time"] == 172.590533618
    assert isinstance(guest["online_vcpus"], int)
    assert guest["cpus"] == [[0]]
    assert ["ramdisk", "/root/guest/initrd.gz"] in guest["image"]
    assert type(guest["name"]) is type(guest["image"][0]) is str


def test_facts_of_the_host(served):
    facts = dict(ask(served(response(recorded("node-info"))), "xend.node.info", []))
    assert (facts["host"], facts["xen_major"], facts["free_memory"]) == ("xen1", 4, 934)


def test_an_unknown_domain_is_a_fault_with_the_name(served):
    with pytest.raises(xend_rpc.Refused) as caught:
        ask(served(response(recorded("unknown-domain"))), "xend.domain", ["nosuch", 0])
    assert (caught.value.kind, caught.value.code, caught.value.text) == ("fault", 3, "nosuch")
    assert not caught.value.is_unknown_method
    assert type(caught.value.text) is str


def test_an_unknown_method_is_a_fault_whatever_form_it_has(served):
    with pytest.raises(xend_rpc.Refused) as caught:
        ask(served(response(recorded("unknown-method"))), "xend.nosuch", [])
    assert (caught.value.kind, caught.value.code, caught.value.is_unknown_method) == ("fault", 1, True)
    assert caught.value.text == "MESSAGE_METHOD_UNKNOWN xend.nosuch"


def test_the_unknown_method_of_a_3_0_3(served):
    fault = PROLOGUE + (
        b"<methodResponse><fault><value><struct>"
        b"<member><name>faultCode</name><value><int>1</int></value></member>"
        b'<member><name>faultString</name><value><string>method "xend.nosuch" is not supported</string>'
        b"</value></member></struct></value></fault></methodResponse>"
    )
    with pytest.raises(xend_rpc.Refused) as caught:
        ask(served(response(fault)), "xend.nosuch", [])
    assert (caught.value.code, caught.value.text) == (1, 'method "xend.nosuch" is not supported')
    assert caught.value.is_unknown_method


def test_what_is_asked_is_one_post_of_xml(served):
    ask(served(listed(b"x")), "xend.domain.migrate", ["w<&'\"", "xen2", True, 8002, None])
    head, _, body = served.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /RPC2 HTTP/1.0\r\n")
    assert ("Content-Length: %d" % len(body)).encode("ascii") in head
    assert b"<methodName>xend.domain.migrate</methodName>" in body
    assert b"<value><string>w&lt;&amp;" in body
    assert b"<value><boolean>1</boolean></value>" in body
    assert b"<value><int>8002</int></value>" in body


# Text.


def test_text_that_is_not_ascii_is_native_text(served):
    name = b"w\xc3\xa9b"
    assert ask(served(listed(name))) == [name if str is bytes else name.decode("utf-8")]


@pytest.mark.parametrize("name", [b"w\xe9b", b"w\x01b", b"w\x00b", b"w\xed\xa0\x80b"])
def test_a_name_that_xml_cannot_carry_is_no_answer(served, name):
    assert kind_of(served(listed(name))) == "silent"


def test_one_single_string_is_unescaped(served):
    found = ask(served(text_of(b"it's \\xc3\\xa9\\n\\\\")))
    assert found == ("it's \xc3\xa9\n\\" if str is bytes else "it's \u00e9\n\\")


def test_one_single_string_that_is_not_escaped_is_no_answer(served):
    assert kind_of(served(text_of(b"a\nb"))) == "silent"


def test_nothing_is_none(served):
    assert ask(served(answer(b"<nil/>"))) is None


# Nobody there.


def test_no_socket(folder):
    assert kind_of(os.path.join(folder, "none")) == "absent"
    assert kind_of(os.path.join(folder, "none", "none")) == "absent"


def test_a_path_that_no_socket_can_have(folder):
    path = os.path.join(folder, "x" * 200)
    assert kind_of(path) == "absent"


def test_a_socket_that_a_killed_xend_has_left(folder):
    path = os.path.join(folder, "s")
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(path)
    left.close()
    assert kind_of(path) == "absent"


def test_a_file_that_is_no_socket(folder):
    path = os.path.join(folder, "s")
    open(path, "w").close()
    assert kind_of(path) == "absent"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_socket_of_somebody_else_is_not_asked(served):
    path = served(listed(b"lie"))
    os.chown(path, 12345, 12345)
    assert kind_of(path) == "absent"
    assert served.requests == []


# Somebody there, and no answer.


def result(xml):
    return response(PROLOGUE + b"<methodResponse>" + xml + b"</methodResponse>")


NO_ANSWERS = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\n",
    "no length": HEAD + b"\r\n",
    "no body": response(b""),
    "less than promised": response(recorded("domains-with-state"))[:-9],
    "error 500": response(recorded("node-info"), HEAD.replace(b"200 OK", b"500 Internal error")),
    "error 404": response(recorded("node-info"), HEAD.replace(b"200 OK", b"404 Not here")),
    "ssh": b"SSH-2.0-OpenSSH_4.3\r\n",
    "the relocation port": b"(ok (help quit receive))\n",
    "a web page": response(b"<html><body>It works</body></html>"),
    "no XML": response(recorded("node-info").replace(b"</array>", b"</struct>", 1)),
    "no number": response(recorded("node-info").replace(b"<int>1</int>", b"<int>one</int>")),
    "an endless number": response(
        recorded("node-info").replace(b"<int>1</int>", b"<int>" + b"1" * 500 + b"</int>")
    ),
    "no value": result(b"<params></params>"),
    "two values": result(b"<params>" + b"<param><value>a</value></param>" * 2 + b"</params>"),
    "a fault without code": result(b"<fault><value><int>3</int></value></fault>"),
    "deeply nested": answer(
        b"<array><data><value>" * 3000 + b"<nil/>" + b"</value></data></array>" * 3000
    ),
    "another type": answer(b"<base64>QUJD</base64>"),
    "entities": response(
        PROLOGUE
        + b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><methodResponse><params>'
        + b"<param><value><string>&b;</string></value></param></params></methodResponse>"
    ),
    "another encoding": response(recorded("node-info").decode("ascii").encode("utf-16")),
}


@pytest.mark.parametrize("name", sorted(NO_ANSWERS))
def test_what_is_no_answer_of_xend(served, name):
    assert kind_of(served(NO_ANSWERS[name])) == "silent"


def test_the_time_limit_counts_while_bytes_trickle_in(served):
    def trickle(connection):
        for byte in range(1000):
            connection.sendall(response(recorded("node-info"))[byte : byte + 1])
            time.sleep(0.05)

    assert kind_of(served(trickle), SHORT_S) == "silent"


def test_the_time_limit_counts_while_nothing_comes(served):
    gone = threading.Event()
    try:
        assert kind_of(served(lambda _connection: gone.wait(60)), SHORT_S) == "silent"
    finally:
        gone.set()


def test_a_server_whose_queue_is_full_is_waited_for_and_no_longer(folder):
    path = os.path.join(folder, "s")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(0)
    waiting = []
    with contextlib.closing(server):
        while True:
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            waiting.append(client)
            client.setblocking(False)
            if client.connect_ex(path):
                break
        assert kind_of(path, SHORT_S) == "silent"
    for client in waiting:
        client.close()


@pytest.mark.parametrize("says_length", [True, False])
def test_an_answer_without_end_is_not_kept(served, says_length):
    sent = []

    def pour(connection):
        if says_length:
            connection.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)
            sent.append(65536)

    assert kind_of(served(pour)) == "silent"
    assert sum(sent) < 2 << 20


def test_the_answer_is_taken_also_from_a_server_that_keeps_the_connection(served):
    gone = threading.Event()

    def stay(connection):
        connection.sendall(listed(b"x"))
        gone.wait(60)

    try:
        assert ask(served(stay)) == ["x"]
    finally:
        gone.set()


def test_an_answer_in_pieces_is_taken(served):
    def slowly(connection):
        whole = listed(b"x")
        for begin in range(0, len(whole), 7):
            connection.sendall(whole[begin : begin + 7])

    assert ask(served(slowly)) == ["x"]
