"""`up`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from stackctl.cli import declared
from stackctl.cli.building import build_mode, with_contexts
from stackctl.cli.changing import perform
from stackctl.cli.connect import start_engine
from stackctl.cli.options import reject_pairs
from stackctl.cli.receipt_writing import engine_processes, may_be_receipted, write_receipt
from stackctl.cli.render.ports import ports_of, urls
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.stack_files import load_document
from stackctl.cli.targets import containers_of, no_such_service
from stackctl.cli.up_request import Choices, shared_options, up_request

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient

_PAIRS = (
    ("--detach", "--abort-on-container-exit"),
    ("--detach", "--exit-code-from"),
    ("--wait", "--abort-on-container-exit"),
    ("--wait", "--exit-code-from"),
    ("--no-start", "--abort-on-container-exit"),
    ("--no-start", "--exit-code-from"),
    ("--no-start", "--wait"),
)


@declared.command()
@declared.flag("-d", "--detach", help="Leave the containers running in the background.")
@declared.flag("--wait", help="Wait until all run and are healthy; implies --detach.")
@declared.option("--wait-timeout", type=declared.Number(0), default=0.0, metavar="SECONDS", help="How long.")
@shared_options
@declared.flag("--no-start", help="Create containers, and do not start them.")
@declared.timeout
@declared.flag("--no-log-prefix", help="Do not show where a line is from.")
@declared.flag("--no-color", help="No colours in logs.")
@declared.flag("--timestamps", help="Show when each line was written.")
@declared.flag("--abort-on-container-exit", help="Stop all once one ends.")
@declared.option("--exit-code-from", default="", metavar="SERVICE", help="Exit as it does; implies the above.")
@declared.flag("--build", help="Build images although nothing changed.")
@declared.option("--pull", type=declared.Choice(("always", "missing", "never")), help="When to pull images.")
@declared.flag("--quiet-pull", help="Do not show how far pulls are.")
@declared.flag("--quiet-build", help="Do not show how far builds are.")
@declared.refused("--always-recreate-deps")
@declared.refused("-V", "--renew-anon-volumes")
@declared.refused("--abort-on-container-failure")
@declared.refused("--attach", takes_value=True)
@declared.refused("--no-attach", takes_value=True)
@declared.refused("--attach-dependencies")
@declared.refused("-w", "--watch")
@declared.refused("--menu")
@declared.flag("--no-build", help="Build no image although something changed.")
@declared.flag("-y", "--yes", hidden=True)
@declared.services
def up(services: tuple[str, ...], detach: bool, wait: bool, wait_timeout: float, **given: Any) -> None:
    """Create and start the stack, or bring it to what the files say.

    What has not changed is left alone. Without --detach the logs are shown until the containers end; Ctrl-C
    stops them.
    """
    settings = current_settings().with_quiet_pulls() if given["quiet_pull"] else current_settings()
    settings = settings.with_quiet_builds() if given["quiet_build"] else settings
    code_from, aborts = given["exit_code_from"], given["abort_on_container_exit"]
    options = {"--detach": detach, "--wait": wait, "--abort-on-container-exit": aborts}
    reject_pairs({**options, "--exit-code-from": code_from, "--no-start": given["no_start"]}, _PAIRS)
    reject_pairs({"--build": given["build"], "--no-build": given["no_build"]}, [("--build", "--no-build")])
    document = load_document(settings, services)
    if code_from and code_from not in (known := _names(document.tree.get("services"))):
        raise no_such_service(code_from, known)
    request = up_request(
        settings,
        document,
        _choices(services, given),
        no_start=given["no_start"],
        wait=wait,
        wait_timeout_s=wait_timeout,
        timeout_s=given["timeout"],
        pull=given["pull"] or "",
        build=build_mode(given),
    )
    engine = start_engine(settings)
    request = with_contexts(settings, engine, document, request)
    if detach or wait or given["no_start"]:
        pids = engine_processes(settings)
        ending = perform(settings, engine, document.name, request, title="up")
        ending.raise_failure()
        if wait:
            from stackctl.cli.waited import check_all_run, needs_of  # only with --wait

            check_all_run(engine, document.name, services, needs_of(document.tree), no_deps=given["no_deps"])
        addresses = "" if given["no_start"] else _urls(settings, engine, document.name)
        sys.stdout.write(addresses)
        if may_be_receipted(document, given):
            write_receipt(settings, document.name, ending.end, processes=pids, output_text=addresses)
        return
    from stackctl.cli.attached import Attendance, attend  # 10 ms: not with --detach

    attend(
        Attendance(
            settings=settings,
            engine=engine,
            project=document.name,
            services=services,
            began_s=time.time(),
            has_prefix=not given["no_log_prefix"],
            has_colour=not given["no_color"],
            has_timestamps=given["timestamps"],
            aborts=aborts or bool(code_from),
            exit_code_from=code_from,
            timeout_s=given["timeout"],
        ),
        request,
    )


def _choices(services: tuple[str, ...], given: dict[str, Any]) -> Choices:
    return Choices(
        services=services,
        scales=given["scales"],
        force_recreate=given["force_recreate"],
        no_recreate=given["no_recreate"],
        remove_orphans=given["remove_orphans"],
        no_deps=given["no_deps"],
    )


def _names(services: object) -> set[str]:
    return set(services) if isinstance(services, dict) else set()


def _urls(settings: Settings, engine: EngineClient, project: str) -> str:
    """Return lines that say where the stack can be reached."""
    if settings.progress in ("quiet", "json"):
        return ""
    found: dict[str, dict[str, None]] = {}
    for container in containers_of(engine, project):
        if container.is_running:
            found.setdefault(container.service, {}).update(dict.fromkeys(urls(ports_of(container.entry))))
    width = max((len(service) for service, addresses in found.items() if addresses), default=0)
    return "".join(
        f"{service.ljust(width)}  {address}\n" for service, addresses in found.items() for address in addresses
    )
