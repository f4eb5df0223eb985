"""Tests of training plans."""

import pytest

from vinci_offline import UsageError
from vinci_offline.agents.bcq import BCQ
from vinci_offline.agents.bear import BEAR
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.plas import PLAS
from vinci_offline.testing.agent_contract import BOX, DISCRETE, builder
from vinci_offline.training.learner import Learner
from vinci_offline.training.phases import Phase, check_roles, plan_phases
from vinci_offline.training.starting import check_phases


def test_plans_are_parsed():
    assert plan_phases(10) == (Phase(None, 0, 10),)
    assert plan_phases(10, only="critic") == (Phase("critic", 0, 10),)
    assert plan_phases(10, phases="critic:5, actor:3,both:2_0") == (
        Phase("critic", 0, 5),
        Phase("actor", 5, 8),
        Phase(None, 8, 28),
    )


@pytest.mark.parametrize(
    "plan", ["critic", "critic:", "critic:0", "critic:-1", "", "critic:5,,actor:1", "actor:1e3"]
)
def test_malformed_plan_is_refused(plan):
    with pytest.raises(UsageError, match="ROLE:STEPS"):
        plan_phases(10, phases=plan)


def test_check_roles_refuses_role_that_agent_lacks():
    plan = plan_phases(10, phases="behaviour:5,both:2")
    assert plan == (Phase("behaviour", 0, 5), Phase(None, 5, 7))
    check_roles("bcq", ("behaviour", "critic"), plan)
    with pytest.raises(UsageError, match="agent 'dqn' has no role 'behaviour'; it has critic"):
        check_roles("dqn", ("critic",), plan)


def test_only_and_phases_exclude_each_other():
    with pytest.raises(UsageError, match="exclude"):
        plan_phases(10, only="actor", phases="critic:5")


@pytest.mark.parametrize(
    ("agent", "spec"),
    [
        (BCQ(hidden=(4,), latent_hidden=(4,), acting_samples=2), BOX),
        (BCQ(choice_hidden=(4,)), DISCRETE),
        (BEAR(hidden=(4,), latent_hidden=(4,), acting_samples=2), BOX),
        (PLAS(hidden=(4,), latent_hidden=(4,)), BOX),
    ],
    ids=["bcq", "bcq-discrete", "bear", "plas"],
)
def test_critic_alone_needs_a_trained_behaviour(agent, spec):
    learner = Learner(agent, builder(spec), 0)
    message = "the critic of '.*' needs a trained behaviour: .*only.*behaviour.*phases.*behaviour:N,critic:M"
    with pytest.raises(UsageError, match=message):
        check_phases(learner, plan_phases(5, only="critic"), {})
    for plan in ("behaviour:5,critic:5", "both:5,critic:5"):
        check_phases(learner, plan_phases(0, phases=plan), {})
    check_phases(learner, plan_phases(5, only="critic"), {"behaviour": 5})


def test_actor_alone_needs_all_that_its_losses_use():
    learner = Learner(PLAS(hidden=(4,), latent_hidden=(4,)), builder(BOX), 0)
    with pytest.raises(UsageError, match="the actor of 'plas' needs a trained critic"):
        check_phases(learner, plan_phases(5, phases="behaviour:5,actor:5"), {})
    with pytest.raises(UsageError, match="the actor of 'iql' needs a trained critic"):
        check_phases(Learner(IQL(hidden=(4,)), builder(BOX), 0), plan_phases(5, only="actor"), {"critic": 0})
