"""Checkpoint files: whole or not at all, refused where foreign, damaged or another's."""

import os
import pickle
import re

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skreg.training.checkpoint import Checkpoint

STATE = {
    "weights": torch.arange(6.0).reshape(2, 3),
    "keys": np.array([2**32 - 1, 0], np.uint32),
    "curves": [np.array([1.5, -np.inf])],
    "text": "MT19937",
    "nothing": None,
    "number": np.float64(0.1),
}


def open_at(path, *, interval=0, resume=True):
    return Checkpoint(path, interval=interval, resume=resume)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "fit.checkpoint"
    checkpoint = open_at(path)
    checkpoint.belong_to({"alpha": "1", "X": "2"})
    checkpoint.write(STATE)
    return path


def test_what_was_written_is_read_bit_for_bit(path):
    state = open_at(path).state
    assert state.keys() == STATE.keys()
    assert_array_equal(state["weights"], STATE["weights"])
    assert state["keys"].tolist() == [2**32 - 1, 0]
    assert_array_equal(state["curves"][0], STATE["curves"][0])
    assert (state["text"], state["nothing"], state["number"]) == ("MT19937", None, 0.1)


def test_nothing_is_left_next_to_the_file_and_a_part_from_a_kill_goes(path):
    part = path.with_name(path.name + ".part")
    part.write_bytes(b"half")
    open_at(path).write(STATE)
    assert os.listdir(path.parent) == [path.name]


def test_the_file_is_replaced_only_when_the_new_one_is_whole(path, monkeypatch):
    before = path.read_bytes()

    def crash(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="no space left"):
        open_at(path).write({})
    assert path.read_bytes() == before


def test_writes_wait_for_the_interval_but_the_last_does_not(tmp_path):
    checkpoint = open_at(tmp_path / "file", interval=1000)
    checkpoint.keep(lambda: 1)
    assert not checkpoint.path.exists()
    checkpoint.keep(lambda: 1, last=True)
    assert open_at(checkpoint.path).state == 1


@pytest.mark.parametrize("length", [0, 10, 40, -1])
@pytest.mark.parametrize("resume", [True, False])
def test_a_truncated_file_is_an_error_and_stays(path, length, resume):
    content = path.read_bytes()[:length]
    path.write_bytes(content)
    if not resume and len(content) > 30:
        open_at(path, resume=False)  # ours, and to be overwritten
        return
    with pytest.raises(ValueError, match=r"checkpoint=.*fit\.checkpoint.*left as it is"):
        open_at(path, resume=resume)
    assert path.read_bytes() == content


def test_one_flipped_bit_is_an_error_and_the_file_stays(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged: .* checksum"):
        open_at(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", pickle.dumps({"state": 1})])
def test_a_foreign_file_is_an_error_and_stays(tmp_path, content, resume):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a checkpoint of this version of skreg"):
        open_at(path, resume=resume)
    assert path.read_bytes() == content


@pytest.mark.parametrize("resume", [True, False])
def test_a_directory_or_none_is_an_error(tmp_path, resume):
    with pytest.raises(ValueError, match="is not a checkpoint"):
        open_at(tmp_path, resume=resume)
    with pytest.raises(ValueError, match=r"there is no directory .*missing"):
        open_at(tmp_path / "missing" / "file", resume=resume)


def test_a_file_of_other_work_names_what_differs_and_stays(path):
    before = path.read_bytes()
    checkpoint = open_at(path)
    checkpoint.belong_to({"alpha": "1"})
    with pytest.raises(ValueError, match=r"from another fit: X differs.*left as it is"):
        checkpoint.belong_to({"X": "3"})
    with pytest.raises(ValueError, match=re.escape("alpha, tol differ")):
        open_at(path).belong_to({"alpha": "2", "tol": "0"})
    assert path.read_bytes() == before


class Evil:
    def __reduce__(self):
        return (open, ("evil", "w"))


def test_a_file_made_to_run_code_runs_none(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("skreg.training.checkpoint._as_tensors", lambda value: value)
    open_at(path).write(Evil())
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        open_at(path)
    assert not os.path.exists("evil")
