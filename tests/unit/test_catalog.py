# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue of projects: what is found below a root, and what is read from the files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from qgsd.proxy.catalog import Catalog

PROJECT = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22"><title>{title}</title>
<projectlayers><maplayer><title>a layer</title></maplayer></projectlayers>
<properties><WMSServiceAbstract type="QString">{abstract}</WMSServiceAbstract></properties></qgis>"""


def write(path: Path, title: str = "Town", abstract: str = "All of it") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = PROJECT.format(title=title, abstract=abstract)
    if path.suffix == ".qgz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.qgs", text)
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["town.qgs", "town.qgz", "deep/er/town.qgs"])
def test_title_and_abstract_come_from_the_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    (entry,) = Catalog(tmp_path).projects()
    assert (entry.map, entry.title, entry.abstract) == (name.rsplit(".", 1)[0], "Town", "All of it")


def test_the_title_of_a_layer_is_not_the_projects(tmp_path: Path) -> None:
    write(tmp_path / "town.qgs", title="")
    assert Catalog(tmp_path).projects()[0].title == "town"


def test_two_files_of_one_name_keep_their_suffix(tmp_path: Path) -> None:
    for name in ("town.qgs", "town.qgz"):
        write(tmp_path / name)
    assert [entry.map for entry in Catalog(tmp_path).projects()] == ["town.qgs", "town.qgz"]


@pytest.mark.parametrize("content", [b"", b"<qgis>", b"\xff\xfe", b"PK\x03\x04 no zip"])
@pytest.mark.parametrize("name", ["bad.qgs", "bad.qgz"])
def test_a_broken_file_is_listed_under_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (entry,) = Catalog(tmp_path).projects()
    assert (entry.map, entry.title) == ("bad", "bad")


def test_a_zip_without_a_project_is_listed_under_its_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "odd.qgz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert Catalog(tmp_path).projects()[0].title == "odd"


def test_links_out_of_the_root_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "secret.qgs")
    root = tmp_path / "root"
    write(root / ".hidden" / "a.qgs")
    write(root / ".b.qgs")
    (root / "link.qgs").symlink_to(outside)
    assert Catalog(root).projects() == []


def test_external_entities_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret")
    document = f'<!DOCTYPE q [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><qgis><title>&x;</title></qgis>'
    (tmp_path / "trick.qgs").write_text(document)
    assert "secret" not in Catalog(tmp_path).projects()[0].title


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    write(tmp_path / "town.qgs", title="Old")
    assert catalog.projects()[0].title == "Old"
    write(tmp_path / "town.qgs", title="Much newer")
    assert catalog.projects()[0].title == "Much newer"
    (tmp_path / "town.qgs").unlink()
    assert catalog.projects() == []
