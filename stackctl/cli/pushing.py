"""Pushing images, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.cli.pulling import registry_auth
from stackctl.cli.render.course import Update
from stackctl.cli.screen import Screen
from stackctl.cli.settings import Settings
from stackctl.errors import StackctlError
from stackctl.wire.error_json import error_from_json

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient


def push_image(settings: Settings, engine: EngineClient, reference: str, screen: Screen) -> str:
    """Push an image under its name and show it; return what its tag leads to. Raises StackctlError."""
    resource, digest = f"Image {reference}", ""
    screen.show(Update(resource, "working", "Pushing"))
    try:
        for message in engine.image_push(reference, registry_auth(settings, reference)):
            if message.get("error"):
                raise error_from_json(message.get("stackctlError") or {"message": message["error"]})
            digest = str((message.get("aux") or {}).get("Digest") or digest)
            if message.get("id"):
                is_over = message["status"] in ("Pushed", "Layer already exists")
                layer, status = f"  {message['id']}", str(message["status"])
                screen.show_progress(Update(layer, "done" if is_over else "working", status))
    except StackctlError as error:
        screen.show(Update(resource, "error", "Error", error.message))
        raise
    screen.show(Update(resource, "done", "Pushed"))
    return digest
