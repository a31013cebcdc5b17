"""A QUIC implementation that is not ours (aioquic, in Python) talks to the broker: Kafka's frames
on bidirectional streams, answers in order on each, many streams at once. Without a certificate,
or with another ALPN, it is refused, and the broker says why.
"""

import asyncio
import struct
from pathlib import Path

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration

from harness import HOST, Weir, answers, api_versions_frame, check, new_lines_after
from security import librdkafka

ABOUT = "another QUIC implementation as a client; no certificate, wrong ALPN"
SECONDS_MAX = 60
ORACLE = False

STREAMS = 20
REQUESTS_A_STREAM = 50
WAIT_SECONDS = 15


def run(env):
    with Weir(env, tls=True) as broker:
        table = librdkafka(env, broker)
        good = configuration(table)
        show_certificate(env, good, table)
        asyncio.run(talk(broker.port, good))
        said = []
        nobody = configuration(table)
        said.append(refused(broker, "no certificate", nobody))
        foreign = configuration(table)
        foreign.alpn_protocols = ["h3"]
        show_certificate(env, foreign, table)
        said.append(refused(broker, "another ALPN", foreign))
    print("\n".join(f"     {line}" for line in said))
    return f"{STREAMS} streams with {REQUESTS_A_STREAM} requests each, answered in order"


def configuration(table):
    """Trusts the broker's CA; shows no certificate yet."""
    made = QuicConfiguration(is_client=True, alpn_protocols=["weir"], server_name=HOST)
    made.load_verify_locations(table["ssl.ca.location"])
    made.idle_timeout = WAIT_SECONDS
    return made


def show_certificate(env, settings, table):
    """Takes the client's certificate; aioquic bears no empty line behind it."""
    certificate = env.folder / "certificate.pem"
    text = Path(table["ssl.certificate.location"]).read_text()
    certificate.write_text(text.strip() + "\n")
    settings.load_cert_chain(certificate, table["ssl.key.location"])


async def talk(port, settings):
    """Many streams of one connection, each with many requests in flight."""
    async with connect(HOST, port, configuration=settings) as connection:
        streams = [one_stream(connection) for _ in range(STREAMS)]
        await asyncio.wait_for(asyncio.gather(*streams), WAIT_SECONDS)


async def one_stream(connection):
    """All requests first, then all answers, which must come in the order of the requests."""
    reader, writer = await connection.create_stream()
    for number in range(REQUESTS_A_STREAM):
        writer.write(api_versions_frame(correlation=number))
    for number in range(REQUESTS_A_STREAM):
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        correlation, error = struct.unpack(">ih", (await reader.readexactly(size))[:6])
        check((correlation, error) == (number, 0), f"{(correlation, error)} instead of {number}")
    writer.write_eof()


class Refusal(QuicConnectionProtocol):
    """Remembers how the connection ended."""

    ended = None

    def quic_event_received(self, event):
        super().quic_event_received(event)
        if type(event).__name__ == "ConnectionTerminated":
            Refusal.ended = f"{event.error_code:#x} {event.reason_phrase}"


def refused(broker, name, settings):
    """The connection must end without an answer, with one line in the broker's log."""
    lines = new_lines_after(broker)
    Refusal.ended = None

    async def attempt():
        async with connect(
            HOST, broker.port, configuration=settings, create_protocol=Refusal
        ) as connection:
            # In TLS 1.3 a client is connected before its certificate has been looked at.
            reader, writer = await connection.create_stream()
            writer.write(api_versions_frame())
            return await asyncio.wait_for(reader.read(100), WAIT_SECONDS)

    try:
        answer = asyncio.run(attempt())
        check(not answer, f"{name}: it got an answer: {answer!r}")
    except ConnectionError:
        pass  # Refused during the handshake.
    check(Refusal.ended is not None, f"{name}: the connection did not end")
    said = lines(f"{name} over QUIC")
    check(answers(HOST, broker.port), f"the broker does not answer after {name}")
    check(len(lines()) == 1, f"{name} gave {len(lines())} lines: {lines()[:4]}")
    return f"{name}: the client sees {Refusal.ended!r}; the log says: {said[0]}"
