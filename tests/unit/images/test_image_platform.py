"""Which image fits which machine."""

from __future__ import annotations

import pytest

from stackctl.errors import ImageError
from stackctl.images.platform import Platform, distance, host_platform, parse_platform


@pytest.mark.parametrize(
    ("wanted", "found", "far"),
    [
        ("linux/amd64", ("linux", "amd64"), 0),
        ("x86_64", ("linux", "amd64"), 0),
        ("linux/amd64", ("linux", "amd64", "v3"), None),
        ("linux/amd64/v3", ("linux", "amd64"), 2),
        ("linux/arm64", ("linux", "arm64", "v8"), 0),
        ("linux/arm64/v8", ("linux", "arm64"), 0),
        ("linux/arm/v7", ("linux", "arm", "v6"), 1),
        ("linux/arm/v6", ("linux", "arm", "v7"), None),
        ("linux/amd64", ("linux", "arm64"), None),
        ("linux/amd64", ("windows", "amd64"), None),
        ("linux/amd64", ("", ""), 1),
    ],
)
def test_the_distance_of_platforms(wanted: str, found: tuple[str, ...], far: int | None) -> None:
    assert distance(parse_platform(wanted), Platform(*found)) == far


def test_machines_have_go_names() -> None:
    assert str(host_platform("x86_64")) == "linux/amd64"
    assert str(host_platform("aarch64")) == "linux/arm64"
    assert str(host_platform("armv7l")) == "linux/arm/v7"
    assert str(host_platform("riscv64")) == "linux/riscv64"


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ImageError):
        parse_platform(text)
