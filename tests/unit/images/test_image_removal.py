"""Which names go when an image is removed by one of them."""

from __future__ import annotations

import pytest

from stackctl.errors import Conflict
from stackctl.images.config import StoredImage
from stackctl.images.removal import ImageUser, names_to_go
from stackctl.model.image import parse_image_ref

A = "app@sha256:" + "a" * 64
ELSEWHERE = "lan:5000/app@sha256:" + "b" * 64


def image(*names: str) -> StoredImage:
    return StoredImage(
        id="sha256:" + "1" * 64,
        tags=tuple(name for name in names if "@" not in name),
        digests=tuple(name for name in names if "@" in name),
        size_bytes=0,
        tagged_ns=0,
        document=b"{}",
    )


@pytest.mark.parametrize(
    ("names", "by", "going"),
    [
        (("app:1", A), "app:1", ["app:1", A]),
        (("app:1", "app:2", A), "app:1", ["app:1"]),
        (("app:1", A, "lan:5000/app:1", ELSEWHERE), "app:1", ["app:1", A]),
        (("app:1", A), A, [A]),
        (("app:1", "b:1"), "b:1", ["b:1"]),
    ],
)
def test_with_the_last_tag_of_a_repository_go_its_digests(names: tuple[str, ...], by: str, going: list[str]) -> None:
    assert names_to_go(image(*names), parse_image_ref(by), (), force=False) == going


def test_by_id_all_names_go_but_several_only_by_force() -> None:
    with pytest.raises(Conflict, match="referenced in multiple repositories"):
        names_to_go(image("app:1", "b:1"), None, (), force=False)
    assert names_to_go(image("app:1", "b:1"), None, (), force=True) == ["app:1", "b:1"]


def test_the_last_name_of_an_image_in_use_goes_only_by_force() -> None:
    users = [ImageUser("web", is_running=False)]

    with pytest.raises(Conflict, match=r'unable to remove repository reference "app:1" \(must force\)'):
        names_to_go(image("app:1", A), parse_image_ref("app:1"), users, force=False)
    assert names_to_go(image("app:1", A), parse_image_ref("app:1"), users, force=True) == ["app:1", A]
