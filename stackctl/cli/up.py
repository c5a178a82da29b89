"""`up`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
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
    ("--detach", "--abort-on-container-failure"),
    ("--detach", "--exit-code-from"),
    ("--detach", "--attach"),
    ("--detach", "--attach-dependencies"),
    ("--wait", "--abort-on-container-exit"),
    ("--wait", "--abort-on-container-failure"),
    ("--wait", "--exit-code-from"),
    ("--no-start", "--abort-on-container-exit"),
    ("--no-start", "--abort-on-container-failure"),
    ("--attach", "--attach-dependencies"),
    ("--abort-on-container-exit", "--abort-on-container-failure"),
    ("--no-start", "--exit-code-from"),
    ("--no-start", "--wait"),
    ("--build", "--no-build"),
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
@declared.pull
@declared.quiet_pull
@declared.flag("--quiet-build", help="Do not show how far builds are.")
@declared.flag("--always-recreate-deps", help="Replace also what the named services need.")
@declared.refused("-V", "--renew-anon-volumes")
@declared.flag("--abort-on-container-failure", help="Stop all once one ends with an error.")
@declared.options("--attach", metavar="SERVICE", help="Show the logs of this service only.")
@declared.options("--no-attach", metavar="SERVICE", help="Do not show the logs of this service.")
@declared.flag("--attach-dependencies", help="Show also the logs of what the named services need.")
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
    names = {name for pair in _PAIRS for name in pair} - {"--detach", "--wait"}
    chosen = {name: given[name.removeprefix("--").replace("-", "_")] for name in names}
    reject_pairs({**chosen, "--detach": detach, "--wait": wait}, _PAIRS)
    document = load_document(settings, services)
    code_from = given["exit_code_from"]
    known = _names(document.tree.get("services"))
    for name in (*([code_from] if code_from else ()), *given["attach"], *given["no_attach"]):
        if name not in known:
            raise no_such_service(name, known)
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
    if detach or wait or given["no_start"] or engine.keeps_services:
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
            shown=_shown(document.tree, services, given),
            aborts=given["abort_on_container_exit"] or bool(code_from),
            aborts_on_failure=given["abort_on_container_failure"],
            exit_code_from=code_from,
            timeout_s=given["timeout"],
        ),
        request,
    )


def _shown(tree: Mapping[str, Any], services: tuple[str, ...], given: dict[str, Any]) -> frozenset[str]:
    """Return the services whose logs are shown: those named, and not one with ``attach: false`` unless named."""
    shapes: Mapping[str, Any] = tree.get("services") or {}
    hidden = {name for name, shape in shapes.items() if shape.get("attach") is False}
    found = set(services) or set(shapes) - hidden
    if given["attach"]:
        found = set(given["attach"])
    elif given["attach_dependencies"]:
        from stackctl.cli.waited import needs_of, with_dependencies  # only then

        found |= with_dependencies(found, needs_of(tree)) - hidden
    return frozenset(found - set(given["no_attach"]))


def _choices(services: tuple[str, ...], given: dict[str, Any]) -> Choices:
    return Choices(
        services=services,
        scales=given["scales"],
        force_recreate=given["force_recreate"],
        no_recreate=given["no_recreate"],
        remove_orphans=given["remove_orphans"],
        no_deps=given["no_deps"],
        recreate_deps=given["always_recreate_deps"],
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
