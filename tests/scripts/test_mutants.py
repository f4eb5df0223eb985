"""The mutants fit the code: each changes one place, and names tests that exist."""

import re

import pytest


def test_each_mutant_changes_one_place(mutants):
    root = mutants.ROOT / "vinci_offline"
    names = [mutant.name for mutant in mutants.MUTANTS]
    assert len(set(names)) == len(names) >= 38
    for mutant in mutants.MUTANTS:
        sound = (root / mutant.file).read_text(encoding="utf-8")
        changed = mutant.change(sound)
        assert changed != sound
        compile(changed, mutant.file, "exec")


def test_each_mutant_names_tests_that_exist(mutants):
    for mutant in mutants.MUTANTS:
        assert mutant.tests, mutant.name
        for test in mutant.tests:
            file, *parts = test.split("::")
            text = (mutants.ROOT / "tests" / file).read_text(encoding="utf-8")
            for part in parts:
                assert re.search(rf"^\s*(def|class) {part}\b", text, re.MULTILINE), test


def test_text_that_is_not_there_once_is_refused(mutants):
    first = mutants.MUTANTS[0]
    with pytest.raises(ValueError, match="occurs 0 times"):
        first.change("")
    with pytest.raises(ValueError, match="occurs 2 times"):
        first.change(2 * first.before)


def test_a_mutant_is_applied_and_taken_back(mutants, tmp_path):
    mutant = mutants.MUTANTS[0]
    path = tmp_path / "vinci_offline" / mutant.file
    path.parent.mkdir(parents=True)
    path.write_text(mutant.before)
    with mutants.applied(tmp_path, mutant):
        assert path.read_text() == mutant.after
    assert path.read_text() == mutant.before
