"""`cartbridge sandbox`: the four systems on loopback, with faults if asked for, until it is stopped."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.errors import FAILED, complain
from worker.cli.output import note

if TYPE_CHECKING:
    from worker.sandbox import Fault, Sandbox


def parse_fault(text: str) -> Fault:
    """A fault from `SYSTEM:OPERATION:KIND` and `,NAME=VALUE…`, or from a JSON object of the sandbox's fields.

    `learningcart:addCompOrder:cut,times=2`, `*:*:status,status=503,probability=0.1`. Values are JSON, else text.
    """
    from worker.sandbox import Fault

    try:
        return Fault.from_json(json.loads(text) if text.lstrip().startswith("{") else _fault_fields(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no fault ({error}); write SYSTEM:OPERATION:KIND,NAME=VALUE") from None


def _fault_fields(text: str) -> dict[str, Any]:
    place, *pairs = text.split(",")
    system, operation, kind = place.split(":")
    found: dict[str, Any] = {"system": system, "operation": operation, "kind": kind}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def sandbox_command(
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port; 0: any free one.")] = 8900,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="FAULT",
            help="What goes wrong, as SYSTEM:OPERATION:KIND and, after a comma, NAME=VALUE. Such as "
            "learningcart:addCompOrder:cut, or *:*:status,status=503.",
        ),
    ] = None,
    latency: Annotated[
        float, typer.Option("--latency", min=0.0, metavar="SECONDS", help="Every answer comes this late.")
    ] = 0.0,
) -> None:
    """Serve the four systems on loopback and print the variables that point Cartbridge at them. Stop it with Ctrl-C."""
    from worker.sandbox import Fault, serve_forever

    faults = [parse_fault(text) for text in fault or ()]
    if latency:
        # Last: the first fault that hits decides.
        faults.append(Fault(kind="slow", seconds=latency, times=None))

    def on_ready(sandbox: Sandbox) -> None:
        sandbox.inject(*faults)
        # Its one order is years old: without this it would be taken as handled before Cartbridge.
        for name, value in sandbox.environment(CARTBRIDGE_STUDIOCART__START_AT="2020-01-01").items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        note(f"The sandbox serves on {sandbox.base_url}, its controls on {sandbox.control_url}. Ctrl-C stops it.")

    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        serve_forever(host=host, port=port, on_ready=on_ready, stop=stop)
    except KeyboardInterrupt:
        note("stopped")
    except OSError as error:
        complain(f"The sandbox cannot listen on {host}:{port} ({error.strerror}). Choose another --port.")
        raise typer.Exit(FAILED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
