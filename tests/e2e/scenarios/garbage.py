"""Garbage at the door: random bytes on every port, a frame of 2 GB, a frame cut in the middle, no
certificate, a certificate of somebody else's CA, an unknown API, an unknown version. Each gets one
clear line in the broker's log; the broker lives, answers, and does not grow.
"""

import random
import socket
import ssl
import struct

from harness import HOST, Weir, answers, api_versions_frame, check, new_lines_after, receive_exactly

ABOUT = "garbage, huge and cut frames, wrong certificates"
SECONDS_MAX = 120
ORACLE = False

GROWTH_BYTES_MAX = 16 << 20
WAIT_SECONDS = 10.0


def run(env):
    dice = random.Random(11)
    with Weir(env, tls=True) as broker, Weir(env, name="stranger", tls=True) as stranger:
        cases = {
            "random bytes on TCP": lambda: tcp(broker.port, dice.randbytes(4096), end=True),
            "random bytes on TLS": lambda: tcp(broker.tls_port, dice.randbytes(4096), end=True),
            "a random datagram": lambda: udp(broker.port, b"\0" + dice.randbytes(1200)),
            "a frame of 2 GB": lambda: tcp(broker.port, b"\x7f\xff\xff\xff" + bytes(4096)),
            "a frame of negative size": lambda: tcp(broker.port, struct.pack(">i", -5)),
            "a frame cut in the middle": lambda: tcp(
                broker.port, struct.pack(">i", 5000) + api_versions_frame()[4:], end=True
            ),
            "an unknown API": lambda: tcp(broker.port, request(30_000, 0)),
            "an unknown version": lambda: tcp(broker.port, request(3, 99)),
            "no certificate": lambda: tls(broker, None),
            "a stranger's certificate": lambda: tls(broker, certificate_files(env, stranger)),
        }
        said = [f"{name}: {one_line(broker, name, case)}" for name, case in cases.items()]
        api_versions_of_the_future(broker.port)
        told = []
        case = lambda: told.append(wrong_ca_over_quic(broker, stranger))
        said.append(f"wrong CA over QUIC: {one_line(broker, 'wrong CA over QUIC', case)}")
        said.append(f"and its client is told: {told[0]}")
        before = warm_memory(broker, cases, dice)
        storm(broker, cases, dice, env.scale(40, 2000))
        after = broker.process.memory_bytes()
        check(broker.process.running(), "the broker died")
        check(answers(HOST, broker.port), "the broker does not answer any more")
        growth = after - before
        check(growth <= GROWTH_BYTES_MAX, f"the broker grew by {growth >> 20} MB")
        check("panicked" not in broker.process.output(), "something panicked in the broker")
    print("\n".join(f"     {line}" for line in said))
    return f"{len(cases) + 2} kinds, memory {before >> 20} -> {after >> 20} MB"


def request(api, version):
    """A request header of any API and version."""
    body = struct.pack(">hhih", api, version, 7, 3) + b"e2e"
    return struct.pack(">i", len(body)) + body


def tcp(port, data, end=False):
    """Sends bytes and waits until the broker ends the connection. With `end` this side ends first:
    bytes that could still become a frame are waited for, as they should be."""
    with socket.create_connection((HOST, port), timeout=WAIT_SECONDS) as connection:
        try:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass  # A reset says the same as an end.


def udp(port, data):
    """One datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, (HOST, port))


def tls(broker, files):
    """A TLS connection with that certificate, or none. In TLS 1.3 the refusal comes after the
    client believes itself connected, so it reads until the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if files:
        context.load_cert_chain(*files)
    with socket.create_connection((HOST, broker.tls_port), timeout=WAIT_SECONDS) as connection:
        try:
            with context.wrap_socket(connection) as secure:
                secure.sendall(api_versions_frame())
                answer = secure.recv(100)
                check(not answer, f"an unknown client got an answer: {answer!r}")
        except (ssl.SSLError, ConnectionError):
            pass


def certificate_files(env, stranger):
    """Certificate and key of a client that another broker's CA vouches for."""
    from security import librdkafka

    table = librdkafka(env, stranger)
    paths = []
    for name in ("ssl.certificate", "ssl.key"):
        if f"{name}.location" in table:
            paths.append(table[f"{name}.location"])
        else:
            path = env.folder / f"stranger-{name}.pem"
            path.write_text(table[f"{name}.pem"])
            paths.append(str(path))
    return paths


def one_line(broker, name, case):
    """Runs a case and gives back the one line that the broker logged for it."""
    lines = new_lines_after(broker)
    case()
    lines(name)
    # Whatever else it has to say comes at once; an answer to a fresh question is later than it.
    check(answers(HOST, broker.port), f"the broker does not answer after {name}")
    said = lines()
    check(len(said) == 1, f"{name} gave {len(said)} lines: {said[:4]}")
    return said[0]


def api_versions_of_the_future(port):
    """KIP-511: an ApiVersions of an unknown version is answered in version 0, with error 35."""
    with socket.create_connection((HOST, port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(api_versions_frame(version=99, correlation=42))
        (size,) = struct.unpack(">i", receive_exactly(connection, 4))
        correlation, error = struct.unpack(">ih", receive_exactly(connection, size)[:6])
        check((correlation, error) == (42, 35), f"ApiVersions 99 got {(correlation, error)}")


def wrong_ca_over_quic(broker, stranger):
    """Our own client with another broker's profile: refused, and told why."""
    from harness import run as run_command

    command = [broker.env.weir_binary, "topic", "list", "--bootstrap", broker.bootstrap]
    command += ["--profile", stranger.profile(), "--transport", "quic"]
    done = run_command(command, ok=range(1, 100), seconds=30)
    said = done.stderr.decode().strip()
    check("certificate" in said.lower(), f"the client says nothing of certificates: {said}")
    return said.splitlines()[-1]


def warm_memory(broker, cases, dice):
    """The memory after each way has been walked a few times."""
    storm(broker, cases, dice, 5)
    return broker.process.memory_bytes()


def storm(broker, cases, dice, rounds):
    """Every case again and again, with random datagrams on the QUIC port between."""
    for _ in range(rounds):
        for case in cases.values():
            case()
        for size in (1, 20, 1200, 1452, 4000):
            udp(broker.port, dice.randbytes(size))
            # One that looks like a first QUIC packet.
            udp(broker.port, b"\xc3\x00\x00\x00\x01" + dice.randbytes(size))
