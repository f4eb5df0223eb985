"""Training plans."""

import pytest

from vinci_offline import UsageError
from vinci_offline.training.phases import Phase, plan_phases


def test_plans():
    assert plan_phases(10) == (Phase(None, 0, 10),)
    assert plan_phases(10, only="critic") == (Phase("critic", 0, 10),)
    assert plan_phases(10, phases="critic:5, actor:3,both:2_0") == (
        Phase("critic", 0, 5),
        Phase("actor", 5, 8),
        Phase(None, 8, 28),
    )


@pytest.mark.parametrize(
    "plan", ["critic", "critic:", "critic:0", "critic:-1", "judge:5", "", "critic:5,,actor:1", "actor:1e3"]
)
def test_what_is_not_a_plan_is_refused(plan):
    with pytest.raises(UsageError, match="ROLE:STEPS"):
        plan_phases(10, phases=plan)


def test_only_and_phases_exclude_each_other():
    with pytest.raises(UsageError, match="exclude"):
        plan_phases(10, only="actor", phases="critic:5")
