"""EngineClient: one method for each thing the daemon can be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stackctl.client.calls import encoded
from stackctl.client.http import Hijacked, Readable, Response, hijack, quote, request, upload
from stackctl.client.networks_volumes import NetworkVolumeCalls
from stackctl.client.path_stat import PATH_STAT, PathStat, path_stat
from stackctl.wire.protocol import HEADER, PROTOCOL

if TYPE_CHECKING:
    from stackctl.wire.stack_request import RunRequest, StackRequest


class EngineClient(NetworkVolumeCalls):
    """Speaks to the engine at ``address`` (``unix:///path``, or who knows the way). Each call has its own connection.

    Every method raises EngineUnreachable, or the error the engine answered with. ``wants_dockerfile`` says that
    Dockerfiles have to be among the files of the contexts that are sent.
    """

    wants_dockerfile = False

    keeps_services = False
    """Whether it runs services for good, whoever looks on: then nothing is attached to, and nothing stopped."""

    # -- engine ---------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Return when the engine answers."""
        self._get("/_ping").finish()

    def protocol(self) -> int:
        """Return the number of the protocol that the engine speaks; one that does not say is taken for ours."""
        response = self._get("/_ping")
        response.finish()
        text = response.headers.get(HEADER.lower(), "")
        return int(text) if text.isdecimal() else PROTOCOL

    def version(self) -> dict[str, Any]:
        """Return the engine's versions."""
        return self._object("/version")

    def engine_status(self) -> dict[str, Any]:
        """Return id, root, api, version, pids and counts."""
        return self._object("/stackctl/v1/engine")

    def engine_stop(self, force: bool) -> None:
        """Stop the engine; refused with Conflict while containers run, unless ``force``."""
        self._post("/stackctl/v1/engine/stop", {"force": force}).finish()

    def remove_set_aside(self, name: str) -> None:
        """Delete what a lost container wrote. Raises NotFound."""
        target = f"/stackctl/v1/engine/set-aside/{quote(name)}"
        request(self._path, "DELETE", target, patience_s=self._patience_s).finish()

    def events(
        self, *, since: str = "", until: str = "", kinds: Sequence[str] = (), labels: Sequence[str] = ()
    ) -> Iterator[dict[str, Any]]:
        """Yield Docker's events as they happen, those remembered from ``since`` on first; ``until`` ends it."""
        filters = {"type": list(kinds), "label": list(labels)}
        query = {"since": since, "until": until, "filters": json.dumps({k: v for k, v in filters.items() if v})}
        return self._get("/events", query).json_lines()

    def disk_usage(self) -> dict[str, Any]:
        """Return what takes room on the disk, in Docker's shape."""
        return self._object("/system/df")

    # -- stacks ---------------------------------------------------------------------------------------

    def plan(self, project: str, wanted: StackRequest) -> dict[str, Any]:
        """Return ``plan``, ``text`` and ``diagnostics``."""
        from stackctl.wire.stack_request import stack_request_to_json  # 4 ms: only for what changes stacks

        target = f"/stackctl/v1/stacks/{quote(project)}/plan"
        answer: dict[str, Any] = self._post(target, stack_request_to_json(wanted)).json()
        return answer

    def apply(self, project: str, wanted: StackRequest) -> Iterator[dict[str, Any]]:
        """Yield events until the last, ``end``. Leaving early cancels nothing."""
        from stackctl.wire.stack_request import stack_request_to_json  # as above

        target = f"/stackctl/v1/stacks/{quote(project)}/apply"
        return self._post(target, stack_request_to_json(wanted)).json_lines()

    def run(self, project: str, wanted: RunRequest) -> Iterator[dict[str, Any]]:
        """Yield events; the last one, ``end``, names the ``container`` that was created and not started."""
        from stackctl.wire.stack_request import run_request_to_json  # as above

        target = f"/stackctl/v1/stacks/{quote(project)}/run"
        return self._post(target, run_request_to_json(wanted)).json_lines()

    def builds(self, project: str, wanted: StackRequest) -> list[str]:
        """Return the services whose images the request would build: their contexts are to be sent first."""
        from stackctl.wire.stack_request import stack_request_to_json  # as above

        target = f"/stackctl/v1/stacks/{quote(project)}/builds"
        found: list[str] = self._post(target, stack_request_to_json(wanted)).json()["services"]
        return found

    def send_context(self, source: Readable) -> str:
        """Send the context of a build as a tar; return its name for the request that builds it."""
        answer = upload(self._path, "/stackctl/v1/contexts", source, patience_s=self._patience_s).json()
        name: str = answer["id"]
        return name

    def cancel(self, apply_id: str) -> None:
        """Let an apply start no further step."""
        self._post(f"/stackctl/v1/applies/{quote(apply_id)}/cancel").finish()

    # -- containers -----------------------------------------------------------------------------------

    def containers(
        self, *, all: bool = False, labels: Sequence[str] = (), statuses: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return containers in Docker's list shape: running ones, or all, that carry every label."""
        filters = {"label": list(labels), "status": list(statuses)}
        query = {"all": int(all), "filters": json.dumps({key: value for key, value in filters.items() if value})}
        found: list[dict[str, Any]] = self._get("/containers/json", query).json()
        return found

    def inspect_container(self, name: str) -> dict[str, Any]:
        """Return a container in Docker's inspect shape."""
        return self._object(f"/containers/{quote(name)}/json")

    def start_container(self, name: str) -> None:
        """Start a container."""
        self._post(f"/containers/{quote(name)}/start").finish()

    def stop_container(self, name: str, timeout_s: float | None = None) -> None:
        """Stop a container."""
        query = {} if timeout_s is None else {"t": timeout_s}
        self._post(f"/containers/{quote(name)}/stop", query=query).finish()

    def restart_container(self, name: str, timeout_s: float | None = None) -> None:
        """Stop and start a container."""
        query = {} if timeout_s is None else {"t": timeout_s}
        self._post(f"/containers/{quote(name)}/restart", query=query).finish()

    def kill_container(self, name: str, signal: str = "SIGKILL") -> None:
        """Send a signal to a container's first process."""
        self._post(f"/containers/{quote(name)}/kill", query={"signal": signal}).finish()

    def pause_container(self, name: str) -> None:
        """Let a container's processes stand still."""
        self._post(f"/containers/{quote(name)}/pause").finish()

    def unpause_container(self, name: str) -> None:
        """Let them go on."""
        self._post(f"/containers/{quote(name)}/unpause").finish()

    def container_stats(self, name: str) -> dict[str, Any]:
        """Return what a container has used until now, in Docker's shape."""
        answer: dict[str, Any] = self._get(f"/containers/{quote(name)}/stats", {"stream": 0, "one-shot": 1}).json()
        return answer

    def container_archive(self, name: str, path: str) -> tuple[PathStat, Response]:
        """Return what is at a path, and a tar stream of it; who does not read that closes it."""
        answer = self._get(f"/containers/{quote(name)}/archive", {"path": path})
        return path_stat(answer.headers.get(PATH_STAT, "")), answer

    def export_container(self, name: str) -> Iterator[bytes]:
        """Yield a tar stream of a container's files, without what is mounted."""
        return self._get(f"/containers/{quote(name)}/export").pieces()

    def commit(self, query: Mapping[str, str], changes: Sequence[str], *, pauses: bool) -> str:
        """Make an image of a container; ``query`` and ``changes`` are as in Docker's API. Returns its id."""
        pairs = [*query.items(), ("pause", str(int(pauses))), *(("changes", change) for change in changes)]
        return str(self._post(f"/commit?{encoded(pairs)}").json()["Id"])

    def put_archive(self, name: str, folder: str, source: Readable, *, as_user: bool = False) -> None:
        """Unpack a tar stream in a folder; ``as_user`` gives all of it to the container's user, if it has one."""
        query = encoded({"path": folder, "noOverwriteDirNonDir": 1, "copyUIDGID": int(as_user)}.items())
        target = f"/containers/{quote(name)}/archive?{query}"
        upload(self._path, target, source, method="PUT", patience_s=self._patience_s).finish()

    def remove_container(self, name: str, force: bool = False, volumes: bool = False) -> None:
        """Remove a container; with ``volumes`` its anonymous volumes too."""
        query = encoded({"force": int(force), "v": int(volumes)}.items())
        request(self._path, "DELETE", f"/containers/{quote(name)}?{query}", patience_s=self._patience_s).finish()

    def wait_container(self, name: str, condition: str = "not-running") -> int:
        """Return the exit code once the condition holds."""
        answer = self._post(f"/containers/{quote(name)}/wait", query={"condition": condition}).json()
        code: int = answer["StatusCode"]
        return code

    def logs(
        self,
        name: str,
        follow: bool = False,
        tail: str = "all",
        timestamps: bool = False,
        since: str = "",
        until: str = "",
    ) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) of a container's log."""
        query = {
            "stdout": 1,
            "stderr": 1,
            "follow": int(follow),
            "tail": tail,
            "timestamps": int(timestamps),
            "since": since,
            "until": until,
        }
        return self._get(f"/containers/{quote(name)}/logs", query).frames()

    def top(self, name: str) -> dict[str, Any]:
        """Return ``Titles`` and ``Processes`` of a running container."""
        return self._object(f"/containers/{quote(name)}/top")

    def attach(self, name: str, stdin: bool = False, logs: bool = True) -> Hijacked:
        """Attach to a container, from the beginning of its output with ``logs``; it may not have started yet."""
        query = encoded({"stream": 1, "stdin": int(stdin), "stdout": 1, "stderr": 1, "logs": int(logs)}.items())
        return hijack(self._path, f"/containers/{quote(name)}/attach?{query}", patience_s=self._patience_s)

    def resize_container(self, name: str, height: int, width: int) -> None:
        """Set the size of a container's terminal."""
        self._post(f"/containers/{quote(name)}/resize", query={"h": height, "w": width}).finish()

    def exec_create(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Sequence[str] = (),
        user: str = "",
        workdir: str = "",
        tty: bool = False,
        stdin: bool = False,
        detach: bool = False,
        privileged: bool = False,
    ) -> str:
        """Prepare a further process in a container, and return its id."""
        body = {
            "Cmd": list(argv),
            "Env": list(env),
            "User": user,
            "WorkingDir": workdir,
            "Tty": tty,
            "AttachStdin": stdin,
            "AttachStdout": not detach,
            "AttachStderr": not detach,
            "Privileged": privileged,
        }
        answer = self._post(f"/containers/{quote(name)}/exec", body).json()
        exec_id: str = answer["Id"]
        return exec_id

    def exec_start(self, exec_id: str, tty: bool = False) -> Hijacked:
        """Start a prepared process and return its streams."""
        return hijack(
            self._path, f"/exec/{quote(exec_id)}/start", body={"Detach": False, "Tty": tty}, patience_s=self._patience_s
        )

    def exec_start_detached(self, exec_id: str) -> None:
        """Start a prepared process and leave it alone."""
        self._post(f"/exec/{quote(exec_id)}/start", {"Detach": True, "Tty": False}).finish()

    def exec_inspect(self, exec_id: str) -> dict[str, Any]:
        """Return ``Running``, ``ExitCode`` and more."""
        return self._object(f"/exec/{quote(exec_id)}/json")

    def resize_exec(self, exec_id: str, height: int, width: int) -> None:
        """Set the size of a process's terminal."""
        self._post(f"/exec/{quote(exec_id)}/resize", query={"h": height, "w": width}).finish()

    # -- images, and what nothing uses ----------------------------------------------------------------

    def images(self) -> list[dict[str, Any]]:
        """Return images in Docker's list shape."""
        found: list[dict[str, Any]] = self._get("/images/json").json()
        return found

    def image_inspect(self, reference: str) -> dict[str, Any]:
        """Return an image in Docker's inspect shape."""
        return self._object(f"/images/{quote(reference)}/json")

    def image_load(self, source: Readable, platform: str = "") -> Iterator[dict[str, Any]]:
        """Load an archive; yield Docker's messages."""
        target = f"/images/load?{encoded([('platform', platform)])}"
        return upload(self._path, target, source, patience_s=self._patience_s).json_lines()

    def image_import(
        self,
        source: Readable,
        reference: str = "",
        changes: Sequence[str] = (),
        *,
        platform: str = "",
        message: str = "",
    ) -> Iterator[dict[str, Any]]:
        """Make an image out of a root tar; yield Docker's messages."""
        said = [("platform", platform), ("message", message)]
        pairs = [("fromSrc", "-"), ("repo", reference), *said, *(("changes", change) for change in changes)]
        return upload(self._path, f"/images/create?{encoded(pairs)}", source, patience_s=self._patience_s).json_lines()

    def image_build(
        self, source: Readable, *, tags: Sequence[str], query: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Build the image of a context, a tar; yield Docker's messages. ``query`` is Docker's."""
        pairs = [*(("t", tag) for tag in tags), *query.items()]
        return upload(self._path, f"/build?{encoded(pairs)}", source, patience_s=self._patience_s).json_lines()

    def image_pull(self, reference: str, platform: str = "", credentials: str = "") -> Iterator[dict[str, Any]]:
        """Pull an image; yield Docker's messages. ``credentials`` is what goes into X-Registry-Auth."""
        # Docker's API means all tags by none.
        has_tag = "@" in reference or ":" in reference.rpartition("/")[2]
        query = {"fromImage": reference, **({} if has_tag else {"tag": "latest"})}
        query |= {"platform": platform} if platform else {}
        headers = {"X-Registry-Auth": credentials} if credentials else {}
        target = f"/images/create?{encoded(query.items())}"
        return request(self._path, "POST", target, headers=headers, patience_s=self._patience_s).json_lines()

    def image_push(self, reference: str, credentials: str = "") -> Iterator[dict[str, Any]]:
        """Push an image under its name; yield Docker's messages. ``credentials`` is what goes into X-Registry-Auth."""
        # Docker's API means all tags by none.
        has_tag = ":" in reference.rpartition("/")[2]
        query = "" if has_tag else "?tag=latest"
        headers = {"X-Registry-Auth": credentials} if credentials else {}
        target = f"/images/{quote(reference)}/push{query}"
        return request(self._path, "POST", target, headers=headers, patience_s=self._patience_s).json_lines()

    def image_tag(self, reference: str, name: str) -> None:
        """Give an image another name, with a tag or not."""
        self._post(f"/images/{quote(reference)}/tag", query={"repo": name}).finish()

    def image_history(self, reference: str) -> list[dict[str, Any]]:
        """Return how an image was made, the last step first."""
        found: list[dict[str, Any]] = self._get(f"/images/{quote(reference)}/history").json()
        return found

    def image_prune(self, *, all: bool) -> dict[str, Any]:
        """Remove images without a name that no container uses; with ``all`` also those that have one."""
        return self.prune("images", {"dangling": ["false" if all else "true"]})

    def prune(self, kind: str, filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Remove the ``kind`` of things that nothing uses: containers, networks, volumes or images."""
        answer: dict[str, Any] = self._post(f"/{kind}/prune", query={"filters": json.dumps(filters)}).json()
        return answer

    def log_in(self, credentials: Mapping[str, str]) -> None:
        """Return when the registry in ``serveraddress`` takes the credentials, in Docker's shape."""
        self._post("/auth", dict(credentials)).finish()

    def image_remove(self, reference: str, force: bool = False) -> list[dict[str, str]]:
        """Untag and perhaps delete an image; return what was done."""
        target = f"/images/{quote(reference)}?{encoded({'force': int(force)}.items())}"
        found: list[dict[str, str]] = request(self._path, "DELETE", target, patience_s=self._patience_s).json()
        return found
