"""A plain chain of three tasks over Redis, without results: nothing durable. Variables: BROKER, TARGET_PORT.

As a program it sends the chains of the learners from `first` on; as a module it is the workers' application.
"""

import os
import sys

from celery import Celery, chain

import calls

app = Celery("celery_chain", broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
PORT = int(os.environ["TARGET_PORT"])


@app.task
def add_customer(number: int) -> None:
    """The first link."""
    calls.add_customer(PORT, number)


@app.task
def add_to_group(number: int) -> None:
    """The second."""
    calls.add_to_group(PORT, number)


@app.task
def add_comped_order(number: int) -> None:
    """The last."""
    calls.add_comped_order(PORT, number)


if __name__ == "__main__":
    first, count = map(int, sys.argv[1:])
    for number in range(first, first + count):
        chain(add_customer.si(number), add_to_group.si(number), add_comped_order.si(number)).apply_async()
