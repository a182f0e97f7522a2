# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue of projects: what is found below a root, and what is read from the files."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import pytest

from qgsd.location import LocationError, parse_map
from qgsd.proxy import catalog as catalog_module
from qgsd.proxy import project_text
from qgsd.proxy.catalog import Catalog
from qgsd.proxy.project_text import About

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
    assert (entry.map, entry.title, entry.about.abstract) == (name.rsplit(".", 1)[0], "Town", "All of it")


def test_the_title_of_a_layer_is_not_the_projects(tmp_path: Path) -> None:
    write(tmp_path / "town.qgs", title="")
    assert Catalog(tmp_path).projects()[0].title == "town"


@pytest.mark.parametrize(
    ("body", "title", "abstract"),
    [
        ("<title>Own</title>", "Own", ""),
        ("<title>Own</title><properties><WMSServiceTitle>Shown</WMSServiceTitle></properties>", "Shown", ""),
        ("<title>Own</title><properties><WMSServiceTitle></WMSServiceTitle></properties>", "Own", ""),
        # QGIS 4
        ('<properties><properties name="WMSServiceTitle">New</properties></properties>', "New", ""),
        ("<projectMetadata><title>M</title><abstract>A</abstract></projectMetadata>", "M", "A"),
        ("<title>R&amp;D <![CDATA[<b>]]> \n</title>", "R&D <b>", ""),
        ("<properties><Deep><WMSServiceTitle>no</WMSServiceTitle></Deep></properties>", "town", ""),
    ],
)
def test_the_most_telling_text_is_taken(tmp_path: Path, body: str, title: str, abstract: str) -> None:
    (tmp_path / "town.qgs").write_text(f"<qgis>{body}</qgis>")
    (entry,) = Catalog(tmp_path).projects()
    assert (entry.title, entry.about.abstract) == (title, abstract)


def test_what_was_read_before_a_file_breaks_off_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "town.qgs").write_text("<qgis><title>Half</title>")
    assert Catalog(tmp_path).projects()[0].title == "town"


def test_two_files_of_one_name_keep_their_suffix(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    write(tmp_path / "town.qgs")
    assert [entry.map for entry in catalog.projects()] == ["town"]
    write(tmp_path / "town.qgz")
    assert [entry.map for entry in catalog.projects()] == ["town.qgs", "town.qgz"]


def test_what_map_names_is_what_is_found(tmp_path: Path) -> None:
    names = ["a.qgs", "a.qgz", "b.qgs.qgz", "b.qgs", "c d/é&.qgz", "sub/../x.qgs", "v1.2.qgs"]
    files = [write(tmp_path / name).resolve() for name in names]
    catalog = Catalog(tmp_path)
    assert sorted(catalog.find(parse_map(entry.map)) for entry in catalog.projects()) == sorted(files)


@pytest.mark.parametrize("name", ["http:x.qgs", "a\\b.qgs", "line\nbreak.qgs", "\udcff.qgs"])
def test_a_name_that_map_cannot_carry_is_left_out(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    assert Catalog(tmp_path).projects() == []


@pytest.mark.parametrize(
    ("name", "status"),
    [("nowhere", 404), ("folder", 404), ("/etc/passwd", 403), ("leak", 403), ("n" * 250, 404), ("town", 0)],
)
def test_finding_a_project(tmp_path: Path, name: str, status: int) -> None:
    root = tmp_path / "root"
    write(root / "town.qgs")
    (root / "folder.qgs").mkdir()
    (root / "leak.qgs").symlink_to(write(tmp_path / "secret.qgs"))
    if not status:
        assert Catalog(root).find(parse_map(name)) == root / "town.qgs"
        return
    with pytest.raises(LocationError) as refused:
        Catalog(root).find(parse_map(name))
    assert refused.value.status == status


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


def test_a_link_within_the_root_is_followed(tmp_path: Path) -> None:
    write(tmp_path / ".versions" / "2" / "town.qgs")
    (tmp_path / "town.qgs").symlink_to(".versions/2/town.qgs")
    assert [entry.title for entry in Catalog(tmp_path).projects()] == ["Town"]


def test_a_pipe_and_a_folder_are_no_projects(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.qgs")
    (tmp_path / "folder.qgs").mkdir()
    assert Catalog(tmp_path).projects() == []


def test_the_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "MAX_PROJECTS", 3)
    for number in range(5):
        write(tmp_path / f"{number}.qgs")
    assert [entry.map for entry in Catalog(tmp_path).projects()] == ["0", "1", "2"]


def test_what_a_file_says_is_read_once_for_every_change(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    path = write(tmp_path / "town.qgs")
    assert catalog.about(path) is catalog.about(path)
    write(tmp_path / "town.qgs", title="Much newer")
    assert catalog.about(path).title == "Much newer"
    path.unlink()
    assert catalog.about(tmp_path / "nowhere.qgs") == About()


def test_a_missing_root_is_an_empty_list(tmp_path: Path) -> None:
    assert Catalog(tmp_path / "gone").projects() == []


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY x SYSTEM "file://{secret}">',
        '<!ENTITY x "the secret">',
        '<!ENTITY % x SYSTEM "file://{secret}">%x;',
    ],
)
def test_entities_are_neither_read_nor_expanded(tmp_path: Path, declaration: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    document = f"<!DOCTYPE q [{declaration.format(secret=secret)}]><qgis><title>a &x;</title></qgis>"
    (tmp_path / "trick.qgs").write_text(document)
    assert Catalog(tmp_path).projects()[0].title == "trick"


def test_a_zip_that_unpacks_to_too_much_is_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_text, "MAX_READ", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.qgz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.qgs", "<qgis><title>Bomb</title>" + " " * (50 << 20) + "</qgis>")
    started = time.process_time()
    assert Catalog(tmp_path).projects()[0].title == "Bomb"
    assert time.process_time() - started < 1


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    write(tmp_path / "town.qgs", title="Old")
    assert catalog.projects()[0].title == "Old"
    write(tmp_path / "town.qgs", title="Much newer")
    assert catalog.projects()[0].title == "Much newer"
    (tmp_path / "town.qgs").unlink()
    assert catalog.projects() == []


def test_an_unchanged_file_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        write(tmp_path / f"{number}.qgs")
    catalog = Catalog(tmp_path)
    first = catalog.projects()

    def opened(*_: object) -> None:
        raise AssertionError("a file was read again")

    monkeypatch.setattr(project_text, "read", opened)
    assert catalog.projects() == first
