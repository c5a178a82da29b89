"""Where an engine keeps its things."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, NamedTuple

_TEMPORARY: Final = ".tmp"
_ID_LENGTH: Final = 6
RUN_PARENT: Final = "/run/stackctl"


class EnginePaths(NamedTuple):
    """Paths of one engine: what lasts below ``root``, what ends with the boot below ``/run/stackctl/ID``."""

    root: str
    engine_id: str

    @property
    def run(self) -> str:
        """Sockets, journal, process ids: gone after a reboot."""
        return f"{RUN_PARENT}/{self.engine_id}"

    @property
    def api_socket(self) -> str:
        """The daemon's HTTP socket."""
        return f"{self.run}/api.sock"

    @property
    def supervisor_socket(self) -> str:
        """The supervisor's private socket."""
        return f"{self.run}/supervisor.sock"

    @property
    def journal(self) -> str:
        """The keeper's record of exits."""
        return f"{self.run}/exits"

    def stamp(self, group: str) -> str:
        """Text that is there as long as nothing of a group of containers has changed; see ``stamps``."""
        return f"{self.run}/stamp-{group}"

    @property
    def processes(self) -> str:
        """JSON with the process ids of keeper, supervisor and daemon; written by the keeper."""
        return f"{self.run}/processes.json"

    @property
    def holders(self) -> str:
        """JSON with the processes that hold the kept descriptors should all others die; see ``holder``."""
        return f"{self.run}/holders.json"

    @property
    def spawn(self) -> str:
        """JSON with interpreter and arguments of supervisor and daemon; read by the keeper at each start."""
        return f"{self.root}/spawn.json"

    @property
    def engine_lock(self) -> str:
        """Locked by the keeper for its whole life."""
        return f"{self.root}/engine.lock"

    @property
    def start_lock(self) -> str:
        """Locked while somebody starts the engine."""
        return f"{self.root}/start.lock"

    @property
    def database(self) -> str:
        """The supervisor's SQLite index."""
        return f"{self.root}/supervisor.db"

    @property
    def containers(self) -> str:
        """One folder a container."""
        return f"{self.root}/containers"

    @property
    def set_aside(self) -> str:
        """Folders of containers whose specification is lost, until somebody has looked at them. See ``set_aside``."""
        return f"{self.root}/set-aside"

    @property
    def networks(self) -> str:
        """One JSON file a network."""
        return f"{self.root}/networks"

    @property
    def volumes(self) -> str:
        """One folder a volume, its content in ``_data``."""
        return f"{self.root}/volumes"

    @property
    def contents(self) -> str:
        """Content of configs and secrets, by fingerprint."""
        return f"{self.root}/contents"

    @property
    def trash(self) -> str:
        """What was removed and waits to be unlinked."""
        return f"{self.root}/trash"

    def container(self, container_id: str) -> str:
        """Return the folder of one container."""
        return f"{self.containers}/{container_id}"

    def make(self) -> None:
        """Make every folder that is missing. Raises OSError."""
        os.makedirs(self.root, 0o710, exist_ok=True)
        for path in (self.containers, self.networks, self.volumes, self.trash):
            os.makedirs(path, 0o711, exist_ok=True)
        os.makedirs(self.contents, 0o700, exist_ok=True)
        os.makedirs(self.run, 0o700, exist_ok=True)


def open_engine(root: str) -> EnginePaths:
    """Return the paths of the engine whose state root is ``root``, giving it an id when it has none.

    Two callers at once get the same id. Raises OSError.
    """
    root = os.path.realpath(root)
    os.makedirs(root, 0o710, exist_ok=True)
    path = f"{root}/engine-id"
    for _ in range(2):
        try:
            with open(path, encoding="ascii") as file:
                return EnginePaths(root, file.read().strip())
        except FileNotFoundError:
            _write_once(path, _former_id(root) or os.urandom(3).hex())
    raise FileNotFoundError(2, "engine id cannot be written", path)


def find_engine(root: str) -> EnginePaths | None:
    """Return the paths of an engine that exists, None where there never was one."""
    root = os.path.realpath(root)
    try:
        with open(f"{root}/engine-id", encoding="ascii") as file:
            return EnginePaths(root, file.read().strip())
    except NotADirectoryError:
        return None
    except FileNotFoundError:
        former = _former_id(root)
        if not former:
            return None
    with suppress(OSError):  # who may not write here has what was asked for all the same
        _write_once(f"{root}/engine-id", former)
    return EnginePaths(root, former)


def _former_id(root: str) -> str:
    """Return the id of the engine that was started here before its file was deleted, "" when there was none.

    Another id would be another engine: it would not find what runs.
    """
    import json  # as a rule the file is there

    try:
        with open(f"{root}/spawn.json", "rb") as file:
            former = json.load(file)["supervisor"][-1]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return ""
    is_one = isinstance(former, str) and len(former) == _ID_LENGTH and not set(former) - set("0123456789abcdef")
    return former if is_one else ""


def _write_once(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)


def write_atomically(path: str, content: bytes, *, mode: int = 0o600, is_durable: bool = True) -> None:
    """Replace the file ``path``: readers see the old content or the new, never a part.

    With ``is_durable`` it is on the disk when this returns.
    """
    temporary = f"{path}{_TEMPORARY}{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, content)
            if is_durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    if is_durable:
        _fsync_folder(os.path.dirname(path))


def write_all(fd: int, content: bytes) -> None:
    """Write all of it: a disk that is getting full takes a part first. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def drop_half_written(folder: str) -> None:
    """Unlink what a writer that died left in ``folder``. Raises OSError."""
    for name in os.listdir(folder):
        if name.rpartition(_TEMPORARY)[2].isdigit() and _TEMPORARY in name:
            os.unlink(f"{folder}/{name}")


def _fsync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
