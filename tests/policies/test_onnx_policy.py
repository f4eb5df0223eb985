import numpy as np
import pytest

from vinci_offline.envs.making import make_env
from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.policies.named import load_policy
from vinci_offline.policies.onnx_policy import OnnxPolicy, check_onnx
from vinci_offline.spec import environment_spec

OBSERVATIONS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
WEIGHTS = np.array([[1.0], [-2.0], [0.5]], np.float32)


def spec_of(env):
    return environment_spec(make_env(env))


def generators(count=4):
    return [np.random.default_rng(lane) for lane in range(count)]


def export(path, weights, batch="batch"):
    """Export a linear model."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    inputs, outputs = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", kind, [batch, inputs])],
        [helper.make_tensor_value_info("y", kind, [batch, outputs])],
        [helper.make_tensor("w", kind, weights.shape, weights.reshape(-1).tolist())],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.mark.peers
@pytest.mark.parametrize("batch", ["batch", 1])
def test_fixed_and_free_batch_sizes(tmp_path, batch):
    policy = OnnxPolicy(export(tmp_path / "policy.onnx", WEIGHTS, batch), spec_of("Pendulum-v1"))
    decision = policy.act(OBSERVATIONS, generators())
    assert decision.actions == pytest.approx(np.clip(OBSERVATIONS @ WEIGHTS, -2, 2), abs=1e-6)
    assert decision.log_probs is None


@pytest.mark.peers
def test_largest_score_is_chosen(tmp_path):
    weights = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    policy = OnnxPolicy(export(tmp_path / "policy.onnx", weights), spec_of("CartPole-v1"))
    observations = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    decision = policy.act(observations, generators(6))
    assert decision.actions.tolist() == (observations @ weights).argmax(axis=1).tolist()
    assert decision.log_probs.tolist() == [0] * 6


@pytest.mark.peers
def test_misfit_names_model_and_environment(tmp_path):
    path = export(tmp_path / "policy.onnx", WEIGHTS)
    with pytest.raises(SpecError, match=r"takes x tensor\(float\).*CartPole-v1 has observations Box\(4,\)"):
        OnnxPolicy(path, spec_of("CartPole-v1"))
    wide = export(tmp_path / "wide.onnx", np.ones((3, 2), np.float32))
    with pytest.raises(SpecError, match=r"output of shape \(2,\).*takes Box\(1,\)"):
        OnnxPolicy(wide, spec_of("Pendulum-v1"))
    fixed = export(tmp_path / "fixed.onnx", WEIGHTS, 8)
    with pytest.raises(SpecError, match="batches of exactly 8"):
        OnnxPolicy(fixed, spec_of("Pendulum-v1"))


@pytest.mark.peers
def test_bad_files_and_sampling_are_refused(tmp_path):
    path = export(tmp_path / "policy.onnx", WEIGHTS)
    with pytest.raises(UsageError, match="not a distribution"):
        load_policy(str(path), spec_of("Pendulum-v1"), stochastic=True)
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(VinciError, match=r"bad\.onnx is not an ONNX model"):
        load_policy(str(tmp_path / "bad.onnx"), spec_of("Pendulum-v1"))


def test_missing_onnxruntime_is_named(tmp_path, monkeypatch):
    (tmp_path / "policy.onnx").write_bytes(b"")
    monkeypatch.setattr("vinci_offline.policies.onnx_policy.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'vinci-offline\[onnx\]'"):
        check_onnx(tmp_path / "policy.onnx")
