"""The values of ``RUN --mount``."""

from __future__ import annotations

import pytest

from stackctl.images.dockerfile.mounts import (
    BadMount,
    BindMount,
    CacheMount,
    Mount,
    SecretMount,
    SshMount,
    TmpfsMount,
    read_mount,
)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("target=/a", BindMount(target="/a")),
        ("type=bind,dst=/a,src=b,from=c", BindMount(target="/a", source="b", source_stage="c")),
        ("destination=/a,rw", BindMount(target="/a", is_writable=True)),
        ("target=/a,readwrite=true", BindMount(target="/a", is_writable=True)),
        ("target=/a,ro=false", BindMount(target="/a", is_writable=True)),
        ("target=/a,readonly", BindMount(target="/a")),
        ('"target=/a,b"', BindMount(target="/a,b")),
        ("type=cache,target=/a/", CacheMount(target="/a/", id="/a")),
        (
            "type=cache,id=x,target=/a,sharing=locked,mode=0700,uid=1,gid=2,ro,from=s,source=/p",
            CacheMount(
                target="/a", id="x", sharing="locked", mode=0o700, uid=1, gid=2, is_readonly=True,
                source_stage="s", source="/p",
            ),
        ),
        ("type=TMPFS,target=/a", TmpfsMount(target="/a")),
        ("type=tmpfs,target=/a,size=64m", TmpfsMount(target="/a", size_bytes=64 << 20)),
        ("type=tmpfs,target=/a,size=1000", TmpfsMount(target="/a", size_bytes=1000)),
        ("type=tmpfs,target=/a,size=1GB", TmpfsMount(target="/a", size_bytes=1 << 30)),
        ("type=secret,id=x", SecretMount(id="x", target="/run/secrets/x")),
        ("type=secret,target=/root/.netrc", SecretMount(id=".netrc", target="/root/.netrc")),
        ("type=secret,id=x,env=X,required", SecretMount(id="x", target="", env="X", is_required=True)),
        ("type=ssh", SshMount()),
        ("type=ssh,id=x,required=true,target=/s", SshMount(id="x", target="/s", is_required=True)),
    ],
)  # fmt: skip
def test_a_mount_is_read(text: str, mount: Mount) -> None:
    assert read_mount(text) == mount


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type=bund,target=/a", "`bund` is no type of mount."),
        ("type=tmpfs,target=/a,source=b", "A mount of type tmpfs has no `source`."),
        ("target", "`target` is not of the form `KEY=VALUE`."),
        ("type=cache", "A mount needs `target`."),
        ("type=cache,target=/a,sharing=x", "`x` is no way of sharing."),
        ("type=cache,target=/a,mode=rwx", "`rwx` is no mode."),
        ("type=cache,target=/a,uid=me", "`uid` is a number."),
        ("type=tmpfs,target=/a,size=big", "`big` is no size."),
        ("type=secret", "A secret needs `id` or `target`."),
        ("target=/a,rw=maybe", "`rw` is either true or false."),
    ],
)
def test_what_is_no_mount_says_why(text: str, said: str) -> None:
    with pytest.raises(BadMount, match="^" + said.replace(".", "\\.") + "$"):
        read_mount(text)
