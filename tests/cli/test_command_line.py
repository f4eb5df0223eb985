"""The commands as a user types them: output, exit codes, and one line for each bad input."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from vinci_offline import Dataset
from vinci_offline.cli.app import app

COMMANDS = tuple(get_command(app).commands)
FAST = ["--set", "hidden=8,8", "--jit", "off", "--batch-size", "16", "--log-every", "10", "--steps", "20"]
QUICK = ["--agent", "bc", *FAST]
"""Options of a run in which the agent does not matter: this one compiles fastest."""


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result, told, exit_code=None):
    """Check for one line on standard error, nothing on standard output, and no traceback."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in ((1, 2) if exit_code is None else (exit_code,)), result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert told in result.stderr


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pendulum.h5"
    assert call("collect", "Pendulum-v1", "-o", path, "--steps", 450).exit_code == 0
    return path


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    path = tmp_path_factory.mktemp("lake") / "lake.h5"
    result = call("collect", "FrozenLake-v1", "-o", path, "--episodes", 30, "--record-infos", "prob")
    assert result.exit_code == 0
    return path


@pytest.fixture(scope="session")
def run(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert call("train", data, *QUICK, "-o", path).exit_code == 0
    return path


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("width", ["80", "120"])
def test_help_fits_the_terminal(command, width, monkeypatch):
    # Typer reads the width once, when it is imported: the first of these tests would set it for all.
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", int(width))
    result = CliRunner(env={"COLUMNS": width}).invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert max(map(len, result.stdout.splitlines())) == int(width)  # panels are as wide as the terminal


def test_light_commands_import_no_network_library(data, tmp_path):
    code = (
        "import sys\n"
        "from vinci_offline.cli.app import app\n"
        "for line in sys.argv[1:]:\n"
        "    try:\n"
        "        app(line.split())\n"
        "    except SystemExit as done:\n"
        "        assert done.code == 0, line\n"
        "    assert not {'tensorflow', 'keras', 'jax', 'matplotlib'} & set(sys.modules), line\n"
    )
    lines = [f"{command} --help" for command in COMMANDS]
    lines += ["agents", "datasets", f"info {data}", f"validate {data}"]
    lines += [
        f"collect Pendulum-v1 -o {tmp_path}/d.h5 --steps 5",
        "evaluate random --env Pendulum-v1 --episodes 1",
    ]
    done = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_info_as_json_has_the_documented_keys(data):
    result = call("info", data, "--json")
    content = json.loads(result.stdout)
    assert {
        "rows", "episodes", "return_mean", "return_std", "return_min", "return_max", "terminals", "timeouts",
        "observation_shape", "action_shape", "env", "hash",
    } <= set(content)  # fmt: skip
    assert (content["rows"], content["episodes"], content["env"]) == (450, 3, "Pendulum-v1")
    assert result.stderr == ""


def test_evaluate_as_json_has_the_documented_keys(run):
    result = call("evaluate", run, "--episodes", 2, "--json")
    content = json.loads(result.stdout)
    assert list(content) == [
        "env", "episodes", "return_mean", "return_std", "returns", "length_mean", "normalized_mean", "reference",
    ]  # fmt: skip
    assert content["return_mean"] == pytest.approx(np.mean(content["returns"]))
    assert result.stderr == ""


def test_train_reports_seeds_as_json_and_table(data, tmp_path):
    seeds = ("train", data, "--agent", "bc", *FAST, "--seed", 3, "--seeds", 2, "-o", tmp_path / "run")
    result = call(*seeds, "--json", "--eval-every", 20, "--eval-episodes", 1)
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["run"] == str(tmp_path / "run")
    assert content["steps"] == 20
    assert content["steps_per_second"] > 0
    assert [member["seed"] for member in content["members"]] == [3, 4]
    losses = [member["final_metrics"]["loss/actor"] for member in content["members"]]
    assert content["final_metrics"]["loss/actor"] == pytest.approx(np.mean(losses))
    assert content["final_metrics_std"]["loss/actor"] == pytest.approx(np.std(losses, ddof=1))
    again = call(*seeds, "--resume")
    assert again.exit_code == 0, again.stderr
    lines = [line.split() for line in again.stdout.splitlines()]
    assert lines[0] == ["steps", "return/mean", "loss/actor"]
    assert lines[1][:3] == ["seed", "3", "20"]
    assert float(lines[3][-1]) == pytest.approx(np.mean(losses), rel=1e-3)
    assert lines[4][0] == "deviation"


def test_train_as_json_has_the_documented_keys(data, tmp_path):
    result = call("train", data, *QUICK, "-o", tmp_path / "run", "--json")
    content = json.loads(result.stdout)
    assert list(content) == [
        "run",
        "steps",
        "steps_per_second",
        "compiler",
        "compile_seconds",
        "final_metrics",
        "stopped_early",
        "best_step",
        "notes",
    ]
    assert (content["run"], content["steps"]) == (str(tmp_path / "run"), 20)
    lines = result.stderr.splitlines()  # progress where standard error is not a terminal
    assert [line.split()[0] for line in lines] == ["compiling", "compiled", "step", "step"]
    assert lines[-1].startswith("step 20 of 20, ")


def test_train_passes_optimizer_options(data, tmp_path):
    given = {
        "schedule": "actor:cosine",
        "warmup": 2,
        "clip_norm": 1.0,
        "weight_decay": 0.1,
        "policy_ema": 0.9,
    }
    options = [x for name, value in given.items() for x in (f"--{name.replace('_', '-')}", value)]
    result = call("train", data, *QUICK, "-o", tmp_path / "run", *options, "--precision", "bfloat16")
    assert result.exit_code == 0, result.stderr
    assert "TensorFlow graph, compiled in" in result.stdout
    assert "float32 is likely to be faster" in result.stderr.splitlines()[0]
    training = json.loads((tmp_path / "run" / "config.json").read_text())["training"]
    assert {**given, "precision": "bfloat16"}.items() <= training.items()


@pytest.mark.parametrize("command", ["agents", "datasets"])
def test_lists_go_to_standard_output(command):
    result = call(command)
    assert result.stdout
    assert result.stderr == ""
    assert json.loads(call(command, "--json").stdout)


def test_whole_job_on_discrete_spaces(lake, tmp_path):
    assert call("validate", lake).exit_code == 0
    assert "prob" in json.loads(call("info", lake, "--json").stdout)["infos"]
    for agent in ("bc", "dqn"):
        output = tmp_path / agent
        trained = call("train", lake, "--agent", agent, *FAST, "-o", output)
        assert trained.exit_code == 0
        assert "untrained" not in trained.stdout  # of a DQN's actor, which it does not have
        content = json.loads(call("evaluate", output, "--episodes", 3, "--json").stdout)
        assert all(value in (0.0, 1.0) for value in content["returns"])


ENVIRONMENT = """
import gymnasium
import numpy as np

class Reach(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(
        np.array([-1, -np.inf, 0], np.float32), np.array([3, np.inf, 0.5], np.float32)
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.place = 0, self.np_random.normal(size=2)
        return self.place.copy(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.time += 1
        self.place = 0.9 * self.place + 0.1 * action[:2]
        return self.place.copy(), -float(np.square(self.place).sum()), False, self.time == 20, {"time": self.time}

class Breaks(Reach):
    def step(self, action):
        if self.time == 7:
            raise RuntimeError("the simulator broke")
        return super().step(action)

def fails(observation):
    raise ValueError("no idea")
"""


@pytest.fixture(scope="session")
def module(tmp_path_factory):
    path = tmp_path_factory.mktemp("user") / "mine.py"
    path.write_text(ENVIRONMENT)
    return path


def test_whole_job_on_own_environment(module, tmp_path):
    """Unbounded and asymmetric actions, float64 observations, a recorded info, compression."""
    file, output = tmp_path / "reach.h5", tmp_path / "run"
    options = ("--episodes", 12, "--float64", "--compress", "gzip", "--record-infos", "time")
    assert call("collect", f"{module}:Reach", "-o", file, *options).exit_code == 0
    dataset = Dataset.open(file)
    assert dataset.columns["observations"].dtype == np.float64
    assert dataset.columns["infos/time"][:20].tolist() == list(range(1, 21))
    assert call("validate", file).exit_code == 0
    training = (
        "train",
        file,
        "--agent",
        "iql",
        *FAST,
        "-o",
        output,
        "--eval-every",
        20,
        "--eval-episodes",
        2,
    )
    named = ("--env", f"{module}:Reach")
    refused(call(*training), f"name it yourself with {' '.join(named)}")
    trained = call(*training, *named)
    assert trained.exit_code == 0, trained.stderr
    refused(call("evaluate", output, "--episodes", 2), f"name it yourself with {' '.join(named)}")
    for extra in ((), ("--stochastic",)):
        assert call("evaluate", output, *named, "--episodes", 2, "--json", *extra).exit_code == 0
    again = ("collect", f"{module}:Reach", "-o", tmp_path / "b.h5", "--episodes", 2, "--policy", output)
    assert call(*again, "--noise", "sample").exit_code == 0


def test_errors_in_user_code_name_their_line(module, tmp_path):
    file = tmp_path / "data.h5"
    line = ENVIRONMENT.splitlines().index('            raise RuntimeError("the simulator broke")') + 1
    refused(call("collect", f"{module}:Breaks", "-o", file, "--episodes", 2), f"mine.py, line {line})")
    refused(call("evaluate", "random", "--env", f"{module}:Breaks"), "RuntimeError: the simulator broke")
    refused(
        call("collect", "Pendulum-v1", "-o", file, "--steps", 5, "--policy", f"{module}:fails"), "no idea"
    )
    assert not file.exists()


def damaged(data, folder, how):
    """Return a damaged copy of a dataset."""
    path = folder / f"{how}.h5"
    content = data.read_bytes()
    path.write_bytes(content[: len(content) // 2] if how == "truncated" else content)
    if how == "text":
        path.write_text("hello")
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how not in ("truncated", "missing"):
        with h5py.File(path, "a") as file:
            _damage(file, how)
    if how == "missing":
        path.unlink()
    return path


def _damage(file, how):
    rewards = file["rewards"][:]
    if how in ("no rewards", "unequal"):
        del file["rewards"]
        if how == "unequal":
            file["rewards"] = rewards[:-1]
    elif how == "no rows":
        for name in ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts"):
            values = file[name][:0]
            del file[name]
            file[name] = values
        del file["infos"], file["metadata"]
    else:
        column = {"NaN reward": "rewards", "infinite observation": "observations"}[how]
        values = file[column][:]
        values[7] = np.inf if "infinite" in how else np.nan
        file[column][:] = values


DAMAGES = {
    "missing": "does not exist",
    "folder": "is an empty folder",
    "text": "is not an HDF5 file",
    "truncated": "is truncated",
    "no rewards": "missing rewards",
    "unequal": "unequal lengths",
    "no rows": "no rows",
    "NaN reward": "row 7",
    "infinite observation": "row 7",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", DAMAGES)
def test_bad_datasets_are_refused_by_every_command(data, tmp_path, how):
    file, told = damaged(data, tmp_path, how), DAMAGES[how]
    refused(call("train", file, *FAST, "-o", tmp_path / "run"), told, 1)
    assert not (tmp_path / "run").exists()
    checked = call("validate", file)
    assert checked.exit_code == 1
    assert told in checked.stdout + checked.stderr
    if told == "row 7":
        assert call("info", file).exit_code == 0  # it can still be looked at
    else:
        refused(call("info", file), told, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("collect Pendulum-v1 -o {out}", "either --steps N or --episodes N"),
        ("collect Pendulum-v1 -o {out} --steps 0", "--steps must be at least 1, not 0"),
        ("collect Pendulum-v1 -o {out} --steps 5 --workers 100000", "give at most"),
        ("collect Pendulum-v1 -o {out} --steps 5 --lanes -1", "--lanes must be at least 1, not -1"),
        ("collect Pendulun-v1 -o {out} --steps 5", "did you mean Pendulum-v1"),
        ("collect nowhere:Env -o {out} --steps 5", "No module named 'nowhere'"),
        ("collect Pendulum-v1 -o {out} --steps 5 --policy nothing", "unknown policy 'nothing'"),
        ("collect Pendulum-v1 -o {out} --steps 5 --noise gaussian:x", "'x' is not a number"),
        ("collect Pendulum-v1 -o {out} --steps 5 --env-kwargs [1]", "not a JSON object"),
        ("collect Pendulum-v1 -o {out} --steps 5 --compress zip", "--compress must be auto, none, lzf, gzip or blosc2"),
        ("collect Pendulum-v1 -o {out} --steps 5 --record-infos key", "has no 'key'"),
        ("collect Pendulum-v1 -o {folder} --steps 5 --overwrite", "is a folder"),
        ("collect Pendulum-v1 -o {data} --steps 5", "exists already"),
        ("train", "pendulum-mixed"),
        ("train {data} -o {out} --agent nobody", "the agents are: awac, bc, "),
        ("train {data} -o {out} --agent dqn", "discrete actions"),
        ("train {data} -o {out} --set alhpa=1", "no hyperparameter 'alhpa'"),
        ("train {data} -o {out} --set hidden=wide", "whole numbers, as 256,256"),
        ("train {data} -o {out} --set alpha", "is not KEY=VALUE"),
        ("train {data} -o {out} --phases nonsense", "'nonsense' is not ROLE:STEPS"),
        ("train {data} -o {out} --only actor", "--only critic"),
        ("train {data} -o {out} --steps 0", "--steps must be at least 1"),
        ("train {data} -o {out} --seeds 0", "--seeds must be at least 1, not 0"),
        ("train {data} -o {out} --batch-size 100000000", "--batch-size must be from 1 to 1,048,576"),
        ("train {data} -o {out} --init {folder}", "is not a run directory"),
        ("train {data} -o {out} --env Pendulum-v1", "--eval-every"),
        ("train {data} -o {out} --eval-every 5 --env CartPole-v1", "does not fit Pendulum-v1"),
        ("train {data} -o {data} --overwrite", "is a file, and a run is a folder"),
        ("train {data} -o {data}/run", "Not a directory"),
        ("train {data} {lake} -o {out}", "another observation space"),
        ("train {data} -o {out} --resume --overwrite", "give one of them"),
        ("evaluate random", "name one with --env ENV"),
        ("evaluate {data}", "is a dataset, not a policy"),
        ("evaluate {folder}", "is not a run directory"),
        ("evaluate random --env Pendulum-v1 --episodes 0", "--episodes must be at least 1, not 0"),
        ("evaluate random --env Pendulum-v1 --workers 100000", "give at most"),
        ("info pendulum-mixd", "pendulum-mixed"),
        ("agents nobody", "the agents are: awac, bc, "),
    ],
)  # fmt: skip
def test_bad_options_are_refused_in_one_line(data, lake, tmp_path, arguments, told):
    places = {"data": data, "lake": lake, "out": tmp_path / "out", "folder": tmp_path}
    before = data.read_bytes()
    refused(call(*(part.format(**places) for part in arguments.split())), told)
    assert not (tmp_path / "out").exists()
    assert data.read_bytes() == before


NETWORKS = {
    "def actor(env) pass": "SyntaxError",
    "import nowhere": "No module named 'nowhere'",
    "import sys; sys.exit(3)": "SystemExit: 3",
    "ACTOR = 1": "defines no function",
    "def aktor(env): ...": "did you mean 'actor'?",
    "def mlp(env): ...": "has no network 'mlp'",
    "def actor(env): return 1 / 0": "line 1",
    "def actor(env): ...": "not NoneType",
    "import keras\ndef actor(env): return keras.Sequential([keras.layers.Dense(2)])": "shape (None, 1)",
}


@pytest.mark.parametrize("source", NETWORKS)
def test_networks_that_do_not_fit_are_refused(data, tmp_path, source):
    (tmp_path / "nets.py").write_text(source)
    refused(
        call("train", data, *FAST, "-o", tmp_path / "run", "--networks", tmp_path / "nets.py"),
        NETWORKS[source],
    )
    assert not (tmp_path / "run").exists()


def test_own_networks_serve_several_agents(data, tmp_path):
    source = (
        "from keras import Model, Sequential, layers\n"
        "def head(x): return layers.Dense(1)(x)\n"
        "def critic(env):\n"
        "    x = layers.Dense(7, activation='relu')(layers.concatenate([env.state, env.action]))\n"
        "    return Model([env.state, env.action], head(x))\n"
        "def actor(env):\n"
        "    return Sequential([layers.Dense(5, input_shape=(env.state_space_dim,)),\n"
        "                       layers.Dense(env.action_space_dim, activation='tanh')])\n"
    )
    (tmp_path / "nets.py").write_text(source)
    for agent in ("td3bc", "bc"):
        output = tmp_path / agent
        result = call(
            "train", data, "--agent", agent, *FAST, "-o", output, "--networks", tmp_path / "nets.py"
        )
        assert result.exit_code == 0, result.stderr
        assert "warning" not in result.stderr
        with zipfile.ZipFile(output / "networks" / "actor.keras") as archive:
            assert '"units": 5' in archive.read("config.json").decode()


AGENT = """
from dataclasses import dataclass
from vinci_offline.agents.bc import BC

@dataclass(frozen=True)
class NoNetworks(BC):
    def networks(self, build):
        raise RuntimeError("first line\\nsecond line")

@dataclass(frozen=True)
class NoLoss(BC):
    def loss(self, nets, batch, key):
        return batch.nothing, {}

    def updates(self):
        from dataclasses import replace
        return tuple(replace(update, loss=self.loss) for update in super().updates())
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [("NoNetworks", "networks() failed: RuntimeError: first line"), ("NoLoss", "mine.py, line 13")],
)
def test_failing_agent_names_its_line_and_keeps_the_run(data, run, tmp_path, name, told):
    (tmp_path / "mine.py").write_text(AGENT)
    shutil.copytree(run, tmp_path / "run")
    before = (tmp_path / "run" / "policy.keras").read_bytes()
    again = ("train", data, *FAST, "-o", tmp_path / "run", "--overwrite")
    refused(call(*again, "--agent", f"{tmp_path}/mine.py:{name}"), told, 1)
    assert (tmp_path / "run" / "policy.keras").read_bytes() == before


@pytest.mark.parametrize("content", [b"random bytes" * 50, b"", "zip"])
def test_broken_models_are_refused(data, tmp_path, content):
    model = tmp_path / "model.keras"
    if content == "zip":
        with zipfile.ZipFile(model, "w") as archive:
            archive.writestr("a.txt", "no model")
    else:
        model.write_bytes(content)
    refused(call("evaluate", model, "--env", "Pendulum-v1"), "model.keras", 1)
    refused(
        call("collect", "Pendulum-v1", "-o", tmp_path / "d.h5", "--steps", 5, "--policy", model),
        "model.keras",
        1,
    )
    bootstrap = ("--agent", "ddpg", "--set", f"bootstrap_actor={model}")
    refused(call("train", data, *FAST, "-o", tmp_path / "run", *bootstrap), "model.keras", 1)


def test_models_that_do_not_fit_or_hold_code_are_refused(tmp_path):
    import keras

    wide = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    code = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x[:, :1])])
    for model, told in ((wide, "(5,), but Pendulum-v1 has observations Box(3,)"), (code, "Lambda")):
        model.save(tmp_path / "model.keras")
        refused(call("evaluate", tmp_path / "model.keras", "--env", "Pendulum-v1"), told, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", "{oops"), ("config.json", "[1]"), ("config.json", "{}"), ("dataset.json", None)],
)
def test_damaged_runs_are_refused(data, tmp_path, run, name, content):
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    if content is None:
        (broken / name).unlink()
    else:
        (broken / name).write_text(content)
        refused(call("evaluate", broken, "--episodes", 1), name, 1)
        refused(call("train", data, *QUICK, "-o", tmp_path / "next", "--init", broken), name, 1)
    refused(call("train", data, *QUICK, "-o", broken, "--resume"), "broken")
    assert (broken / "policy.keras").read_bytes() == (run / "policy.keras").read_bytes()


def test_init_refuses_run_of_other_agent_or_environment(data, lake, run, tmp_path):
    wide = ("train", data, "--agent", "bc", "--set", "hidden=9", "--steps", 5)
    wide = (*wide, "-o", tmp_path / "run", "--init", run)
    refused(call(*wide), "other layers", 1)
    other = ("train", lake, "--agent", "dqn", *FAST, "-o", tmp_path / "run", "--init", run)
    refused(call(*other), "start from a run on this environment", 1)


def test_resume_takes_more_steps_never_fewer(data, tmp_path):
    options = ("train", data, "--agent", "bc", "--set", "hidden=8,8", "--jit", "off", "--batch-size", 16)
    options = (*options, "-o", tmp_path / "run")
    assert call(*options, "--steps", 20).exit_code == 0
    refused(call(*options, "--steps", 10, "--resume"), "already at step 20", 2)
    longer = call(
        *options, "--steps", 30, "--log-every", 5, "--eval-every", 15, "--eval-episodes", 1, "--resume"
    )
    assert longer.exit_code == 0, longer.stderr
    assert "30 steps" in longer.stdout


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="signals as POSIX has them")
def test_signals_exit_with_128_and_their_number_and_name_resume(data, tmp_path):
    import signal
    import time

    def start(*arguments):
        code = "from vinci_offline.cli.app import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def interrupt(process, signum, *signs):
        deadline = time.monotonic() + 120
        while not any(list(tmp_path.glob(sign)) for sign in signs) and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signum)
        return process.communicate(timeout=60)

    recording = start("collect", "Pendulum-v1", "-o", tmp_path / "long.h5", "--steps", 10**8)
    _, told = interrupt(recording, signal.SIGINT, "long.h5.shards/shard-*.npz")
    assert recording.returncode == 130
    words = f"collect Pendulum-v1 -o {tmp_path}/long.h5 --steps 100000000"
    assert told == f"interrupted: go on with: vinci-offline {words} --resume\n"
    options = ("--agent", "bc", "--set", "hidden=8,8", "--jit", "off", "--batch-size", 16)
    options = (*options, "--checkpoint-every", 100)
    training = start("train", data, *options, "--steps", 10**8, "-o", tmp_path / "run")
    shown, told = interrupt(training, signal.SIGTERM, "run/checkpoints/step-*.npz")
    assert training.returncode == 143
    assert " steps at " in shown
    (told,) = [line for line in told.splitlines() if not line.startswith(("compil", "step "))]
    assert told.startswith("interrupted: go on with: vinci-offline train ")
    assert told.endswith(" --resume")
