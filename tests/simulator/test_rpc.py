"""xend's XML-RPC socket in the lab, judged by what a real one answered, and asked with Python's own client.

Nothing here runs the product.
"""

import http.client
import os
import re
import socket
import stat
import threading
import time
import xmlrpc.client
from contextlib import closing

import pytest

from tests import ground_truth
from tests.lab import rpc_client, sxp
from tests.lab.fleet import HostSpec
from tests.lab.layout import wait_until
from tests.simulator.acts import DEPRECATED, LIMIT_S, calm, finish, start_held

NOT_SERVED = "Error: Unable to connect to xend: %s. Is xend running?\n"


@pytest.fixture(scope="module")
def fleet(new_fleet):
    fleet = new_fleet(
        HostSpec("xen1", time_scale=0.03, rpc=True),
        HostSpec("xen2", time_scale=0.03, rpc=True),
        HostSpec("old1", version="3.0.3", time_scale=0.03, rpc=True),
        HostSpec("mid1", version="3.4.0", time_scale=0.03, rpc=True),
        HostSpec("way1", time_scale=0.03, rpc=False),
    )
    fleet.start()
    return fleet


@pytest.fixture
def hosts(fleet):
    """The fleet's hosts, quiet, with the configuration that they came with."""
    configs = {host.name: host.config.read_bytes() for host in fleet}
    yield fleet
    for host in fleet:
        if host.config.read_bytes() != configs[host.name]:
            host.config.write_bytes(configs[host.name])
            assert host.restart().returncode == 0
    calm(*fleet)


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("xend", timeout=LIMIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def said(host, method, *arguments):
    """The status and the body of the answer."""
    request = xmlrpc.client.dumps(arguments, method, allow_none=True)
    with closing(Connection(host.usual_socket)) as connection:
        connection.request("POST", "/RPC2", request, {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/xml"
        return answer.status, answer.read()


def ask(host, method, *arguments):
    status, body = said(host, method, *arguments)
    assert status == 200
    (value,), _method = xmlrpc.client.loads(body)
    return value


def fault(host, method, *arguments):
    with pytest.raises(xmlrpc.client.Fault) as caught:
        ask(host, method, *arguments)
    return caught.value.faultCode, caught.value.faultString


def names(domains):
    return [sxp.child_value(domain, "name") for domain in domains]


def recorded(name):
    (value,), _method = xmlrpc.client.loads(ground_truth.transcript("xmlrpc/" + name, "xml"))
    return value


def is_mapping(value):
    """Whether a list is a word and then pairs, as (domain (domid 1) (name web01))."""
    return len(value) > 1 and all(
        isinstance(one, list) and one and type(one[0]) is str for one in value[1:]
    )


def same_form(ours, real):
    """Whether two values have the same types, as far as both have the same keys."""
    if not (isinstance(ours, list) and isinstance(real, list)):
        return type(ours) is type(real)
    if is_mapping(ours) and is_mapping(real):
        ours, real = ({one[0]: one[1:] for one in value[1:]} for value in (ours, real))
        return all(same_form(ours[key], real[key]) for key in set(ours) & set(real))
    return all(same_form(*pair) for pair in zip(ours, real, strict=False))


# What is answered.


def test_domains_are_told_as_a_real_xend_tells_them(hosts):
    hosts["xen1"].create_guest("nov01", memory_mib=128)
    ours = ask(hosts["xen1"], "xend.domains_with_state", True, "all", 0)
    real = recorded("domains-with-state")
    assert names(ours) == names(real) == ["Domain-0", "nov01"]
    for our, told in zip(ours, real, strict=True):
        keys, known = ([item[0] for item in one[1:]] for one in (our, told))
        assert [key for key in keys if key in known] == known
        assert same_form(our, told)
        for item in our[1:]:
            assert type(item[0]) is str and len(item) == 2
    for wrong in (["domain", ["domid", "0"]], ["domain", ["image", ["linux", ["superpages", 0]]]]):
        assert not same_form(wrong, real[0])


def test_one_domain_is_told_by_its_name_id_or_uuid(hosts):
    guest = hosts["xen1"].create_guest("web01")
    for name in ("web01", guest.domid, str(guest.domid), guest.uuid):
        assert sxp.child_value(ask(hosts["xen1"], "xend.domain", name, 0), "uuid") == guest.uuid
    assert ask(hosts["xen1"], "xend.domain", "Domain-0")[1] == ["domid", 0]


def test_the_host_is_told_as_a_real_xend_tells_it(hosts):
    ours, real = ask(hosts["xen1"], "xend.node.info"), recorded("node-info")
    assert [key for key, _value in ours] == [key for key, _value in real]
    assert [type(value) for _key, value in ours] == [type(value) for _key, value in real]
    assert [key for key, _value in ask(hosts["xen1"], "xend.node.info", 0)] == [
        key for key, _value in real if key not in ("cpu_topology", "numa_info")
    ]


def test_what_there_is_none_of_is_said_as_a_real_xend_says_it(hosts):
    for name, question in (
        ("unknown-domain", ("xend.domain", "nosuch", 0)),
        ("unknown-method", ("xend.nosuch",)),
    ):
        status, body = said(hosts["xen1"], *question)
        assert (status, body.decode()) == (200, ground_truth.transcript("xmlrpc/" + name, "xml"))


def test_a_refusal_has_a_code_and_a_text(hosts):
    assert fault(hosts["xen1"], "xend.domain.destroy", 0) == (
        2,
        "Cannot destroy privileged domain 0",
    )
    assert fault(hosts["xen1"], "xend.domain.pause", "nosuch") == (3, "nosuch")
    code, _text = fault(hosts["xen1"], "xend.domains_with_state", True)
    assert code == 1


def test_a_managed_domain_that_does_not_run_has_neither_id_nor_state(hosts):
    hosts["xen1"].define_guest("db01")
    (found,) = [
        one
        for one in ask(hosts["xen1"], "xend.domains_with_state", True, "all", 0)
        if "db01" in names([one])
    ]
    assert sxp.child(found, "domid") is None and sxp.child(found, "state") is None
    assert ask(hosts["xen1"], "xend.domains_with_state", False, "all", 0) == ["Domain-0", "db01"]
    assert ask(hosts["xen1"], "xend.domains_with_state", False, "halted", 0) == ["db01"]
    # Since 3.1 this is about those that run.
    assert names(ask(hosts["xen1"], "xend.domains", 1)) == ["Domain-0"]


def test_a_domain_that_comes_is_told_with_its_own_id(hosts):
    guest = hosts["xen1"].create_guest("web01")
    for _number in range(guest.domid):
        hosts["xen2"].hypervisor.reserve_domid()
    hosts["xen2"].delay("shell", LIMIT_S)
    migration = hosts["xen1"].xm_start("migrate", "--live", "web01", "xen2")

    def coming():
        return "web01" in ask(hosts["xen2"], "xend.domains_with_state", False, "all", 0)

    assert wait_until(coming, LIMIT_S)
    found = ask(hosts["xen2"], "xend.domain", "web01", 0)
    assert sxp.child_value(found, "domid") > guest.domid
    assert sxp.child_value(found, "state") == "------"
    hosts["xen2"].delay("shell")
    assert finish(migration) == (0, "", DEPRECATED)


def test_3_0_3_knows_fewer_methods_and_tells_all_domains(hosts):
    host = hosts["old1"]
    host.create_guest("web01")
    assert fault(host, "xend.domains_with_state", True, "all", 0) == (
        1,
        'method "xend.domains_with_state" is not supported',
    )
    found = ask(host, "xend.domains", 1)
    assert names(found) == ["Domain-0", "web01"]
    assert ask(host, "xend.domains", 0) == ["Domain-0", "web01"]
    # It takes one argument there.
    assert fault(host, "xend.domain", "web01", 0)[0] == 1
    assert ask(host, "xend.domain", "web01") != []
    assert type(sxp.child_value(found[1], "cpu_weight")) is float
    assert dict(map(tuple, ask(host, "xend.node.info")))["xend_config_format"] == 2


def test_3_4_has_states_but_no_pause_flags(hosts):
    offered = ask(hosts["mid1"], "system.listMethods")
    assert {"xend.domains_with_state", "xend.domain.delete"} < set(offered)
    assert "xend.domain.setpauseflag" not in offered
    assert "xend.domain.setpauseflag" in ask(hosts["xen1"], "system.listMethods")


def test_a_xend_that_knows_nothing_of_a_guest(hosts):
    hosts["xen1"].create_guest("web01")
    hosts["xen1"].fault("no-name", "web01")
    ours = ask(hosts["xen1"], "xend.domains_with_state", True, "all", 0)
    assert sorted([item[0] for item in domain[1:]] for domain in ours)[-1] == ["domid", "uuid"]
    hosts["xen1"].mend()
    hosts["xen1"].fault("no-state", "web01")
    assert sxp.child_value(ask(hosts["xen1"], "xend.domain", "web01"), "state") == "??????"


def test_a_name_that_xml_cannot_carry(hosts):
    """Real ones cannot be asked any more then, neither by xm nor otherwise."""
    hosts["xen1"].create_guest("w\udce9b")
    _status, body = said(hosts["xen1"], "xend.domains_with_state", True, "all", 0)
    assert b"w\xe9b" in body
    result = hosts["xen1"].xm_run("list")
    assert result.returncode == 1
    assert "Unexpected error: <class 'xml.parsers.expat.ExpatError'>" in result.stdout


# How it is said.


def raw(host, data):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(host.usual_socket)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def test_what_is_no_request_is_hung_up_on(hosts):
    host = hosts["xen1"]
    assert raw(host, b"") == b""
    assert raw(host, b"POST /RPC2 HTTP/1.0\r\n\r\n") == b""
    assert raw(host, b"POST /RPC2 HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello") == b""
    assert raw(host, b"GET /RPC2 HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 501 ")
    assert ask(host, "xend.node.info")


def test_one_connection_may_ask_more_than_once(hosts):
    request = xmlrpc.client.dumps((), "xend.node.info")
    with closing(Connection(hosts["xen1"].usual_socket)) as connection:
        for _time in range(2):
            connection.request("POST", "/anywhere", request)
            assert b"<string>xen1</string>" in connection.getresponse().read()


def test_who_asks_does_not_wait_for_others(hosts):
    source, target = hosts["xen1"], hosts["xen2"]
    source.create_guest("web01")
    migration = start_held(source, target)
    idle = socket.socket(socket.AF_UNIX)
    with closing(idle):
        idle.connect(source.usual_socket)
        assert "migrating-web01" in names(ask(source, "xend.domains_with_state", True, "all", 0))
    assert finish(migration, target) == (0, "", DEPRECATED)


def test_a_guest_is_moved_by_whoever_asks(hosts):
    hosts["xen1"].create_guest("web01")
    assert ask(hosts["xen1"], "xend.domain.migrate", "web01", "xen2", 1, 0, -1, None, 0) is None
    hosts["xen2"].wait_alive("web01")


# When somebody can be asked.


def test_only_root_comes_near_the_socket(hosts):
    folder = os.path.dirname(hosts["xen1"].usual_socket)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_a_socket_that_is_switched_off(hosts):
    host = hosts["xen1"]
    guest = host.create_guest("web01")
    text = host.config.read_text()
    assert host.stop().returncode == 0
    os.unlink(host.usual_socket)
    host.config.write_text(text + "(xend-unix-xmlrpc-server no)\n")
    assert host.start().returncode == 0
    assert host.running and not os.path.exists(host.usual_socket)
    result = host.xm_run("list")
    error = DEPRECATED + NOT_SERVED % "No such file or directory"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", error)
    assert not host.answers and host.guests()["web01"].domid == guest.domid
    host.config.write_text(text)
    assert host.restart().returncode == 0 and host.answers
    host.config.write_text(text + "(xend-unix-xmlrpc-server perhaps)\n")
    assert host.restart().returncode == 1
    assert (
        "invalid xend config xend-unix-xmlrpc-server: expected bool: perhaps"
        in host.log.read_text()
    )


def test_a_xend_that_has_ended_leaves_its_socket_behind(hosts):
    host = hosts["xen1"]
    for end in (host.stop, host.kill_xend):
        end()
        assert stat.S_ISSOCK(os.stat(host.usual_socket).st_mode)
        with pytest.raises(ConnectionRefusedError):
            ask(host, "xend.node.info")
        assert host.xm_run("list").stderr == DEPRECATED + NOT_SERVED % "Connection refused"
        host.bring_up()


def test_a_xend_that_starts_has_its_socket_before_it_answers(hosts):
    host = hosts["xen1"]
    assert host.stop().returncode == 0
    os.unlink(host.usual_socket)
    host.delay("answer", LIMIT_S)
    starting = threading.Thread(target=host.start)
    starting.start()

    def is_there():
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(host.usual_socket) == 0

    assert wait_until(is_there, LIMIT_S)
    with pytest.raises(TimeoutError):
        rpc_client.call(host.usual_socket, "xend.node.info", limit_s=0.5)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ask(host, "xend.node.info")))
    asking.start()
    time.sleep(0.2)
    assert answers == []
    host.delay("answer", 0)
    for thread in (starting, asking):
        thread.join(LIMIT_S)
    assert len(answers) == 1


def test_a_host_where_only_xm_knows_the_way(hosts):
    host = hosts["way1"]
    host.create_guest("web01")
    assert not os.path.exists(host.usual_socket)
    assert host.answers and "web01" in host.xm_run("list").stdout


# The lab's xm.


def test_the_runs_of_xm_are_noted(hosts):
    before = len(hosts["xen1"].xm_calls())
    hosts["xen1"].xm_run("list", "--long", "it's\n")
    hosts["xen1"].xm_run()
    assert hosts["xen1"].xm_calls()[before:] == [["list", "--long", "it's\n"], []]


def test_the_client_of_xm_says_and_understands_what_python_s_own_does(hosts):
    arguments = ("a<&>'\"b", 1, -1, 0.5, True, None, [["x"], []])
    ours = rpc_client.dumps("xend.any", arguments)
    assert ours.decode() == xmlrpc.client.dumps(arguments, "xend.any", allow_none=True)
    assert xmlrpc.client.loads(ours) == (arguments, "xend.any")
    for value in [*arguments, {"Status": "Failure", "of": [1], "<&>": {}}]:
        text = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True)
        assert rpc_client.loads(text.encode()) == value
    with pytest.raises(rpc_client.Fault) as caught:
        rpc_client.call(hosts["xen1"].socket, "xend.domain", "nosuch")
    assert (caught.value.code, caught.value.text) == (3, "nosuch")


def test_the_server_of_xend_says_and_understands_what_python_s_own_does():
    values = ("a<&>'\"b", -1, 1 << 31 - 1, 0.5, False, None, [["x"], []], {"Status": {"<&>": [1]}})
    for value in values:
        theirs = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True)
        assert rpc_client.dumps_answer(value).decode() == theirs
    theirs = xmlrpc.client.dumps(xmlrpc.client.Fault(3, "a<&>b"), methodresponse=True)
    assert rpc_client.dumps_answer(rpc_client.Fault(3, "a<&>b")).decode() == theirs
    request = xmlrpc.client.dumps(values, "xend.any", allow_none=True)
    assert rpc_client.loads_request(request.encode()) == (list(values), "xend.any")
    untyped = "<params><param><value>a&lt;b</value></param><param><value><i4>7</i4></value></param></params>"
    request = "<methodCall><methodName>xend.any</methodName>%s</methodCall>" % untyped
    assert rpc_client.loads_request(request.encode()) == (["a<b", 7], "xend.any")
    for side in (rpc_client.dumps_answer, lambda value: rpc_client.dumps("xend.any", [value])):
        with pytest.raises(OverflowError):
            side(1 << 31)


def test_xm_lists_the_same_as_the_descriptions_say(hosts):
    hosts["xen1"].create_guest("web01", vcpus=2)
    hosts["xen1"].define_guest("db01")
    (table,) = {hosts["xen1"].xm_run("list", "Domain-0", "web01", "db01").stdout}
    rows = [line.split() for line in table.splitlines()[1:]]
    assert [row[0] for row in rows] == ["Domain-0", "web01", "db01"]
    assert rows[1][1:4] == [str(hosts["xen1"].guests()["web01"].domid), "96", "2"]
    # It has no id, no state and no VCPUs that are online.
    assert rows[2][1:] == ["96", "1", "0.0"]
    long = hosts["xen1"].xm_run("list", "--long", "web01").stdout
    (described,) = sxp.decode_text(sxp.parse(long.encode()))
    told = ask(hosts["xen1"], "xend.domain", "web01", 0)
    assert [item[0] for item in described[1:]] == [item[0] for item in told[1:]]
    assert re.search(r"\(cpu_time \d+\.\d+\)", long)
