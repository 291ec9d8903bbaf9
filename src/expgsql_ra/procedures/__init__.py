# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators' commands do, step by step, to be read as prose; what they decide is in `rules`."""
