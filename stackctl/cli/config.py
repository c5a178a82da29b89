"""`config`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stackctl.cli import declared, known_answer
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.stack_files import load_request, loaded_document
from stackctl.errors import UsageError

if TYPE_CHECKING:
    from stackctl.stackfile.document import Document
    from stackctl.stackfile.load import LoadRequest

_LISTS = ("services", "volumes", "networks", "models", "images", "profiles", "environment", "variables")
_WITHOUT_ENV_FILES = ("models", "networks", "services", "volumes")
"""Lists for which Compose reads no `env_file`, so that one that is missing does not matter."""


@declared.command()
@declared.option("--format", "form", type=declared.Choice(("yaml", "json")), default="yaml", help="How to print it.")
@declared.flag("-q", "--quiet", help="Only check: print nothing but what is wrong.")
@declared.option("-o", "--output", default="", metavar="FILE", help="Write to a file.")
@declared.flag("--services", "list_services", help="List services.")
@declared.flag("--volumes", "list_volumes", help="List volumes.")
@declared.flag("--networks", "list_networks", help="List networks.")
@declared.flag("--models", "list_models", help="List models.")
@declared.flag("--images", "list_images", help="List images.")
@declared.flag("--profiles", "list_profiles", help="List profiles.")
@declared.flag("--environment", "list_environment", help="List the variables that can be named.")
@declared.flag("--variables", "list_variables", help="List the variables that are named, and defaults.")
@declared.option("--hash", "hashed", default="", metavar="SERVICE|*", help="List services, each with a hash of itself.")
@declared.flag("--no-interpolate", help="Leave variables as they are written.")
@declared.flag("--no-normalize", help="Add no defaults.")
@declared.flag("--no-path-resolution", help="Leave relative paths as they are written.")
@declared.flag("--no-env-resolution", help="Leave env_file as it is written.")
@declared.flag("--no-consistency", help="Skip the checks between parts of the file.")
@declared.option("--explain", "explained", default="", metavar="PATH", help="Tell where a value came from.")
@declared.flag("--resolve-image-digests", help="Name every image by its digest, asked of its registry.")
@declared.flag("--lock-image-digests", help="Print a stack file that only names images by digest.")
@declared.services
def config(
    form: str, quiet: bool, output: str, hashed: str, explained: str, services: tuple[str, ...], **flags: bool
) -> None:
    """Check the stack files and print what they come to."""
    settings = current_settings()
    wanted = next((name for name in _LISTS if flags[f"list_{name}"]), "")
    request = _request(settings, flags, services, wanted)
    if explained:
        text = _explanation(settings, request, explained, form)
    elif wanted in ("environment", "variables"):
        if wanted == "environment":
            loaded_document(settings, request)  # a stack that is wrong has none, as in Compose
        text = _of_variables(request, wanted, form)
    else:
        document = _pinned(settings, loaded_document(settings, request), flags)
        text = _of_document(document, wanted, hashed, form, flags)
        if not (output or flags["resolve_image_digests"] or flags["lock_image_digests"]):
            known_answer.keep(settings, "" if quiet else text)
    if quiet:
        return
    if output:
        with open(os.path.join(settings.cwd, output), "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)


def _request(settings: Settings, flags: dict[str, bool], services: tuple[str, ...], wanted: str) -> LoadRequest:
    request = replace(
        load_request(settings, services),
        is_interpolated=not flags["no_interpolate"],
        is_normalised=not flags["no_normalize"],
        has_absolute_paths=not flags["no_path_resolution"],
        has_resolved_environment=not flags["no_env_resolution"]
        and not flags["no_interpolate"]
        and wanted not in _WITHOUT_ENV_FILES,
        is_checked=not flags["no_consistency"],
        has_unused_resources=settings.has_all_resources,
        has_named_only=True,
        has_contents=False,
    )
    if wanted == "profiles":  # all there are, not those in force
        request = replace(request, profiles=("*",))
    return request


def _pinned(settings: Settings, document: Document, flags: dict[str, bool]) -> Document:
    if not flags["resolve_image_digests"] and not flags["lock_image_digests"]:
        return document
    from stackctl.cli.image_digests import only_digests, with_digests  # registries: TLS and HTTP

    found = with_digests(settings, document)
    return only_digests(found) if flags["lock_image_digests"] else found


def _explanation(settings: Settings, request: LoadRequest, path: str, form: str) -> str:
    from stackctl.cli.render.explanation import explanation_json, explanation_text  # only here
    from stackctl.stackfile.explain import NoSuchPath, explain
    from stackctl.stackfile.trace import Trace

    trace = Trace()
    document = loaded_document(settings, replace(request, has_unused_resources=True), trace=trace)
    try:
        found = explain(document, trace, path, variables=settings.environment)
    except NoSuchPath as missing:
        raise UsageError(str(missing), hint=missing.hint) from missing
    return explanation_json(found) if form == "json" else explanation_text(found, settings.lines, cwd=settings.cwd)


def _of_document(document: Document, wanted: str, hashed: str, form: str, flags: dict[str, bool]) -> str:
    if wanted:
        return _lines(_listed(document, wanted))
    from stackctl.stackfile.render import config_text, service_hashes  # not for lists

    if hashed:
        return _lines(f"{name} {digest}" for name, digest in service_hashes(document, hashed).items())
    text = config_text(document, "json" if form == "json" else "yaml", is_interpolated=not flags["no_interpolate"])
    return text if text.endswith("\n") else text + "\n"


def _of_variables(request: LoadRequest, wanted: str, form: str) -> str:
    from stackctl.stackfile.load import environment_of, variables_of  # the YAML parser

    if wanted == "environment":
        return _lines(f"{name}={value}" for name, value in sorted(environment_of(request).items()))
    from stackctl.cli.variables import variables_json, variables_table  # only here

    uses = variables_of(request)
    return variables_json(uses) if form == "json" else variables_table(uses)


def _lines(lines: Any) -> str:
    return "".join(f"{line}\n" for line in lines)


def _listed(document: Document, what: str) -> list[str]:
    services = _entries(document.tree.get("services"))
    if what == "images":
        return [str(service.get("image") or f"{document.name}-{name}") for name, service in services.items()]
    if what == "profiles":
        return sorted({str(profile) for service in services.values() for profile in service.get("profiles") or ()})
    if what == "models":
        return [str(model.get("model")) for model in _entries(document.tree.get("models")).values()]
    return list(_entries(document.tree.get(what)))


def _entries(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict):
        return {}
    return {key: entry if isinstance(entry, dict) else {} for key, entry in value.items()}
