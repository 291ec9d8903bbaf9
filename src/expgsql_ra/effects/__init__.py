# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that touches the world: processes, files, PostgreSQL, the cluster, the clock."""
