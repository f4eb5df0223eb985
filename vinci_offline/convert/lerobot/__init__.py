"""LeRobot's dataset folders."""
