"""Apache Kafka as one KRaft node on loopback: the peer of the benchmark and the oracle of the
end-to-end scenarios.

Its settings are Kafka's defaults but for what one node needs (replication factors of one) and the
heap. Run it by itself to have an oracle at hand:

    python3 tests/bench/kafka_server.py --class-path 'FOLDER/lib/*' --work FOLDER
"""

import argparse
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness import HOST, Failure, Process, answers, free_port, run, wait_until  # noqa: E402

START_SECONDS_MAX = 90
# What Kafka's own start script gives the JVM.
JVM = [
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
]
LOGGING = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


class Kafka:
    """One Kafka node: formats its folder, starts, stops."""

    is_weir = False

    def __init__(self, class_path, work, heap="1G", port=None):
        self.folder = Path(work)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.controller_port = free_port()
        self.log4j = self.folder / "log4j2.xml"
        self.log4j.write_text(LOGGING)
        self.java = ["java", f"-Xmx{heap}", f"-Xms{heap}", *JVM]
        self.java += [f"-Dlog4j2.configurationFile={self.log4j}", "-cp", class_path]
        self.properties = self.folder / "server.properties"
        self.process = None
        self.first_answer_seconds = None

    @property
    def bootstrap(self):
        return f"{HOST}:{self.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Formats a new folder and starts; remembers the seconds to the first answer."""
        controller = f"{HOST}:{self.controller_port}"
        self.properties.write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{self.bootstrap}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={self.folder / 'kafka-logs'}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""
        )
        if not (self.folder / "kafka-logs" / "meta.properties").exists():
            tool = [*self.java, "kafka.tools.StorageTool"]
            cluster = run([*tool, "random-uuid"]).stdout.decode().split()[-1]
            run([*tool, "format", "-t", cluster, "-c", self.properties])
        began = time.monotonic()
        self.process = Process([*self.java, "kafka.Kafka", self.properties], self.folder / "log")

        def ready():
            if not self.process.running():
                raise Failure(f"Kafka ended at its start:\n{self.process.output()[-3000:]}")
            return answers(HOST, self.port)

        wait_until("Kafka's first answer", ready, START_SECONDS_MAX)
        self.first_answer_seconds = time.monotonic() - began
        return self

    def kill9(self):
        """Ends it with no chance to tidy up."""
        self.process.kill9()

    def stop(self):
        """Stops it; Kafka's own exit code after SIGTERM is 143."""
        if self.process and self.process.running():
            self.process.stop()


def main():
    """Runs a node until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--class-path", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    with Kafka(given.class_path, given.work, port=given.port) as kafka:
        print(f"{kafka.bootstrap} after {kafka.first_answer_seconds:.1f} s", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
