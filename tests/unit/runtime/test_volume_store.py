from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.model.volume import VolumeSpec
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.volumes import VolumeStore


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"spec": 1}', '{"spec": {"name": "shop"}}'])
def test_a_record_that_makes_no_sense_is_left_out_and_its_files_stay(tmp_path: Path, text: str) -> None:
    paths = EnginePaths(str(tmp_path), "abcdef")
    (tmp_path / "volumes").mkdir()
    VolumeStore(paths).create(VolumeSpec(name="well"))
    data = tmp_path / "volumes/shop/_data/file"
    data.parent.mkdir(parents=True)
    data.write_text("precious", encoding="utf-8")
    (tmp_path / "volumes/shop/spec.json").write_text(text, encoding="utf-8")

    found = VolumeStore(paths).all()

    assert [volume.spec.name for volume in found] == ["well"]
    assert data.read_text(encoding="utf-8") == "precious"
