# SPDX-License-Identifier: GPL-2.0-or-later
"""Every decision of the agent, as pure functions of what was seen.

============================  ===========================================================
question                      answered in
============================  ===========================================================
what does monitor report?     `health`
who may become the primary?   `promotion`
who has the newest data?      `election`
who is in sync, who scores?   `replication`
may this data follow?         `divergence`
============================  ===========================================================

House rule: nothing in this package reads a clock, a file, a process or a server, and every
refusal is a value that carries the reason and the remedy an operator will read.
"""
