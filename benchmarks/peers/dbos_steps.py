"""A DBOS workflow of three steps on PostgreSQL. Arguments: the target's port, database URL, threads, first, count.

Workflows are begun where they run, which is faster than by a queue: that is one more transaction a workflow.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, SetWorkflowID

import calls

port = int(sys.argv[1])
url = sys.argv[2]
threads, first, count = map(int, sys.argv[3:])


@DBOS.step()
def add_customer(number: int) -> None:
    """The first step."""
    calls.add_customer(port, number)


@DBOS.step()
def add_to_group(number: int) -> None:
    """The second."""
    calls.add_to_group(port, number)


@DBOS.step()
def add_comped_order(number: int) -> None:
    """The last."""
    calls.add_comped_order(port, number)


@DBOS.workflow()
def enrol(number: int) -> None:
    """One enrolment."""
    add_customer(number)
    add_to_group(number)
    add_comped_order(number)


def begin(number: int) -> None:
    """Run one to its end, under a key of its own as ours are."""
    with SetWorkflowID(f"learner-{number}"):
        enrol(number)


DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
DBOS.launch()
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(threads) as pool:
    list(pool.map(begin, range(first, first + count)))
DBOS.destroy()
