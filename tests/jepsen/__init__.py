"""Random faults on a real cluster, audits after each step, a history and a picture of the run."""
