# SPDX-License-Identifier: GPL-2.0-or-later
"""Every decision of the agent, as pure functions of what was seen.

============================  ===========================================================
question                      answered in
============================  ===========================================================
what does monitor report?     `health`
who may succeed by record?    `succession` (R1 to R5, R10)
who may without a record?     `promotion`
what is the record worth?     `promise`
who has the newest data?      `election`
who is in sync, who scores?   `replication`
may this data follow?         `divergence`
may the guard report a death? `reporting`
may a node be repaired?       `repairing`
may the primary be moved?     `switching`
may one be named by hand?     `resetting`
how is everything?            `condition`
why is a node what it is?     `explanation`
what has happened?            `chronicle`
is it configured safely?      `checkup`, `checkup_cluster`, `checkup_node`, `checkup_server`
                              `findings`
what does a set-up ask for?   `setup_wanted`, `setup_cib`, `setup_server`, `setup_membership`,
                              `setup_commands`, `setup_example`
============================  ===========================================================

House rule: nothing in this package reads a clock, a file, a process or a server, and every
refusal is a value that carries the reason and the remedy an operator will read.
"""
