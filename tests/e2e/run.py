#!/usr/bin/env python3
"""Runs the end-to-end scenarios one after the other and counts what passed.

`cargo xtask e2e` calls it with the tools it has prepared. It holds no scenario: each is a file of
the folder `scenarios` with ABOUT, SECONDS_MAX, ORACLE (whether it can also run against Apache
Kafka, to prove the scenario itself) and run(env), which gives back a line of figures; and, where
the full size is large, DISK_BYTES_FULL, what must be free for it. The folder of a scenario that
passed is removed.
"""

import argparse
import difflib
import importlib
import shutil
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness import Env, Failure, Process, Watchdog, folder_bytes, make_room  # noqa: E402

# The order in which they run: the quickest and most telling first.
ORDER = [
    "quickstart",
    "readme",
    "kcat",
    "interop",
    "admin",
    "quic",
    "garbage",
    "groups",
    "group_clients",
    "group_scale",
    "group_gap",
    "group_history",
    "group_commits",
    "big_file",
    "kill",
    "job_kill",
    "plugin_views",
    "plugin_upgrade",
    "retention",
    "cold_read",
]


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--full", action="store_true", help="the full size, not CI's")
    parser.add_argument("--keep", action="store_true", help="keep data and logs of what passed")
    parser.add_argument("--weir", help="the weir binary")
    parser.add_argument("--weir-load", help="the weir-load binary: our own client under load")
    parser.add_argument("--java-class-path", help="our Java client and its jars")
    parser.add_argument("--kcat", help="the kcat program")
    parser.add_argument("--work", help="a folder for data and logs")
    parser.add_argument(
        "--against-kafka",
        metavar="CLASS_PATH",
        help="prove the scenarios themselves on Apache Kafka, started from these jars",
    )
    parsed = parser.parse_args()
    for name in parsed.only:
        if name not in ORDER:
            near = difflib.get_close_matches(name, ORDER, 1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            parser.error(f"there is no scenario '{name}'{hint}")
    return parsed


def run_one(name, scenario, given):
    """Runs one scenario to its end and says how it went."""
    began = time.monotonic()
    env = Env(given, name)
    # Apache Kafka takes ten seconds and more for each of its starts.
    seconds_max = scenario.SECONDS_MAX * (30 if given.full else 3 if given.against_kafka else 1)
    error = None
    figures = ""
    with Watchdog(seconds_max) as watchdog:
        try:
            if given.full:
                make_room(env.folder, ORDER, getattr(scenario, "DISK_BYTES_FULL", 0))
            figures = scenario.run(env)
        except Failure as failure:
            error = str(failure)
        except Exception:  # pylint: disable=broad-except
            error = traceback.format_exc()
        finally:
            Process.end_all()
    took = time.monotonic() - began
    if watchdog.late:
        error = f"its {seconds_max} s were over; {error or ''}"
    if error is None:
        if not given.keep:
            shutil.rmtree(env.folder, ignore_errors=True)
        print(f"PASS {name} ({took:.1f} s): {figures}", flush=True)
        return True
    size = f"{folder_bytes(env.folder) / 1e6:.0f} MB"
    print(f"FAIL {name} ({took:.1f} s): {error}\n     left: {env.folder} ({size})", flush=True)
    return False


def main():
    """Runs what was asked for; the last line is the count."""
    given = options()
    passed = failed = skipped = 0
    for name in given.only or ORDER:
        scenario = importlib.import_module(f"scenarios.{name}")
        if given.list:
            print(f"{name:<14} {scenario.ABOUT}")
        elif given.against_kafka and not scenario.ORACLE:
            skipped += 1
        elif run_one(name, scenario, given):
            passed += 1
        else:
            failed += 1
    if given.list:
        return 0
    tail = f", {skipped} skipped" if skipped else ""
    print(f"\ne2e: {passed} passed, {failed} failed{tail}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
