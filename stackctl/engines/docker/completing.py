"""What a container that was created still needs before its first start: further networks, configs and secrets."""

from __future__ import annotations

import io
import posixpath

from stackctl.engines.docker.api import Api
from stackctl.engines.docker.contents import SentContents, contents_tar
from stackctl.engines.docker.create import content_folders, endpoint
from stackctl.engines.docker.errors import told_by_docker
from stackctl.model.container import ContainerSpec, ContentMount, JoinNetworks


def complete(api: Api, container_id: str, spec: ContainerSpec, contents: SentContents) -> None:
    """Put a container that never ran on its further networks, and what is known of ``contents`` into it.

    Doing it again is safe. Before API 1.44 a container is created with one network only.
    """
    with told_by_docker(f"container {spec.name}"):
        _connect(api, container_id, spec)
        mounts = [mount for mount in spec.mounts if isinstance(mount, ContentMount)]
        # Where the container's own files are read-only only volumes take any.
        folders = content_folders(spec)
        for folder in folders:
            inside = [mount for mount in mounts if posixpath.dirname(mount.target) == folder]
            _send(api, container_id, contents_tar(inside, contents, folder), folder)
        others = [mount for mount in mounts if posixpath.dirname(mount.target) not in folders]
        _send(api, container_id, contents_tar(others, contents, "/"), "/")


def _connect(api: Api, container_id: str, spec: ContainerSpec) -> None:
    if not isinstance(spec.networking, JoinNetworks) or len(spec.networking.attachments) < 2:
        return
    connected = api.ask("GET", f"/containers/{container_id}/json")["NetworkSettings"].get("Networks") or {}
    for place in spec.networking.attachments[1:]:
        if place.network not in connected:
            body = {"Container": container_id, "EndpointConfig": endpoint(place)}
            api.ask("POST", f"/networks/{place.network}/connect", body=body)


def _send(api: Api, container_id: str, archive: bytes, folder: str) -> None:
    if archive:
        for _ in api.send("PUT", f"/containers/{container_id}/archive", io.BytesIO(archive), query={"path": folder}):
            pass
