"""Recording a policy in an environment into a dataset."""
