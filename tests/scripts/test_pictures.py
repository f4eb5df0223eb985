"""Pictures of texts hold the text, and nothing of the machine that made them."""

import ast


def test_text_becomes_a_picture(pictures, tmp_path, capsys):
    studio = pictures.Studio(tmp_path / "checkout", tmp_path, tmp_path)
    studio.text(
        "help", "a title", f"\x1b[1mfirst\x1b[0m line\n{tmp_path}/checkout/data.h5\n{'long ' * 30}end"
    )
    svg = (tmp_path / "help.svg").read_text().replace("&#160;", " ")
    assert all(told in svg for told in ("a title", "first", "line", "end", "/home/me/vinci-offline/data.h5"))
    assert str(tmp_path) not in svg
    assert "https://" not in svg
    assert capsys.readouterr().out == f"{tmp_path}/help.svg\n"


def test_without_a_browser_tensorboard_has_no_picture(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pictures, "BROWSERS", ("no-browser-of-this-name",))
    pictures.Studio(tmp_path, tmp_path, tmp_path).tensorboard()
    assert "no picture of TensorBoard" in capsys.readouterr().out


def test_every_cell_ends_in_an_expression(pictures):
    assert all(isinstance(ast.parse(cell).body[-1], ast.Expr) for cell in pictures.CELLS)
