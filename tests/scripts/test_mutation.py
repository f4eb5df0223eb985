"""Mutation testing: its report, and the files that its groups name."""


def test_groups_name_existing_modules_and_tests(mutation):
    for group in mutation.GROUPS.values():
        for module in group.modules:
            assert list((mutation.ROOT / "vinci_offline").glob(module)), module
        for test in group.tests:
            assert (mutation.ROOT / "tests" / test).exists(), test


def test_function_of_mutant_names(mutation):
    module = "vinci_offline.functional.losses"
    assert mutation.function_of(f"{module}.x_huber_loss__mutmut_12") == "functional.losses.huber_loss"
    assert mutation.function_of(f"{module}.x__error__mutmut_1") == "functional.losses._error"
    assert mutation.function_of(f"{module}.xǁLossǁ_bind__mutmut_3") == "functional.losses.Loss._bind"


def test_change_reads_a_diff(mutation):
    diff = (
        "# a: survived\n--- a.py\n+++ a.py\n@@ -1,2 +1,2 @@\n x = 1\n-    return a | b\n+    return a & b\n"
    )
    assert mutation.change(diff) == ("return a \\| b", "return a & b")
