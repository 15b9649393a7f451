"""The three calls of an enrolment, made over one kept connection a thread: what every peer does, and nothing else."""

import http.client
import threading

_local = threading.local()


def call(port: int, path: str) -> None:
    """Ask the target, and read its answer; raises where it refuses."""
    if not hasattr(_local, "connection"):
        _local.connection = http.client.HTTPConnection("127.0.0.1", port)
    _local.connection.request("GET", f"/CDNService.svc/{path}")
    answer = _local.connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")


def add_customer(port: int, number: int) -> None:
    """The first call."""
    call(port, f"addCustomer?AuthenticationToken=t&Email=learner-{number}%40example.test&FirstName=Jane&LastName=Doe")


def add_to_group(port: int, number: int) -> None:
    """The second."""
    call(port, f"addCustomerToGroup?AuthenticationToken=t&CustomerID={number}&GroupID=12")


def add_comped_order(port: int, number: int) -> None:
    """The last: what gives access."""
    call(port, f"addCompOrder?AuthenticationToken=t&CustomerID={number}&PriceID=501&OrderComments=cb-{number}")
