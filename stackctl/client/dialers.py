"""Ways to an engine that is not ours: unix sockets, TCP, TLS, ssh. Each gives a plain stream socket.

TLS and ssh are spoken on its far side, by a thread and by a process: whoever has the socket may poll it and end its
sending direction alone, which a TLS socket of the standard library cannot do.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final, NamedTuple

from stackctl.errors import EngineUnreachable

_SSH_OPTIONS: Final = ("-o", "ConnectTimeout=30", "-o", "BatchMode=yes", "-T")
"""Nobody could answer a question: the socket is the standard input."""


class TlsFiles(NamedTuple):
    """Who may be believed, and who we are."""

    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class UnixDialer:
    """A unix socket of this machine."""

    path: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"unix://{self.path}"

    def dial(self, timeout_s: float) -> socket.socket:
        """See ``connection.Dialer``."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(timeout_s)
            sock.connect(self.path)
        except OSError as error:
            sock.close()
            raise _unreachable(str(self), error) from error
        return sock


@dataclass(frozen=True, slots=True)
class TcpDialer:
    """TCP without encryption."""

    host: str
    port: int
    prefix: str = ""

    def __str__(self) -> str:
        return f"tcp://{_bracketed(self.host)}:{self.port}"

    def dial(self, timeout_s: float) -> socket.socket:
        """See ``connection.Dialer``."""
        try:
            sock = socket.create_connection((self.host, self.port), timeout_s)
        except OSError as error:
            raise _unreachable(str(self), error) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A machine that goes away says nothing: streams that only listen would wait for ever.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock


@dataclass(frozen=True, slots=True)
class TlsDialer:
    """TCP with TLS, both sides showing who they are."""

    host: str
    port: int
    files: TlsFiles
    prefix: str = ""

    def __str__(self) -> str:
        return f"tcp://{_bracketed(self.host)}:{self.port}"

    def dial(self, timeout_s: float) -> socket.socket:
        """See ``connection.Dialer``."""
        from stackctl.client.tls import tls_stream  # OpenSSL: only for this

        return tls_stream(TcpDialer(self.host, self.port).dial(timeout_s), self.host, self.files, str(self))


@dataclass(frozen=True, slots=True)
class SshDialer:
    """The engine's own socket on another machine, through ``docker system dial-stdio`` there, as Docker's client does.

    ``user`` "" and ``port`` 0 are as ssh's settings have them.
    """

    user: str
    host: str
    port: int = 0
    prefix: str = ""

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{_bracketed(self.host)}" + (f":{self.port}" if self.port else "")

    def command(self) -> list[str]:
        """Return the command that speaks for the far side."""
        user = ("-l", self.user) if self.user else ()
        port = ("-p", str(self.port)) if self.port else ()
        return ["ssh", *_SSH_OPTIONS, *user, *port, "--", self.host, "docker", "system", "dial-stdio"]

    def dial(self, timeout_s: float) -> socket.socket:
        """See ``connection.Dialer``. What ssh has to say goes to standard error."""
        import subprocess  # 15 ms: only for this

        del timeout_s  # ssh has its own
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                subprocess.Popen(self.command(), stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True)
            except OSError as error:
                ours.close()
                raise EngineUnreachable(
                    f"the engine at {self} cannot be reached: ssh cannot be run: {error.strerror}",
                    hint="install an ssh client",
                ) from error
        return ours


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _unreachable(name: str, error: OSError) -> EngineUnreachable:
    if isinstance(error, PermissionError):
        return EngineUnreachable(
            f"you may not use the engine at {name}",
            code="engine-permission",
            hint="run the command as root, or as a member of the group that owns the socket",
        )
    what = "nobody answers there" if isinstance(error, TimeoutError) else error.strerror or str(error)
    return EngineUnreachable(
        f"the engine at {name} cannot be reached: {what}", hint="see that it runs there: --engine says where it is"
    )
