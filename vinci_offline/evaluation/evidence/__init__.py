"""What estimators look at: logged episodes, ratios, the policy's actions, the behaviour policy."""
