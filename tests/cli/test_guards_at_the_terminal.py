"""What the guards look like at a terminal: one line each."""

import warnings

import pytest
import typer

from vinci_offline import VinciWarning
from vinci_offline.cli.console import errors_as_exit_codes
from vinci_offline.cli.evaluate import evaluate


def test_a_warning_is_one_line_and_others_are_left_as_they_are(capsys, monkeypatch):
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
def test_best_is_what_the_run_kept_or_is_refused(tmp_path, capsys, kept):
    if kept:
        (tmp_path / "best").mkdir()
        (tmp_path / "best" / "config.json").write_text("{}")
    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes():
        evaluate(str(tmp_path), best=True)
    told = capsys.readouterr().err
    if kept:
        assert f"{tmp_path / 'best' / 'config.json'} does not describe a run" in told
    else:
        assert ended.value.exit_code == 2
        assert "has no best policy: --best is for runs trained with --eval-every or --validation" in told
