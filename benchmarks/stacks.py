"""The stacks that are measured. Every side reads the same bytes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.sides import IMAGE

# Ends at once on SIGTERM, as a well-made service does; then what is measured is the engine.
SERVE = ["sh", "-c", "trap 'exit 0' TERM; sleep 86400 & wait"]
_BUSYBOX = Path("/bin/busybox")
_APPLETS = ("sh", "sleep", "cat", "touch", "true", "echo", "env")


def write_root_tar(path: Path) -> None:
    """Write the root of the image: busybox, links for its applets, a few folders. Raises OSError."""
    with tarfile.open(path, "w") as tar:
        for name in ("bin", "etc", "tmp", "usr", "lib", "lib64", "data"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        program = tarfile.TarInfo("bin/busybox")
        content = _BUSYBOX.read_bytes()
        program.size, program.mode = len(content), 0o755
        tar.addfile(program, io.BytesIO(content))
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)


def service(**keys: Any) -> dict[str, Any]:
    """Return a service that waits, with ``keys`` over it."""
    return {"image": IMAGE, "command": SERVE, **keys}


def many(count: int) -> dict[str, dict[str, Any]]:
    """Return ``count`` services on one network, all alike."""
    return {f"s{number:03}": service() for number in range(1, count + 1)}


def chain(count: int) -> dict[str, dict[str, Any]]:
    """Return services of which each waits until the one before is healthy."""
    services = {}
    for number in range(1, count + 1):
        check = {"test": ["CMD", "true"], "interval": "1s", "timeout": "5s", "retries": 3}
        needs = {f"s{number - 1:03}": {"condition": "service_healthy"}} if number > 1 else {}
        services[f"s{number:03}"] = service(healthcheck=check, depends_on=needs)
    return services


def with_python(script: str, **keys: Any) -> dict[str, Any]:
    """Return a service that runs a script of ``benchmarks/inside`` with this machine's Python."""
    here = Path(__file__).parent / "inside"
    binds = [f"{path}:{path}:ro" for path in ("/usr", "/lib", "/lib64") if Path(path).exists()]
    argv = ["/usr/bin/python3", "-IS", f"/bench/{script}"]
    return service(command=argv, volumes=[*binds, f"{here}:/bench:ro"], stop_signal="SIGKILL", **keys)


def write_stack(folder: Path, services: Mapping[str, Any]) -> Path:
    """Write ``compose.yaml`` into ``folder``, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"name: {folder.name}", "services:"]
    for name, keys in services.items():
        lines.append(f"  {name}:")
        lines += [f"    {key}: {json.dumps(value)}" for key, value in keys.items()]
    (folder / "compose.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
