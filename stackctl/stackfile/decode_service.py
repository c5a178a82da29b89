"""One service of the canonical tree to a Service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from stackctl.model.container import Dns, LogPolicy, RestartPolicy, Ulimit
from stackctl.model.health import HealthCheckOverride
from stackctl.model.limits import BlockLimit, BlockMeasure, Limits
from stackctl.model.stack import Condition, Dependency, Path, PullPolicy, Service, VolumesFrom
from stackctl.stackfile.decode_build import build_spec
from stackctl.stackfile.decode_deploy import deploy
from stackctl.stackfile.decode_hooks import hooks
from stackctl.stackfile.decode_mounts import MountDecoder, devices
from stackctl.stackfile.decode_network import exposed_ports, networking, published_ports
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems, did_you_mean, dotted, listing
from stackctl.stackfile.schema import Places
from stackctl.stackfile.security import seccomp_path
from stackctl.stackfile.tree import as_dict, as_int, as_list, as_text, pairs, said, texts
from stackctl.stackfile.units import parse_bytes, parse_duration_ns

_RESTARTS = ("no", "always", "on-failure", "unless-stopped")
_CONDITIONS: dict[str, Literal["no", "always", "on-failure", "unless-stopped"]] = {
    "": "always",
    "any": "always",
    "always": "always",
    "none": "no",
    "no": "no",
    "on-failure": "on-failure",
    "unless-stopped": "unless-stopped",
}
_PULLS: dict[str, PullPolicy] = {
    "": "",
    "always": "always",
    "never": "never",
    "build": "build",
    "missing": "missing",
    "if_not_present": "missing",
}
_BLOCK_MEASURES: dict[str, BlockMeasure] = {
    "weight_device": "weight",
    "device_read_bps": "read_bps",
    "device_write_bps": "write_bps",
    "device_read_iops": "read_iops",
    "device_write_iops": "write_iops",
}
_DEVICE_RULE = re.compile(r"[abc] (\d{1,9}|\*):(\d{1,9}|\*) [rwm]{1,3}", re.ASCII)
_UNLIMITED_LOG = 1 << 62
_DAY_NS = 24 * 3600 * 1_000_000_000
_DEFAULT_SHM = 64 * 1024 * 1024


class Names(NamedTuple):
    """The real names of what a service refers to by key. ``bridge`` is for ``network_mode: bridge``."""

    project: str
    networks: Mapping[str, str]
    volumes: Mapping[str, str]
    services: frozenset[str]
    bridge: str


def service(name: str, entry: dict[str, Json], names: Names, *, places: Places, problems: Problems) -> Service:
    """Return the service; values the schema lets pass but that cannot be are reported."""
    decoder = _Decoder(name, entry, names, places, problems)
    return decoder.service()


class _Decoder:
    def __init__(self, name: str, entry: dict[str, Json], names: Names, places: Places, problems: Problems) -> None:
        self._name = name
        self._entry = entry
        self._names = names
        self._path: Path = ("services", name)
        self._places = places
        self._problems = problems
        self._deploy = as_dict(entry.get("deploy"))

    def service(self) -> Service:
        entry = self._entry
        security = said(entry.get("security_opt"))
        mounts = MountDecoder(self._path, self._names.volumes, self._places, self._problems)
        return Service(
            name=self._name,
            image=self._text("image") or f"{self._names.project}-{self._name}",
            build=build_spec(entry.get("build"), self._text("platform")),
            replicas=self._replicas(),
            container_name=self._text("container_name"),
            command=self._argv("command"),
            entrypoint=self._argv("entrypoint"),
            environment=_environment(entry.get("environment")),
            working_dir=self._text("working_dir"),
            user=self._text("user"),
            group_add=said(entry.get("group_add")),
            hostname=self._text("hostname"),
            domainname=self._text("domainname"),
            depends_on=self._dependencies(),
            mounts=mounts.mounts(entry),
            volumes_from=_volumes_from(entry.get("volumes_from")),
            ports=published_ports(entry),
            expose=exposed_ports(entry),
            networking=networking(
                entry,
                self._path,
                dict(self._names.networks),
                bridge=self._names.bridge,
                problems=self._problems,
                places=self._places,
            ),
            dns=Dns(
                servers=said(entry.get("dns")),
                search=said(entry.get("dns_search")),
                options=said(entry.get("dns_opt")),
            ),
            extra_hosts=tuple(_host(text) for text in texts(entry.get("extra_hosts"))),
            limits=self._limits(),
            ulimits=_ulimits(entry.get("ulimits")),
            sysctls=pairs(entry.get("sysctls")),
            shm_size_bytes=parse_bytes(self._text("shm_size")) or _DEFAULT_SHM,
            restart=self._restart(),
            stop_signal=self._text("stop_signal"),
            stop_grace_s=_seconds(entry.get("stop_grace_period"), 10.0),
            healthcheck=_healthcheck(entry.get("healthcheck")),
            labels=pairs(entry.get("labels")),
            cap_add=_capabilities(entry.get("cap_add")),
            cap_drop=_capabilities(entry.get("cap_drop")),
            privileged=entry.get("privileged") is True,
            no_new_privileges=any(re.fullmatch("no-new-privileges([:=]true)?", text) for text in security),
            seccomp="unconfined" if _is_unconfined(security) else "default",
            seccomp_profile=next((path for text in reversed(security) if (path := seccomp_path(text))), ""),
            read_only=entry.get("read_only") is True,
            init=entry.get("init") is True,
            tty=entry.get("tty") is True,
            stdin_open=entry.get("stdin_open") is True,
            devices=devices(entry),
            device_rules=self._device_rules(),
            pid_mode=_namespace(self._text("pid")),
            ipc_mode=_namespace(self._text("ipc")),
            uts_mode="host" if entry.get("uts") == "host" else "",
            cgroup_mode="host" if entry.get("cgroup") == "host" else "",
            unmasked=any(re.fullmatch("systempaths[:=]unconfined", text) for text in security),
            oom_score_adj=as_int(entry.get("oom_score_adj")),
            pull_policy=_PULLS.get(self._text("pull_policy"), "missing"),
            pull_max_age_s=_pull_max_age(self._text("pull_policy"), self._text("pull_refresh_after")),
            platform=self._text("platform"),
            log=self._log(),
            post_start=hooks(entry.get("post_start")),
            pre_stop=hooks(entry.get("pre_stop")),
            attach=entry.get("attach") is not False,
            deploy=deploy(entry),
        )

    def _text(self, key: str) -> str:
        return as_text(self._entry.get(key))

    def _argv(self, key: str) -> tuple[str, ...] | None:
        value = self._entry.get(key)
        return texts(value) if isinstance(value, list) else None

    def _complain(self, path: Path, why: str, hint: str = "") -> None:
        self._problems.error(
            "bad-value",
            "Value not allowed",
            self._places.of_value((*self._path, *path)),
            detail=f"`{dotted((*self._path, *path))}` {why}.",
            hint=hint,
        )

    def _replicas(self) -> int:
        if self._deploy.get("mode") == "global":
            return 1
        scale = self._entry.get("scale", self._deploy.get("replicas"))
        return as_int(scale, 1)

    def _dependencies(self) -> tuple[Dependency, ...]:
        """A dependency that is not required and not there is left out."""
        found = []
        for name, value in as_dict(self._entry.get("depends_on")).items():
            details = as_dict(value)
            if name in self._names.services:
                found.append(
                    Dependency(
                        service=name,
                        condition=_condition(details.get("condition")),
                        required=details.get("required") is not False,
                        restart=details.get("restart") is True,
                    )
                )
        return tuple(found)

    def _limits(self) -> Limits:
        resources = as_dict(self._deploy.get("resources"))
        limits, reservations = as_dict(resources.get("limits")), as_dict(resources.get("reservations"))
        cpus = self._entry.get("cpus", limits.get("cpus"))
        pids = as_int(self._entry.get("pids_limit", limits.get("pids")))
        return Limits(
            nano_cpus=max(0, round(cpus * 1e9)) if isinstance(cpus, int | float) else 0,
            cpu_quota_us=max(0, as_int(self._entry.get("cpu_quota"))),
            cpu_period_us=max(0, as_int(self._entry.get("cpu_period"))),
            cpu_shares=max(0, as_int(self._entry.get("cpu_shares"))),
            cpu_rt_runtime_us=max(0, as_int(self._entry.get("cpu_rt_runtime"))),
            cpu_rt_period_us=max(0, as_int(self._entry.get("cpu_rt_period"))),
            cpuset=self._text("cpuset"),
            memory_bytes=_size(self._entry.get("mem_limit", limits.get("memory"))),
            memory_reservation_bytes=_size(self._entry.get("mem_reservation", reservations.get("memory"))),
            memory_swap_bytes=max(-1, parse_bytes(self._text("memswap_limit")) or 0),
            swappiness=_swappiness(self._text("mem_swappiness")),
            oom_kill_disable=self._entry.get("oom_kill_disable") is True,
            pids=max(0, pids),
            block_weight=max(0, as_int(as_dict(self._entry.get("blkio_config")).get("weight"))),
            block=_block_limits(as_dict(self._entry.get("blkio_config"))),
        )

    def _device_rules(self) -> tuple[str, ...]:
        written = said(self._entry.get("device_cgroup_rules"))
        for at, text in enumerate(written):
            if not _DEVICE_RULE.fullmatch(text):
                why = f"must be a kind of device, its numbers and what is allowed, such as `c 1:3 rwm`, not `{text}`"
                self._complain(("device_cgroup_rules", at), why)
        return written

    def _restart(self) -> RestartPolicy:
        policy = as_dict(self._deploy.get("restart_policy"))
        if policy:
            condition = as_text(policy.get("condition"))
            attempts = max(0, as_int(policy.get("max_attempts")))
            if condition not in _CONDITIONS:
                self._complain(
                    ("deploy", "restart_policy", "condition"),
                    f"must be `none`, `on-failure` or `any`, not `{condition}`",
                    did_you_mean(condition, ("none", "on-failure", "any")),
                )
            kind = _CONDITIONS.get(condition, "no")
            return RestartPolicy(
                kind=kind,
                max_attempts=attempts if kind == "on-failure" else 0,
                delay_s=_seconds(policy.get("delay"), 0.0) if kind != "no" else 0.0,
                window_s=_seconds(policy.get("window"), 0.0) if kind != "no" else 0.0,
            )
        text = self._text("restart")
        name, colon, count = text.partition(":")
        is_counted = name == "on-failure" and count.isascii() and count.isdecimal() and len(count) < 10
        if text and (name not in _RESTARTS or (colon and not is_counted)):
            why = f"must be {listing(_RESTARTS)} or `on-failure:N`, not `{text}`"
            self._complain(("restart",), why, did_you_mean(name, _RESTARTS))
            return RestartPolicy()
        return RestartPolicy(kind=_CONDITIONS[name] if name else "no", max_attempts=int(count or 0))

    def _log(self) -> LogPolicy:
        logging = as_dict(self._entry.get("logging"))
        options = as_dict(logging.get("options"))
        default = LogPolicy()
        if as_text(logging.get("driver")) not in ("", "json-file", "local"):
            return default
        size_text, count_text = as_text(options.get("max-size")), as_text(options.get("max-file"))
        size = parse_bytes(size_text) if size_text else default.max_bytes
        if size is None or size == 0 or size < -1:
            self._complain(("logging", "options", "max-size"), f"must be a size, such as `10m`, not `{size_text}`")
            return default
        if count_text and not (count_text.isascii() and count_text.isdecimal() and 1 <= len(count_text) < 6):
            self._complain(("logging", "options", "max-file"), f"must be a number, not `{count_text}`")
            return default
        # Docker keeps one file unless told otherwise; only an unlimited log gets our own default.
        count = max(1, int(count_text)) if count_text else (1 if size_text else default.max_files)
        return LogPolicy(max_bytes=_UNLIMITED_LOG if size < 0 else size, max_files=count)


def _environment(value: Json) -> tuple[tuple[str, str | None], ...]:
    entries = as_dict(value)
    return tuple((key, as_text(entries[key]) if entries[key] is not None else None) for key in sorted(entries))


def _condition(value: Json) -> Condition:
    if value == "service_healthy":
        return "service_healthy"
    if value == "service_completed_successfully":
        return "service_completed_successfully"
    return "service_started"


def _host(text: str) -> tuple[str, str]:
    name, _, address = text.partition("=")
    return name, address


def _size(value: Json) -> int:
    return max(0, parse_bytes(as_text(value)) or 0)


def _pull_max_age(policy: str, refresh_after: str) -> float:
    """Return after how many seconds an image is to be asked for again; 0 for never."""
    if policy == "refresh":
        return (parse_duration_ns(refresh_after) or _DAY_NS) / 1e9
    spans = {"daily": "1d", "weekly": "1w"}
    text = spans.get(policy) or (policy.removeprefix("every_") if policy.startswith("every_") else "")
    return (parse_duration_ns(text) or 0) / 1e9 if text else 0.0


def _volumes_from(value: Json) -> tuple[VolumesFrom, ...]:
    found = [text.partition(":") for text in said(value) if not text.startswith("container:")]
    return tuple(VolumesFrom(name, mode == "ro") for name, _, mode in found)


def _swappiness(text: str) -> int:
    found = parse_bytes(text) if text else None
    return -1 if found is None else min(max(found, -1), 100)


def _block_limits(config: dict[str, Json]) -> tuple[BlockLimit, ...]:
    found = []
    for key, measure in _BLOCK_MEASURES.items():
        for entry in map(as_dict, as_list(config.get(key))):
            value = entry.get("weight") if measure == "weight" else parse_bytes(as_text(entry.get("rate")))
            amount = max(0, as_int(value))
            if amount:
                found.append(BlockLimit(measure=measure, device=as_text(entry.get("path")), value=amount))
    return tuple(found)


def _seconds(value: Json, default: float) -> float:
    found = _optional_seconds(value)
    return default if found is None or found < 0 else found


def _optional_seconds(value: Json) -> float | None:
    nanoseconds = parse_duration_ns(as_text(value)) if isinstance(value, str) else None
    return None if nanoseconds is None else nanoseconds / 1e9


def _ulimits(value: Json) -> tuple[Ulimit, ...]:
    found = []
    for name, entry in sorted(as_dict(value).items()):
        both = as_dict(entry)
        soft = as_int(both.get("soft")) if both else as_int(entry)
        found.append(Ulimit(name=name, soft=soft, hard=as_int(both.get("hard")) if both else soft))
    return tuple(found)


def _capabilities(value: Json) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.upper().removeprefix("CAP_") for text in said(value)))


def _namespace(mode: str) -> str:
    return mode if mode == "host" or mode.startswith(("service:", "container:")) else ""


def _is_unconfined(security: tuple[str, ...]) -> bool:
    return any(re.fullmatch("seccomp[:=]unconfined", text) for text in security)


def _healthcheck(value: Json) -> HealthCheckOverride | None:
    check = as_dict(value)
    if not check:
        return None
    test = texts(check.get("test")) or None
    if check.get("disable") is True:
        test = ("NONE",)
    retries = check.get("retries")
    return HealthCheckOverride(
        test=test,
        interval_s=_optional_seconds(check.get("interval")) or None,
        timeout_s=_optional_seconds(check.get("timeout")) or None,
        retries=as_int(retries) or None,
        start_period_s=_optional_seconds(check.get("start_period")),
        start_interval_s=_optional_seconds(check.get("start_interval")) or None,
    )
