"""Whatever lies in the current folder, raftkv starts itself and no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raftkv.cluster.ourselves import own_command


def another_raftkv(folder: Path) -> Path:
    (folder / "raftkv").mkdir(parents=True)
    (folder / "raftkv" / "__init__.py").write_text("")
    (folder / "raftkv" / "__main__.py").write_text("print('another one')")
    return folder


def test_another_raftkv_in_the_current_folder_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(another_raftkv(tmp_path))
    naive = subprocess.run(
        [sys.executable, "-m", "raftkv"], capture_output=True, text=True, check=True, timeout=60
    )
    assert naive.stdout == "another one\n", "or there is nothing to be seen here"
    ours = subprocess.run(own_command("--version"), capture_output=True, text=True, check=True, timeout=60)
    assert ours.stdout.startswith("raftkv ")


def test_a_checkout_that_is_not_installed_starts_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import raftkv

    monkeypatch.chdir(another_raftkv(tmp_path))
    monkeypatch.setattr(raftkv, "__file__", str(tmp_path / "raftkv" / "__init__.py"))
    done = subprocess.run(own_command(), capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "another one\n"
