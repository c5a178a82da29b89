"""Image references are normalised as Docker does."""

from __future__ import annotations

import pytest

from stackctl.errors import ImageError
from stackctl.images.incoming import parse_tag
from stackctl.model.image import parse_image_ref

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("grafana/loki", "docker.io/grafana/loki:latest", "grafana/loki:latest"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1"),
        ("ghcr.io/a__b/c-d", "ghcr.io/a__b/c-d:latest", "ghcr.io/a__b/c-d:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}", f"nginx:1@{DIGEST}"),
    ],
)
def test_a_reference_is_normalised(text: str, full: str, familiar: str) -> None:
    reference = parse_image_ref(text)
    assert (str(reference), reference.familiar) == (full, familiar)


@pytest.mark.parametrize("text", ["", ":1", "Nginx", "a b", "nginx:", "a//b", "-a", "a@sha256:12", "nginx:.x", "../a"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|lower case"):
        parse_image_ref(text)


@pytest.mark.parametrize("text", ["host", "host:latest", "docker.io/library/host", f"nginx@{DIGEST}", "A", "a" * 256])
def test_an_image_cannot_get_such_a_name(text: str) -> None:
    with pytest.raises(ImageError):
        parse_tag(text)
