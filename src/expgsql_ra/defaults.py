# SPDX-License-Identifier: GPL-2.0-or-later
"""Defaults of parameters that are needed before the parameters are imported (`notification`)."""

PGDATA = "/var/lib/pgsql/data"
TMPDIR = "/var/lib/pgsql/tmp"
