"""`cartbridge check`: system by system, what is configured, reachable and accepted, and what to do next."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.arguments import AsJson
from worker.cli.context import opening_of
from worker.cli.errors import FAILED
from worker.cli.output import cell, console, note, print_json, table

if TYPE_CHECKING:
    from rich.text import Text
    from sqlalchemy import Connection

    from worker.cli.check.result import ProbeResult
    from worker.settings.settings import Settings
    from workflows.monitoring.setup_steps import SetupStep
    from workflows.planning.offers import Offers


def check_command(
    context: typer.Context,
    as_json: AsJson = False,
    mail_to: Annotated[
        str | None, typer.Option("--mail-to", metavar="ADDRESS", help="Also send a test mail to this address.")
    ] = None,
    alert: Annotated[bool, typer.Option("--alert", help="Also send a test alert to every receiver of alerts.")] = False,
) -> None:
    """Ask every configured system for real: reachable, accepted, and what the next step is.

    Exits 1 if something configured does not work, or if no source and no destination do.
    """
    from worker.cli.check.notification_probes import send_test_alert, send_test_mail
    from worker.cli.check.probes import paused_systems, probe_all
    from worker.cli.check.warnings import file_warnings
    from worker.settings.warnings import warnings_of

    settings = opening_of(context).settings
    if not as_json:
        note("Asking each system…")
    findings = list(probe_all(settings))
    if mail_to is not None:
        findings.append(send_test_mail(settings, mail_to))
    if alert:
        findings.append(send_test_alert(settings))
    offers = _offers(settings)
    known_problems, setup = _ledger_problems(settings, offers)
    warnings = [
        *warnings_of(settings),
        *file_warnings(settings, opening_of(context).env_file),
        *known_problems,
    ]
    verdict, ok = _verdict(findings, paused_systems(settings), has_offers=bool(offers.offers))
    if as_json:
        print_json(
            {
                "ok": ok,
                "verdict": verdict,
                "findings": [_shape(finding) for finding in findings],
                "warnings": warnings,
                "setup": setup,
            }
        )
    else:
        _print_findings(findings, warnings, verdict, ok=ok)
        _print_setup(setup)
    if not ok:
        opening_of(context).say_where_it_is()
        raise typer.Exit(FAILED)


def _verdict(findings: list[ProbeResult], paused: list[str], *, has_offers: bool) -> tuple[str, bool]:
    failed = [finding.name for finding in findings if finding.failed]
    is_begun = any(finding.configured for finding in findings if finding.kind in ("source", "destination"))
    if failed and is_begun:
        verb = "needs" if len(failed) == 1 else "need"
        return f"Not ready: {', '.join(failed)} {verb} attention.", False
    lacking = [
        kind
        for kind in ("source", "destination")
        if not any(finding.works for finding in findings if finding.kind == kind)
    ]
    if lacking:
        return f"Not ready: no {' and no '.join(lacking)} is configured. Set it up: cartbridge init", False
    if paused:
        resume = " and ".join(f"cartbridge resume {system}" for system in paused)
        return f"Not ready: {' and '.join(paused)} answers, but is paused here. Go on with: {resume}", False
    if not has_offers:
        return "Nothing gives access yet: add an [[offer]] to the offers file. Orders can come in: cartbridge up", True
    return "Ready: orders can come in and access can be given. Unless it runs already, start it: cartbridge up", True


def _offers(settings: Settings) -> Offers:
    """Today's offers; none where the file cannot be read, which is a finding of its own."""
    from workflows.planning.offers import Offers, OffersError
    from workflows.planning.offers_file import load_offers

    try:
        return load_offers(settings.offers_file)
    except OffersError:
        return Offers()


def _ledger_problems(settings: Settings, offers: Offers) -> tuple[list[str], list[SetupStep]]:
    """What the ledger says of destinations that did not answer, and of webhooks that could not be used; and what is
    left to do until the first order has gone through. It is asked of nothing it cannot tell.
    """
    from worker.cli.check.result import read_or_none
    from worker.ledger.clock import utc_now
    from worker.ledger.runs import breaker
    from worker.ledger.views.webhook_refusals import refusal_sentences
    from workflows.monitoring.setup_steps import setup_steps

    def read(connection: Connection) -> tuple[list[str], list[SetupStep]]:
        warnings = [
            *(
                f"{found.sentence(utc_now())} To ask it at once: cartbridge resume {found.system}"
                for found in breaker.down(connection)
            ),
            *refusal_sentences(connection, now=utc_now()),
            *_unverified_offers(connection, offers),
        ]
        return warnings, setup_steps(connection, settings, offers)

    return read_or_none(settings, read) or ([], setup_steps(None, settings, offers))


def _unverified_offers(connection: Connection, offers: Offers) -> list[str]:
    """The offers that name what nobody has sold or been given; none while the file cannot be used."""
    from worker.ledger.views.page.offers import granted_numbers, sold
    from workflows.monitoring.offers_trial import unverified

    return list(unverified(offers, sold(connection)[0], granted_numbers(connection)))


def _print_setup(steps: list[SetupStep]) -> None:
    out = console()
    if steps:
        out.print(cell("Until the first order goes through:", "bold"))
    for step in steps:
        out.print(
            cell(f"  ✓ {step.what}" if step.is_done else f"  ○ {step.what}. {step.how}", "dim" if step.is_done else "")
        )


def _shape(finding: ProbeResult) -> dict[str, Any]:
    return {
        **asdict(finding),
        "missing": list(finding.missing),
        "order_statuses": [asdict(status) for status in finding.order_statuses],
        "failed": finding.failed,
    }


def _print_findings(findings: list[ProbeResult], warnings: list[str], verdict: str, *, ok: bool) -> None:
    out = console()
    rows = []
    for finding in findings:
        detail = cell(finding.detail)
        if finding.next_step:
            detail.append("\n" if finding.detail else "")
            detail.append(cell(finding.next_step, "bold" if finding.failed else "dim"))
        marks = [_mark(finding.configured or None), _mark(finding.reachable), _mark(finding.accepted)]
        rows.append([cell(finding.name, "" if finding.configured else "dim"), *marks, detail])
    last = "found, and the next step"
    out.print(table(("what", "configured", "reachable", "accepted", last), rows, wrapped=(last,)))
    for finding in findings:
        if finding.order_statuses:
            readings = [[cell(each.id), cell(each.label), cell(each.reading)] for each in finding.order_statuses]
            columns = (f"{finding.name} status", "the store's label", "is read as")
            out.print(table(columns, readings, wrapped=columns[2:]))
    for warning in warnings:
        out.print(cell(f"! {warning}", "yellow"))
    out.print(cell(verdict, "green" if ok else "bold red"))


def _mark(value: bool | None) -> Text:
    """✓ for yes, ✗ for no, – for not asked."""
    if value is None:
        return cell("–", "dim")
    return cell("✓", "green") if value else cell("✗", "bold red")
