"""What every end-to-end scenario and benchmark stands on: processes with an owner and an end,
brokers on loopback, waiting with a limit, figures from /proc.

It starts only what it ends, by process id, and it never waits without a limit. Servers listen on
loopback only. No rule of the broker is known here.
"""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 120
# The rewriter has passed when nothing has moved for so long.
QUIET_SECONDS = 4.0
HOST = "127.0.0.1"
# Settings of a broker that splits requests over shards and joins their answers, however few cores
# the machine has.
SEVERAL_SHARDS = {"shards": 3}


class Failure(Exception):
    """What was expected did not happen; the text says what was seen instead."""


def check(condition, text):
    """Fails with the text unless the condition holds."""
    if not condition:
        raise Failure(text)


def wait_until(what, condition, seconds=30.0, every=0.02):
    """Waits for a condition and gives back its value; names what it waited for when time is up."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {seconds:g} s for {what}")
        time.sleep(every)


_ports_given = set()


def free_port():
    """A port that is free for TCP and UDP on loopback now, and that this run gives out once."""
    for _ in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.bind((HOST, 0))
            port = tcp.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                try:
                    udp.bind((HOST, port))
                except OSError:
                    continue
        if port not in _ports_given:
            _ports_given.add(port)
            return port
    raise Failure("no free port on loopback")


class Process:
    """A process that we started: its id, its output in a file, its end."""

    _all = []

    def __init__(self, command, log, env=None, stdin=subprocess.DEVNULL, cwd=None, stdout=None):
        self.command = [str(word) for word in command]
        self.log = Path(log)
        self._file = open(self.log, "ab")
        self.child = subprocess.Popen(
            self.command,
            stdin=stdin,
            stdout=self._file if stdout is None else stdout,
            stderr=self._file,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        Process._all.append(self)

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child.poll() is None

    def kill9(self):
        """Ends it with no chance to tidy up."""
        if self.running():
            self.child.send_signal(signal.SIGKILL)
        self.child.wait(STOP_SECONDS_MAX)
        self._file.close()

    def stop(self, seconds=STOP_SECONDS_MAX):
        """Asks it to end and gives back its exit code."""
        if self.running():
            self.child.send_signal(signal.SIGTERM)
        try:
            code = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait(STOP_SECONDS_MAX)
            raise Failure(f"process {self.pid} did not end within {seconds} s of SIGTERM") from None
        finally:
            self._file.close()
        return code

    def wait(self, seconds):
        """Waits for its own end and gives back its exit code."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.command[:3]} did not end within {seconds} s") from None

    def output(self):
        """Everything it has printed."""
        return self.log.read_text(errors="replace")

    def cpu_seconds(self):
        """User and system time so far."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        """Resident memory now."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    @classmethod
    def ended_badly(cls):
        """What those printed last that ended by themselves and not well."""
        bad = [process for process in cls._all if (process.child.poll() or 0) > 0]
        return "".join(f"\n{process.log.name}: {process.output()[-600:]}" for process in bad)

    @classmethod
    def end_all(cls):
        """Ends whatever a scenario left running."""
        for process in cls._all:
            if process.running():
                process.kill9()
        cls._all.clear()


def run(command, stdin=None, seconds=COMMAND_SECONDS_MAX, ok=(0,), env=None, cwd=None):
    """Runs a command to its end; fails with its output on any exit code that is not `ok`."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"")[-2000:].decode(errors="replace")
        raise Failure(f"`{' '.join(command)[:300]}` ran over {seconds} s: {said}") from None
    if done.returncode not in ok:
        said = (done.stderr + done.stdout)[-3000:].decode(errors="replace")
        raise Failure(f"`{' '.join(command)[:300]}` ended with {done.returncode}: {said}")
    return done


def api_versions_frame(version=0, correlation=1):
    """An ApiVersions request, as the smallest question that only a working broker answers."""
    client = b"e2e"
    header = struct.pack(">hhih", 18, version, correlation, len(client)) + client
    return struct.pack(">i", len(header)) + header


def receive_exactly(connection, count):
    """So many bytes, or an error if the other side ends before."""
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("the connection ended")
        data += piece
    return data


def answers(host, port, seconds=1.0):
    """Whether a Kafka-protocol broker answers ApiVersions there."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            connection.settimeout(seconds)
            connection.sendall(api_versions_frame())
            (size,) = struct.unpack(">i", receive_exactly(connection, 4))
            return len(receive_exactly(connection, size)) == size
    except OSError:
        return False


def folder_bytes(folder, beginning=""):
    """What the files below a folder take on the disk, by blocks; only those whose names begin so
    (a text, or several)."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            if not name.startswith(beginning):
                continue
            try:
                total += os.stat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # It was removed between the listing and the look.
    return total


def make_room(folder, others, needed):
    """Sees to it that so many bytes are free where the folder is: what the other scenarios, by
    their names, left when they failed goes first."""
    for other in (folder.parent / name for name in others):
        if shutil.disk_usage(folder).free < needed and other != folder and other.exists():
            print(f"     removing {other} to make room", flush=True)
            shutil.rmtree(other, ignore_errors=True)
    free = shutil.disk_usage(folder).free
    check(free >= needed, f"it needs {needed / 1e9:.0f} GB free, there are {free / 1e9:.0f} GB")


class Env:
    """What a scenario is given: tools, a folder of its own, how large to be."""

    def __init__(self, options, name):
        self.weir_binary = options.weir
        self.java_class_path = options.java_class_path
        self.weir_load = options.weir_load
        self.weir_member = Path(options.weir_load or "weir-load").with_name("weir-member")
        self.kcat = options.kcat
        self.full = options.full
        self.against_kafka = options.against_kafka
        self.folder = Path(options.work) / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._count = 0

    def scale(self, small, full):
        """The small number in CI, the full one when all of it is asked for."""
        return full if self.full else small

    def log(self, name):
        self._count += 1
        return self.folder / f"{self._count:02}-{name}.log"

    def java(self, command, bootstrap_or_config, *args, seconds=COMMAND_SECONDS_MAX, ok=(0,)):
        """Runs our Java client to its end."""
        config = self.java_config(bootstrap_or_config)
        return run(self.java_command(command, config, *args), seconds=seconds, ok=ok)

    def java_command(self, command, config, *args):
        flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *flags, "-cp", self.java_class_path, "weir.Client", command, config, *args]

    def java_config(self, settings):
        """A file of properties, from a bootstrap address or from a table of settings."""
        if isinstance(settings, str):
            settings = {"bootstrap.servers": settings}
        self._count += 1
        path = self.folder / f"{self._count:02}-client.properties"
        # A properties file takes a backslash and a newline for its own.
        escape = lambda text: str(text).replace("\\", "\\\\").replace("\n", "\\n")
        path.write_text("".join(f"{key}={escape(value)}\n" for key, value in settings.items()))
        return path

    def broker(self, **options):
        """The broker under test: Weir, or Apache Kafka when the scenarios themselves are."""
        if self.against_kafka:
            # Only a run that proves the scenarios needs the peer.
            sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
            from kafka_server import Kafka

            return Kafka(self.against_kafka, self.folder / "kafka")
        return Weir(self, **options)


class Weir:
    """A `weir serve` of our own: start, kill, stop, and its command line."""

    is_weir = True

    def __init__(self, env, name="broker", tls=False, config=None, serve_args=(), metrics=False):
        self.env = env
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self.metrics_port = free_port() if metrics else None
        self.data = env.folder / f"{name}-data"
        self.log = env.folder / f"{name}.log"
        self.config = dict(config or {})
        self.serve_args = list(serve_args)
        self.process = None
        self.first_answer_seconds = None

    @property
    def bootstrap(self):
        return f"{HOST}:{self.port}"

    @property
    def tls_bootstrap(self):
        return f"{HOST}:{self.tls_port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process and self.process.running():
            self.process.kill9()

    def start(self, seconds=START_SECONDS_MAX):
        """Starts it and waits for its first answer on TCP; remembers how long that took."""
        listeners = ["--listen", self.bootstrap]
        if self.tls_port:
            listeners += ["--listen", f"tls://{self.tls_bootstrap}"]
        settings = [f"--set={key}={value}" for key, value in self.config.items()]
        if self.metrics_port:
            settings.append(f"--set=metrics.listen={HOST}:{self.metrics_port}")
        serve = ["serve", "--data", self.data, *listeners, *settings, *self.serve_args]
        began = time.monotonic()
        self.process = Process([self.env.weir_binary, *serve], self.log)

        def ready():
            if not self.process.running():
                raise Failure(f"the broker ended at its start:\n{self.process.output()[-3000:]}")
            return answers(HOST, self.port)

        wait_until("the broker's first answer", ready, seconds, every=0.003)
        self.first_answer_seconds = time.monotonic() - began
        return self

    def kill9(self):
        self.process.kill9()

    def stop(self):
        code = self.process.stop()
        check(code == 0, f"a clean stop ended with {code}:\n{self.process.output()[-2000:]}")

    def store_figures(self):
        """What the store tells of itself on the page of a broker with `metrics`: name without
        `weir_store_` -> number."""
        page = f"http://{HOST}:{self.metrics_port}/metrics"
        with urllib.request.urlopen(page, timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(r"^weir_store_(\w+) (-?\d+)$", text, re.MULTILINE)
        check(found, f"no figures of the store on {page}:\n{text[:500]}")
        return {name: int(number) for name, number in found}

    def check_store(self, seconds):
        """`weir store check` of the folder of the stopped broker: every checksum and place."""
        check_store = [self.env.weir_binary, "store", "check", "--data", self.data, "--json"]
        report = json.loads(run(check_store, seconds=seconds).stdout)
        check(not report["problems"], f"the store is damaged: {report['problems'][:3]}")
        return report

    def profile(self, name="admin"):
        """The profile that the first start wrote into the data folder."""
        found = sorted(self.data.rglob(f"{name}.weir")) or sorted(self.data.rglob("*.weir"))
        check(found, f"no profile below {self.data}")
        return found[0]

    def cli(self, *args, transport="quic", **options):
        """Runs a `weir` command against this broker to its end."""
        return run(self.cli_command(*args, transport=transport), cwd=self.env.folder, **options)

    def cli_command(self, *args, transport="quic"):
        """A `weir` command over `quic`, `tls` (TCP with a certificate) or `plain` (TCP without)."""
        command = [self.env.weir_binary, *args]
        command += ["--transport", "quic" if transport == "quic" else "tcp"]
        command += ["--bootstrap", self.tls_bootstrap if transport == "tls" else self.bootstrap]
        # Without a profile a client is plain; nothing may lie in the folder that it runs in.
        return command if transport == "plain" else [*command, "--profile", self.profile()]

    def cli_json(self, *args, **options):
        """What a command prints with `--json`: one value, or a list of one a line."""
        printed = self.cli(*args, "--json", **options).stdout.decode()
        try:
            return json.loads(printed)
        except json.JSONDecodeError:
            return [json.loads(line) for line in printed.splitlines() if line.strip()]

    def create_topic(self, name, partitions=1, **config):
        """Makes a topic by the command line; underscores in names of configs stand for dots."""
        configs = []
        for key, value in config.items():
            configs += ["--config", f"{key.replace('_', '.')}={value}"]
        self.cli("topic", "create", name, "--partitions", partitions, *configs)


def new_lines_after(broker):
    """A function that gives the lines which the broker has logged since now. Called with what is
    expected, it waits until there are some."""
    before = len(broker.process.output())

    def lines(expected=None):
        new = lambda: [l for l in broker.process.output()[before:].splitlines() if l.strip()]
        return wait_until(f"a line of the log about {expected}", new) if expected else new()

    return lines


def rewriter_passed(broker, seconds):
    """Waits until the rewriter has nothing left to do, and tells how long that took and what the
    store holds then: no file waits, none changes, no processor time is taken."""
    began = time.monotonic()
    seen = {"since": began, "state": None, "cpu": 0.0}
    moving = (
        "rewriter_waiting_files",
        "rewritten_bytes_total",
        "rewriter_publications_total",
        "unlinked_files_total",
        "lane_files",
    )

    def still():
        figures = broker.store_figures()
        cpu = broker.process.cpu_seconds()
        state = (folder_bytes(broker.data), [figures[name] for name in moving])
        busy = cpu - seen["cpu"] > 0.3 or figures["rewriter_waiting_files"] > 0
        if busy or state != seen["state"]:
            seen["since"] = time.monotonic()
        seen.update(state=state, cpu=cpu, figures=figures)
        return time.monotonic() - seen["since"] > QUIET_SECONDS

    try:
        wait_until("the rewriter to pass", still, seconds, every=1.0)
    except Failure as failure:
        raise Failure(f"{failure}: {seen.get('figures')}") from None
    return time.monotonic() - began - QUIET_SECONDS, seen["figures"]


class Watchdog:
    """Ends all processes of a scenario when its time is up, so that nothing waits for ever."""

    def __init__(self, seconds):
        self.late = False
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def _ring(self):
        self.late = True
        for process in list(Process._all):
            if process.running():
                process.child.send_signal(signal.SIGKILL)

    def __enter__(self):
        self._timer.start()
        return self

    def __exit__(self, *_):
        self._timer.cancel()
