"""Every combination of broken links among primary, standby and arbiter, and every order of healing."""
