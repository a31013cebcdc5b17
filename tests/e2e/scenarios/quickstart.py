"""What a new person does: the quickstart, the quickstart again in the same folder, and the
quickstart while another program holds its port. Its answer must be figures, or what to do.
"""

import re
import socket

from harness import HOST, check, free_port, run as run_command

ABOUT = "quickstart, a second run, an occupied port"
SECONDS_MAX = 120
ORACLE = False


def run(env):
    lines = env.scale(20_000, 1_000_000)
    file = env.folder / "orders.txt"
    with open(file, "w", encoding="utf-8") as out:
        for number in range(lines):
            out.write(f'{{"order":{number},"customer":"c{number % 977}","sum":{number * 7}}}\n')
    port = free_port()
    command = [env.weir_binary, "quickstart", "--file", file]
    command += ["--data", env.folder / "data", "--listen", f"{HOST}:{port}"]
    first = run_command(command, cwd=env.folder)
    said = (first.stdout + first.stderr).decode()
    check(str(lines) in re.sub("[,_'\u202f ]", "", said), f"it names no count:\n{said}")
    run_command(command, cwd=env.folder)
    with socket.create_server((HOST, port)):
        refused = run_command(command, cwd=env.folder, ok=range(1, 100))
        said = (refused.stdout + refused.stderr).decode()
        check(str(port) in said, f"an occupied port is not named:\n{said}")
        check("panicked" not in said, f"an occupied port panics:\n{said}")
    last = said.strip().splitlines()[-1]
    return f"{lines} lines there and back, twice; with the port taken: {last!r}"
