"""Warnings and refusals take one line on the terminal."""

import warnings

import pytest
from typer.testing import CliRunner

from vinci_offline import VinciWarning
from vinci_offline.cli.app import app
from vinci_offline.cli.console import errors_as_exit_codes


def test_only_vinci_warnings_become_one_line(capsys, monkeypatch):
    others = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: others.append(str(message)))
    before = warnings.showwarning
    with errors_as_exit_codes():
        warnings.simplefilter("always")
        warnings.warn("values diverge", VinciWarning, stacklevel=1)
        warnings.warn("an old name", FutureWarning, stacklevel=1)
    assert capsys.readouterr().err.splitlines() == ["warning: values diverge"]
    assert others == ["an old name"]
    assert warnings.showwarning is before


@pytest.mark.parametrize("kept", [False, True])
def test_best_needs_a_kept_policy(tmp_path, kept):
    if kept:
        (tmp_path / "best").mkdir()
        (tmp_path / "best" / "config.json").write_text("{}")
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--best"])
    if kept:
        assert f"{tmp_path / 'best' / 'config.json'} does not describe a run" in result.stderr
    else:
        assert result.exit_code == 2
        assert (
            "has no best policy: --best is for runs trained with --eval-every or --validation"
            in result.stderr
        )
