"""The files of the web page: complete, self-contained, nothing inline, everything labelled."""

import re
from pathlib import Path

import pytest

from transponder_api.page import page_files

FILES = page_files()
INDEX = FILES["/"].body.decode()


def test_a_file_of_a_strange_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not for the web")
    with pytest.raises(KeyError):
        page_files(tmp_path)


def test_no_file_names_another_host() -> None:
    for path, file in FILES.items():
        hosts = set(re.findall(r"https?://([\w.-]+)", file.body.decode()))
        assert hosts <= {"www.w3.org", "localhost"}, path  # the namespace of SVG, and a text


def test_the_page_holds_no_script_or_style_inline() -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", INDEX) == []


def test_every_import_and_reference_is_there() -> None:
    references = re.findall(r'(?:href|src)="(page/[^"]+)"', INDEX)
    assert references
    for reference in references:
        assert f"/{reference}" in FILES
    for path, file in FILES.items():
        for name in re.findall(r"from '\./([^']+)'", file.body.decode()):
            assert f"/page/{name}" in FILES, path


def test_every_control_has_a_label() -> None:
    """Beside the browser tests by name: fields have a label of their own or stand in one."""
    outside = re.sub(r"<label[^>]*>(?:(?!</label>).)*</label>", "", INDEX, flags=re.DOTALL)
    labelled = set(re.findall(r'<label for="([^"]+)"', INDEX))
    fields = re.findall(r'<(?:input|select)\b[^>]*?\bid="([^"]+)"', outside)
    assert fields
    assert set(fields) <= labelled
    assert len(re.findall(r"<(?:input|select)\b", outside)) == len(fields)
