"""Tests of training plans."""

import pytest

from vinci_offline import UsageError
from vinci_offline.training.phases import Phase, check_roles, plan_phases


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
