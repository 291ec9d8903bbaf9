# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: what faults cost clients and what monitors cost, beside other agents, in one run."""
