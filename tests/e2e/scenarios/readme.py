"""The README's tour, typed as it stands there: every command of the blocks marked `console tour`
runs in one folder beside a `weir serve`, in order, and must end well.
"""

import os
from pathlib import Path

from harness import HOST, Failure, Process, answers, check, free_port, wait_until
from harness import run as run_command

ABOUT = "the README's tour, as it is written"
SECONDS_MAX = 120
ORACLE = False

README = Path(__file__).resolve().parents[3] / "README.md"
COMMANDS_MIN = 8


def run(env):
    port = free_port()
    serve = Process(
        [env.weir_binary, "serve", "--listen", f"{HOST}:{port}"], env.log("serve"), cwd=env.folder
    )
    wait_until("the broker", lambda: answers(HOST, port), 30)
    binaries = str(Path(env.weir_binary).resolve().parent)
    paths = {"PATH": f"{binaries}:{os.environ['PATH']}"}
    commands = tour(README.read_text(encoding="utf-8"))
    check(len(commands) >= COMMANDS_MIN, f"only {len(commands)} commands in {README}")
    for command in commands:
        try:
            run_command(["bash", "-ec", command], cwd=env.folder, env=paths)
        except Failure as failure:
            raise Failure(f"README: `{command}`: {failure}") from None
    printed = run_command(
        ["bash", "-ec", "weir consume orders --from-beginning --exit-at-end"],
        cwd=env.folder, env=paths,
    ).stdout.decode()
    check("lamp" in printed, f"the tour's records are not there: {printed!r}")
    serve.stop()
    return f"{len(commands)} commands"


def tour(text):
    """The commands of the marked blocks."""
    found = []
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = line == "```console tour"
        elif inside and line.startswith("$ "):
            found.append(line.removeprefix("$ "))
    return found
