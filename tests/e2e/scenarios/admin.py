"""The official Java admin client walks the admin calls: describe the cluster, make, list,
describe, configure, delete records, read offsets, delete the topic.
"""

from harness import check

ABOUT = "the Java admin client's calls"
SECONDS_MAX = 60
ORACLE = True

EXPECTED = """nodes\t1
listed\ttrue
partitions\t3
retention.ms\t60000
offsets\t{earliest=4, latest=10}
listed\tfalse
"""


def run(env):
    with env.broker() as broker:
        printed = env.java("admin", broker.bootstrap, "admin-e2e").stdout.decode()
        check(printed == EXPECTED, f"it printed:\n{printed}instead of:\n{EXPECTED}")
    return f"{len(EXPECTED.splitlines())} answers as expected"
