"""What a client asks the daemon to do with a stack, and the JSON form of that."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar, get_args

from stackctl.model.registry import Credentials
from stackctl.wire.credentials import credentials_from_json, credentials_to_json
from stackctl.wire.wire_error import WireError

if TYPE_CHECKING:
    from stackctl.model.build import BuildInputs

Verb = Literal["up", "down", "start", "stop", "restart", "kill", "build"]
Build = Literal["", "always", "never"]
Recreate = Literal["diverged", "force", "never"]
Pull = Literal["", "always", "missing", "never"]
T = TypeVar("T")


class StackRequest(NamedTuple):
    """One verb on one stack.

    ``document`` is the wire form of a Document, None when the stack is to be rebuilt from labels (all verbs but
    ``up``). ``contents`` holds configs, secrets and seccomp profiles under ``config/KEY``, ``secret/KEY`` and
    ``seccomp/PATH``. No ``services`` means all. ``timeout_s`` None means as each service says; ``wait_timeout_s`` 0
    means no bound. ``pull`` comes before the services' own policies; ``credentials`` are by registry. ``builds``
    says, by service, what the user's folders hold to build images of; ``build`` whether that is done though nothing
    has changed, or not though it has. ``no_cache`` and ``build_args`` (``NAME=VALUE``) are for the verb ``build``.
    """

    verb: Verb
    document: Mapping[str, Any] | None = None
    contents: Mapping[str, bytes] = MappingProxyType({})
    services: tuple[str, ...] = ()
    recreate: Recreate = "diverged"
    remove_orphans: bool = False
    remove_volumes: bool = False
    no_deps: bool = False
    recreate_deps: bool = False
    no_start: bool = False
    wait: bool = False
    wait_timeout_s: float = 0.0
    timeout_s: float | None = None
    signal: str = "SIGKILL"
    scale: Mapping[str, int] = MappingProxyType({})
    pull: Pull = ""
    credentials: Mapping[str, Credentials] = MappingProxyType({})
    builds: Mapping[str, BuildInputs] = MappingProxyType({})
    build: Build = ""
    no_cache: bool = False
    build_args: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # What may be secret is not for tracebacks.
        return f"StackRequest(verb={self.verb!r}, services={self.services!r})"


class RunRequest(NamedTuple):
    """A one-off container of a service: what ``stack`` says about its stack, and what differs for this one.

    None means as the service says. ``publish`` and ``volumes`` are in Compose's short forms.
    """

    stack: StackRequest
    service: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    tty: bool = False
    stdin: bool = False
    name: str = ""
    service_ports: bool = False
    publish: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    use_aliases: bool = False
    remove: bool = False
    labels: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()


def stack_request_to_json(request: StackRequest) -> dict[str, Any]:
    """Return the JSON form."""
    shape = {name: _to_json(getattr(request, name)) for name in request._fields}
    shape["contents"] = {key: _base64(content) for key, content in request.contents.items()}
    if request.builds:
        from stackctl.wire import codec  # 12 ms: only for stacks with images to be built

        shape["builds"] = {name: codec.encode(inputs) for name, inputs in request.builds.items()}
    shape["credentials"] = {key: credentials_to_json(found, key) for key, found in request.credentials.items()}
    return shape


def run_request_to_json(request: RunRequest) -> dict[str, Any]:
    """Return the JSON form: one flat object."""
    own = {name: _to_json(getattr(request, name)) for name in request._fields if name != "stack"}
    return {**stack_request_to_json(request.stack), **own}


def stack_request_from_json(json: object) -> StackRequest:
    """Return the request that ``json`` stands for. Raises WireError, naming the key that is wrong."""
    return StackRequest(**_values(_object(json, "the request"), _STACK_READERS))


def run_request_from_json(json: object) -> RunRequest:
    """Return the request that ``json`` stands for; ``verb`` is ``up`` unless given. Raises WireError."""
    shape = _object(json, "the request")
    own = {key: value for key, value in shape.items() if key in _RUN_READERS}
    rest = {"verb": "up", **{key: value for key, value in shape.items() if key not in _RUN_READERS}}
    if "service" not in own:
        raise WireError("service is missing")
    stack = StackRequest(**_values(rest, _STACK_READERS))
    return RunRequest(stack=stack, **_values(own, _RUN_READERS))


def _to_json(value: object) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _base64(content: bytes) -> str:
    return b2a_base64(content, newline=False).decode("ascii")


def _values(shape: Mapping[str, Any], readers: Mapping[str, Callable[[object, str], Any]]) -> dict[str, Any]:
    unknown = sorted(set(shape) - set(readers))
    if unknown:
        raise WireError(f"a request has no {', '.join(unknown)}")
    if "verb" in readers and "verb" not in shape:
        raise WireError("verb is missing")
    return {key: readers[key](value, key) for key, value in shape.items()}


def _object(json: object, key: str) -> dict[str, Any]:
    if not isinstance(json, dict):
        raise WireError(f"{key} must be an object")
    return json


def _plain(kind: type[T]) -> Callable[[object, str], T]:
    names: Mapping[type, str] = {str: "a string", bool: "true or false", int: "a whole number"}

    def read(json: object, key: str) -> T:
        if type(json) is not kind:
            raise WireError(f"{key} must be {names[kind]}")
        return json

    return read


def _seconds(json: object, key: str) -> float:
    if not isinstance(json, int | float) or isinstance(json, bool) or not 0 <= json <= 1e9:
        raise WireError(f"{key} must be a number of seconds")
    return float(json)


def _one_of(choices: tuple[str, ...]) -> Callable[[object, str], Any]:
    def read(json: object, key: str) -> str:
        if json not in choices:
            raise WireError(f"{key} must be one of {', '.join(choices)}")
        return json

    return read


def _texts(json: object, key: str) -> tuple[str, ...]:
    if not isinstance(json, list) or not all(isinstance(item, str) for item in json):
        raise WireError(f"{key} must be a list of strings")
    return tuple(json)


def _optional(read: Callable[[object, str], T]) -> Callable[[object, str], T | None]:
    return lambda json, key: None if json is None else read(json, key)


def _contents(json: object, key: str) -> Mapping[str, bytes]:
    found = {}
    for name, text in _object(json, key).items():
        kind, slash, rest = name.partition("/")
        if kind not in ("config", "secret", "seccomp") or not slash or not rest:
            raise WireError(f"{key} are named config/KEY, secret/KEY or seccomp/PATH")
        try:
            found[name] = a2b_base64(text, strict_mode=True)
        except (Base64Error, ValueError, TypeError):
            raise WireError(f"{key} must be base64") from None
    return MappingProxyType(found)


def _scale(json: object, key: str) -> Mapping[str, int]:
    shape = _object(json, key)
    if not all(type(count) is int and 0 <= count <= 100_000 for count in shape.values()):
        raise WireError(f"{key} must map services to whole numbers, 0 or more")
    return MappingProxyType(dict(shape))


def _credentials(json: object, key: str) -> Mapping[str, Credentials]:
    shape = _object(json, key)
    return MappingProxyType({name: credentials_from_json(_object(entry, key)) for name, entry in shape.items()})


def _builds(json: object, key: str) -> Mapping[str, BuildInputs]:
    from stackctl.model.build import BuildInputs
    from stackctl.wire import codec  # as above

    return MappingProxyType({name: codec.decode(BuildInputs, entry) for name, entry in _object(json, key).items()})


_text: Final = _plain(str)
_flag: Final = _plain(bool)
_STACK_READERS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "verb": _one_of(get_args(Verb)),
    "document": _optional(_object),
    "contents": _contents,
    "services": _texts,
    "recreate": _one_of(get_args(Recreate)),
    "remove_orphans": _flag,
    "remove_volumes": _flag,
    "no_deps": _flag,
    "recreate_deps": _flag,
    "no_start": _flag,
    "wait": _flag,
    "wait_timeout_s": _seconds,
    "timeout_s": _optional(_seconds),
    "signal": _text,
    "scale": _scale,
    "pull": _one_of(get_args(Pull)),
    "credentials": _credentials,
    "builds": _builds,
    "build": _one_of(get_args(Build)),
    "no_cache": _flag,
    "build_args": _texts,
}
_RUN_READERS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "service": _text,
    "command": _optional(_texts),
    "entrypoint": _optional(_texts),
    "environment": _texts,
    "user": _text,
    "workdir": _text,
    "tty": _flag,
    "stdin": _flag,
    "name": _text,
    "service_ports": _flag,
    "publish": _texts,
    "volumes": _texts,
    "use_aliases": _flag,
    "remove": _flag,
    "labels": _texts,
    "cap_add": _texts,
    "cap_drop": _texts,
}
