"""The script of the first hour finds the commands of pages and outputs, and says what does not hold."""

import subprocess

import pytest

TRAINED = """runs/a: 400 steps, mean return 9.00
evaluate it with: vinci-offline evaluate 'my runs/a'
its best return in evaluations was at step 200; compare that policy with: vinci-offline evaluate 'my runs/a' --best
versions  vinci-offline 0.1.0, python 3.11.7
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "vinci-offline train a.h5 --steps 20000 --eval-every 5",
            "vinci-offline train a.h5 --steps 400 --eval-every 5",
        ),
        ("vinci-offline train a.h5 -o b", "vinci-offline train --steps 400 a.h5 -o b"),
        (
            "vinci-offline train a.h5 --phases critic:20000,actor:10000,both:70000",
            "vinci-offline train a.h5 --phases critic:100,actor:100,both:100",
        ),
        ("vinci-offline evaluate 'a b'", "vinci-offline evaluate 'a b'"),
    ],
)
def test_only_numbers_are_smaller(walk, line, expected):
    assert walk.shortened(line) == expected


def test_pages_and_outputs_have_commands(first_hour, walk):
    assert walk.commands_in(TRAINED) == [
        "vinci-offline evaluate 'my runs/a'",
        "vinci-offline evaluate 'my runs/a' --best",
    ]
    readme = first_hour.commands_of(first_hour.ROOT / "README.md")
    assert readme[1] == "vinci-offline animate runs/car -o evolution.gif"
    assert "vinci-offline collect Pendulum-v1 -o random.h5 --steps 20000" in readme
    assert {"README", "training", "cartpole-mixed", "csv", "d4rl"} <= {*first_hour.walks()}


@pytest.mark.parametrize(("best", "faults"), [(12.0, 0), (8.0, 1)])
def test_recommended_step_has_the_best_evaluation(walk, tmp_path, best, faults):
    run = tmp_path / "my runs" / "a"
    run.mkdir(parents=True)
    (run / "evaluations.csv").write_text(f"step,return_mean\n200,{best}\n400,9.0\n")
    taken = walk.Walk("test", tmp_path)
    taken.check_best("train", TRAINED)
    assert len(taken.faults) == faults


def test_printed_commands_are_run_and_failures_told(walk, tmp_path, monkeypatch):
    def shell(self, line):
        self.ran.append(line)
        fails = "b.h5" in line
        return subprocess.CompletedProcess(
            line, int(fails), "try: vinci-offline info b.h5\n", "error: no\n" * fails
        )

    monkeypatch.setattr(walk.Walk, "shell", shell)
    taken = walk.Walk("test", tmp_path)
    taken.follow("vinci-offline info a.h5")
    assert taken.ran == ["vinci-offline info a.h5", "vinci-offline info b.h5"]
    assert taken.faults == ["test: vinci-offline info b.h5: exit code 1: error: no"]
    taken.leads_on("vinci-offline train b.h5")
    assert len(taken.faults) == 1
    monkeypatch.setattr(walk, "commands_in", lambda text: [])
    taken.leads_on("vinci-offline train b.h5")
    assert taken.faults[1] == "test: vinci-offline train b.h5: its refusal names no command"
